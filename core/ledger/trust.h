/*
** trust.h -- whose tables are, and what hangs on them.
**
** What a trigger, default, check or policy of a table does, it does with the
** rights of whoever writes to the table or reads it. So a table is used only
** where nobody else can have made it do something: it belongs to the current
** user, a role that it is a member of, the database's owner or a superuser, and
** so do the functions and operators that hang on it. A rule may change what a
** statement of ours does, whoever has made it.
*/
#ifndef PGMIG_TRUST_H
#define PGMIG_TRUST_H

#include "base/buf.h"
#include "ledger/tables.h"

/* Add an SQL expression: what speaks first against the tables whose oids are in
** an array, an expression itself; NULL when nothing does. */
void pgmig_trust_add(const char *tables, struct pgmig_buf *sql);

/* Add a cheaper one: the same array as a text where something may speak against
** the tables; NULL when nothing can. */
void pgmig_trust_add_doubt(const char *tables, struct pgmig_buf *sql);

#endif
