/*
** touched.h -- the relations that finished statements have worked on.
**
** Which ones those are the server tells: a transaction holds a lock on each
** until its end. The journal keeps their oids, so that nobody goes on where
** they are gone: dropped by hand, by another migration's way back, or because
** the database was restored.
*/
#ifndef PGMIG_TOUCHED_H
#define PGMIG_TOUCHED_H

#include "ledger/sql.h"

/* Add what notes, in a setting local to the transaction, what it has locked for
** more than reading. */
void pgmig_touched_add_note(struct pgmig_sql *s);

/* Add an assignment, behind a comma, for UPDATE of the journal: what it knows
** already and, of a statement `within` the transaction, what was noted; of one
** that ran `alone`, the table and the new indexes (indexed.h). Without what is
** gone. */
void pgmig_touched_add_column(struct pgmig_sql *s, bool within, bool alone);

/* Add an expression: names of what is gone since then; NULL: nothing. */
void pgmig_touched_add_gone(struct pgmig_sql *s);

#endif
