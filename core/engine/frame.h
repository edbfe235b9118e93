/* frame.h -- the SQL around a migration's statements. */
#ifndef PGMIG_FRAME_H
#define PGMIG_FRAME_H

#include "base/buf.h"
#include "pgmig.h"

/* Add what takes back all that a migration may leave behind in its session:
** what it has done, the text of its statements does not tell. */
void pgmig_frame_add_reset(const struct pgmig_job *job, struct pgmig_buf *sql);

/* Add `begin` and the settings of the transaction, with a semicolon; returns
** how many commands that are. */
int pgmig_frame_begin(const struct pgmig_ledger *ledger,
                      struct pgmig_conn *conn, const struct pgmig_job *job,
                      const char *begin, struct pgmig_buf *sql);

/* Add the settings alone. */
int pgmig_frame_locals(const struct pgmig_ledger *ledger,
                       struct pgmig_conn *conn, const struct pgmig_job *job,
                       struct pgmig_buf *sql);

/* As pgmig_frame_begin, and as the last command the claim of the tracking row.
** Returns how many commands stand before the claim, -1 on failure. */
PGMIG_NODISCARD int pgmig_frame_open(const struct pgmig_ledger *ledger,
                                     struct pgmig_conn *conn,
                                     const struct pgmig_job *job,
                                     const char *begin, struct pgmig_buf *sql,
                                     struct pgmig_error *err);

/* Add the settings of the session for a section with transaction=off.
** `check_client`: let the server notice a dead client. */
void pgmig_frame_session(const struct pgmig_ledger *ledger,
                         struct pgmig_conn *conn, const struct pgmig_job *job,
                         bool check_client, struct pgmig_buf *sql);

/* The lock_timeout of statements whose file says nothing; NULL: none. */
#define PGMIG_TIME_SIZE 16
const char *pgmig_frame_lock_timeout(const struct pgmig_job *job,
                                     char out[PGMIG_TIME_SIZE]);

/* Whether its file sets a time-out. */
bool pgmig_frame_is_timed(const struct pgmig_job *job);

/*
** Add what ends the transaction: the reset of the session (with
** transaction=off it comes before BEGIN), the history's row, which proves the
** tracking row, the journal's end where there is one, COMMIT.
*/
PGMIG_NODISCARD int pgmig_frame_close(const struct pgmig_ledger *ledger,
                                      struct pgmig_conn *conn,
                                      const struct pgmig_job *job,
                                      struct pgmig_buf *sql,
                                      struct pgmig_error *err);

#endif
