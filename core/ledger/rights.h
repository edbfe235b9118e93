/*
** rights.h -- whose rights the bookkeeping has between the statements of a
** file that runs without a transaction.
**
** Such a file may have set a role, another session user, or row_security; they
** are its own affair, and stay in force for its statements.
*/
#ifndef PGMIG_RIGHTS_H
#define PGMIG_RIGHTS_H

#include "ledger/sql.h"

/* Add what gives the rights of the run's session to the statements behind it,
** up to the end of the transaction. */
void pgmig_rights_take(struct pgmig_sql *s, const struct pgmig_job *job);

/* Add what gives the file its own rights back, in the same transaction; it
** also names the server process (PGMIG_ASK_SERVER). */
void pgmig_rights_return(struct pgmig_sql *s);

#endif
