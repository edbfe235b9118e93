/* frame.h -- the SQL around a migration's statements. */
#ifndef PGMIG_FRAME_H
#define PGMIG_FRAME_H

#include "buf.h"
#include "pgmig.h"

/* Takes back what a migration may leave behind in its session. */
extern const char pgmig_frame_reset[];

/*
** Add `begin`, the settings of the transaction and, as the last command, the
** claim of the tracking row. Returns how many commands stand before the
** claim, -1 on failure.
*/
PGMIG_NODISCARD int pgmig_frame_open(const struct pgmig_ledger *ledger,
                                     struct pgmig_conn *conn,
                                     const struct pgmig_job *job,
                                     const char *begin, struct pgmig_buf *sql,
                                     struct pgmig_error *err);

/* Add the settings that a file with transaction=off asks for; returns how
** many there are. */
int pgmig_frame_settings(const struct pgmig_job *job, struct pgmig_buf *sql);

/*
** Add what ends the transaction: resets when the session may have been
** changed, the proof that the tracking row is still there, COMMIT.
*/
void pgmig_frame_close(const struct pgmig_ledger *ledger,
                       const struct pgmig_job *job, bool dirty,
                       struct pgmig_buf *sql);

#endif
