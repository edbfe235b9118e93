/*
** indexed.h -- the indexes that a statement is about, in the catalogs.
**
** What a statement says of them is read in classify.c; here is the SQL that
** finds them, with its search path and its rights: their oids are what counts
** from then on (lua/pgmig/state/indexes.lua).
*/
#ifndef PGMIG_INDEXED_H
#define PGMIG_INDEXED_H

#include "ledger/sql.h"

/* Whether a statement names an index that has to be looked at. */
bool pgmig_indexed_named(const struct pgmig_statement *st);

/*
** Add the query for INVALID indexes of the name that the statement has given:
** true when there is something to ask. IF NOT EXISTS says nothing of what is
** there, and a failed CREATE INDEX CONCURRENTLY leaves its index behind
** (manual, CREATE INDEX, "Building Indexes Concurrently").
*/
bool pgmig_indexed_add_invalid(struct pgmig_sql *s, const char *text,
                               const struct pgmig_statement *st);

/* Add what notes, in settings local to the transaction, which table and which
** index a statement is about, for pgmig_indexed_add_columns. */
void pgmig_indexed_add_note(struct pgmig_sql *s, const char *text,
                            const struct pgmig_statement *st);

/*
** Add assignments, for UPDATE, of what was noted: `relation`, the table;
** `target`, the index that is dropped or rebuilt, both 0 where there is none
** (pg_index has no such oid); `existed`, the oids of all
** indexes of the table, its partitions and their TOAST tables; `invalid`,
** those of them that are.
*/
void pgmig_indexed_add_columns(struct pgmig_sql *s);

#endif
