/* shape.h -- the columns of a tracking table, and what to do about others. */
#ifndef PGMIG_SHAPE_H
#define PGMIG_SHAPE_H

#include "ledger/ledger.h"

/* Columns are told as a probe reads them: "a int4,b text", in the order of
** their names, types of other schemas with "another ". */

/* How many digits the version of a tracking table of ours holds; 0: it is none.
 */
int pgmig_shape_digits(const char *columns);

/* Add whether "columns" are those of such a table. */
void pgmig_shape_add(struct pgmig_sql *s);

/* Refuse the table that was found. `recorded`: a history of ours stands beside
** it. Returns -1. */
int pgmig_shape_refuse(const struct pgmig_ledger *ledger, const char *columns,
                       bool recorded, struct pgmig_error *err);

#endif
