/*
** state.h -- what the session of a file that runs without a transaction has
** of its own: the journal keeps it, for whoever goes on in another session.
**
** A state is what can be made again: settings, user, role; `lost` names what
** cannot. Both are what the server says, whatever the statements said: they
** are noted, in settings local to a transaction, and then written into
** the journal's row.
*/
#ifndef PGMIG_STATE_H
#define PGMIG_STATE_H

#include "buf.h"
#include "pgmig.h"

/* What was noted, as expressions. */
#define PGMIG_STATE_NOTED \
    "pg_catalog.current_setting('pgmig.state')::pg_catalog.json"
#define PGMIG_STATE_LOST "pg_catalog.current_setting('pgmig.lost')"

/* Add what notes the state: before anything of ours is set in the
** transaction. What a statement of the file has set for its transaction only
** counts, too, until that has ended. */
PGMIG_NODISCARD int pgmig_state_add_note(struct pgmig_conn *conn,
                                         const struct pgmig_job *job,
                                         struct pgmig_buf *sql,
                                         struct pgmig_error *err);

/* Add a lock_timeout for this transaction, unless the session has one; a note
** leaves it out. NULL: none. */
PGMIG_NODISCARD int pgmig_state_add_lock_timeout(struct pgmig_conn *conn,
                                                 const char *value,
                                                 struct pgmig_buf *sql,
                                                 struct pgmig_error *err);

/* Let the note just taken be that of the session's beginning. */
#define PGMIG_STATE_BASE                          \
    "SELECT pg_catalog.set_config('pgmig.base', " \
    "pg_catalog.current_setting('pgmig.state'), true); "
#define PGMIG_STATE_BASE_NOTED \
    "pg_catalog.current_setting('pgmig.base')::pg_catalog.json"

/* Let it be that of a statement's beginning, and whether the one at its end, in
** the same transaction, says the same. */
#define PGMIG_STATE_BOTH                                            \
    "pg_catalog.concat(pg_catalog.current_setting('pgmig.state'), " \
    "pg_catalog.current_setting('pgmig.lost'))"
#define PGMIG_STATE_BEFORE                                                \
    "SELECT pg_catalog.set_config('pgmig.before', " PGMIG_STATE_BOTH ", " \
    "true); "
#define PGMIG_STATE_UNCHANGED                      \
    "(pg_catalog.current_setting('pgmig.before') " \
    "OPERATOR(pg_catalog.=) " PGMIG_STATE_BOTH ")"

/*
** Add what makes a session's own state again: how `session` differs from
** `base`, two columns of the one row that `rows` is (what stands behind FROM).
*/
void pgmig_state_add_restore(const char *rows, struct pgmig_buf *sql);

#endif
