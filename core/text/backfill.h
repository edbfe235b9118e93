/* backfill.h -- the BACKFILL lines of a file. */
#ifndef PGMIG_BACKFILL_H
#define PGMIG_BACKFILL_H

#include "text/text.h"

/*
** Add what a BACKFILL line says to a section: [start, end) is the text behind
** its first word, `offset` is where the line stands. Unknown and missing
** options and values of the wrong form are errors.
*/
PGMIG_NODISCARD int pgmig_backfill_parse(struct pgmig_section *section,
                                         const struct pgmig_source *source,
                                         size_t offset, size_t start,
                                         size_t end, struct pgmig_error *err);

/* Free those of a section. */
void pgmig_backfill_free(struct pgmig_section *section);

#endif
