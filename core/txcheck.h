/* txcheck.h -- what a section may say about transactions. */
#ifndef PGMIG_TXCHECK_H
#define PGMIG_TXCHECK_H

#include "pgmig.h"

/*
** Settle how a section's transaction begins: lift its own BEGIN ... COMMIT
** and a leading SET TRANSACTION into section->begin, and refuse every other
** transaction control and what cannot run in a transaction. A section with
** transaction=off is left as it is.
*/
PGMIG_NODISCARD int pgmig_txcheck(const struct pgmig_script *script,
                                  struct pgmig_section *section,
                                  const struct pgmig_vocabulary *words,
                                  struct pgmig_error *err);

/* Where a section has what keeps it from running in a transaction: its own
** transaction control or, with `alone`, a statement that has to run alone.
** The index of a statement; statement_count: there is none. */
size_t pgmig_txcheck_obstacle(const struct pgmig_section *section, bool alone);

/*
** Leave out what only makes sense in the transaction that a tool puts around
** a file: a COMMIT of a transaction that the section has not begun, and a
** BEGIN of one that it does not end.
*/
void pgmig_txcheck_loosen(struct pgmig_section *section);

#endif
