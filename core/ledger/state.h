/*
** state.h -- what the session of a file that runs without a transaction has
** of its own: the journal keeps it, for whoever goes on in another session.
**
** A state is settings, user and role, which can be made again, and belongings,
** which cannot. It is what the server says, whatever the statements said: it
** is noted, in a setting local to a transaction, and then written into the
** journal's row, beside the state in which the session began.
*/
#ifndef PGMIG_STATE_H
#define PGMIG_STATE_H

#include "ledger/sql.h"

/* What was noted, as an expression. */
#define PGMIG_STATE_NOTED \
    "pg_catalog.current_setting('pgmig.state')::pg_catalog.json"

/* Of a row with `session` and `base`: what a session has that it had not when
** it began, and nobody can make again; NULL: nothing. And the same session
** without that. */
#define PGMIG_STATE_ROLE "session OPERATOR(pg_catalog.->>) 'role'"
#define PGMIG_STATE_PATH                          \
    "session OPERATOR(pg_catalog.->) 'settings' " \
    "OPERATOR(pg_catalog.->>) 'search_path'"
#define PGMIG_STATE_LOST                                                \
    "(SELECT pg_catalog.string_agg(e, ', ') FROM "                      \
    "pg_catalog.json_array_elements_text(session "                      \
    "OPERATOR(pg_catalog.->) 'belongings') AS e "                       \
    "WHERE e OPERATOR(pg_catalog.<>) ALL (ARRAY(SELECT "                \
    "pg_catalog.json_array_elements_text(base OPERATOR(pg_catalog.->) " \
    "'belongings'))))"
#define PGMIG_STATE_WITHOUT_LOST                                 \
    "(SELECT pg_catalog.json_object_agg(e.key, CASE WHEN e.key " \
    "OPERATOR(pg_catalog.=) 'belongings' THEN base "             \
    "OPERATOR(pg_catalog.->) 'belongings' ELSE e.value END) "    \
    "FROM pg_catalog.json_each(session) AS e)"

/* Add what notes the state: before anything of ours is set in the
** transaction. What a statement of the file has set for its transaction only
** counts, too, until that has ended. */
void pgmig_state_add_note(struct pgmig_sql *s, const struct pgmig_job *job);

/* Add a lock_timeout for this transaction, unless the session has one; a note
** leaves it out. */
void pgmig_state_add_lock_timeout(struct pgmig_sql *s, int milliseconds);

/* Let the note just taken be that of the session's beginning; for
** pgmig_sql_addf. */
#define PGMIG_STATE_BASE                          \
    "SELECT pg_catalog.set_config('pgmig.base', " \
    "pg_catalog.current_setting('pgmig.state'), true)%;"
#define PGMIG_STATE_BASE_NOTED \
    "pg_catalog.current_setting('pgmig.base')::pg_catalog.json"

/* Let it be that of a statement's beginning, and whether the one at its end, in
** the same transaction, is the same; for pgmig_sql_addf. */
#define PGMIG_STATE_BEFORE                          \
    "SELECT pg_catalog.set_config('pgmig.before', " \
    "pg_catalog.current_setting('pgmig.state'), true)%;"
#define PGMIG_STATE_UNCHANGED                      \
    "(pg_catalog.current_setting('pgmig.before') " \
    "OPERATOR(pg_catalog.=) pg_catalog.current_setting('pgmig.state'))"

/*
** Add what makes a session's own state again: how `session` differs from
** `base`, two columns of the one row that `add_rows` adds (what stands behind
** FROM).
*/
void pgmig_state_add_restore(struct pgmig_sql *s,
                             void (*add_rows)(struct pgmig_sql *,
                                              const struct pgmig_job *),
                             const struct pgmig_job *job);

/*
** Between the statements the bookkeeping has the rights of the run. The file
** may have set a role, another session user, or row_security; they are its own
** affair, and stay in force for its statements.
*/

/* Add what gives the rights of the run's session to the statements behind it,
** up to the end of the transaction. */
void pgmig_state_take_rights(struct pgmig_sql *s, const struct pgmig_job *job);

/* Add what gives the file its own rights back, in the same transaction; it
** also names the server process (PGMIG_ASK_SERVER). */
void pgmig_state_return_rights(struct pgmig_sql *s);

#endif
