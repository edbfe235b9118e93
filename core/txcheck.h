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
                                  struct pgmig_error *err);

#endif
