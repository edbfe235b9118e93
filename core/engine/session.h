/* session.h -- what a session is set to for a migration, and taken back to. */
#ifndef PGMIG_SESSION_H
#define PGMIG_SESSION_H

#include "ledger/sql.h"

/* Add what takes back all that a migration may have left in its session, but
** for advisory locks; and the same with them. What it has done, the text of its
** statements does not tell. */
void pgmig_session_add_reset(struct pgmig_sql *s, const struct pgmig_job *job);
void pgmig_session_add_full_reset(struct pgmig_sql *s,
                                  const struct pgmig_job *job);

/* Add the settings of a transaction: SET LOCAL. */
void pgmig_session_add_locals(struct pgmig_sql *s, const struct pgmig_job *job);

/* Add those of the session of transaction=off; without a pooler the server is
** to notice a dead client. */
void pgmig_session_add_settings(struct pgmig_sql *s,
                                const struct pgmig_job *job);

/* Whether its file sets a time-out. */
bool pgmig_session_is_timed(const struct pgmig_job *job);

/* A time that was checked before, in milliseconds: a server before PostgreSQL
** 12 knows neither fractions nor all of the units. */
int pgmig_session_milliseconds(const char *time);

#endif
