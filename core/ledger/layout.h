/*
** layout.h -- another tool's tracking table, used in place: the SQL on it, as
** templates.
*/
#ifndef PGMIG_LAYOUT_H
#define PGMIG_LAYOUT_H

#include "ledger/sql.h"

/* A copy; NULL: out of memory. */
PGMIG_NODISCARD struct pgmig_layout *
pgmig_layout_copy(const struct pgmig_layout *layout);
void pgmig_layout_free(struct pgmig_layout *layout);

/* Whether a table's columns, "a int4,b text", have those that it needs. */
bool pgmig_layout_fits(const struct pgmig_layout *layout, const char *columns);

/* Add a template, with %t the table, %k, %n and %d the entry's key, name and
** digest as literals; `entry` NULL: only the table stands in it. */
void pgmig_layout_add(struct pgmig_sql *s, const char *text,
                      const struct pgmig_entry *entry);

#endif
