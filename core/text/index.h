/* index.h -- what a statement does to indexes: its part of classify.c. */
#ifndef PGMIG_INDEX_H
#define PGMIG_INDEX_H

#include "text/lexer.h"

/* What stands behind CREATE INDEX, DROP INDEX or REINDEX and CONCURRENTLY: the
** current token is the first of it. */
void pgmig_index_create(struct pgmig_words *w, struct pgmig_index *index);
void pgmig_index_drop(struct pgmig_words *w, struct pgmig_index *index);
void pgmig_index_reindex(struct pgmig_words *w, struct pgmig_index *index);

/* What stands behind ALTER TABLE, if that is DETACH PARTITION CONCURRENTLY. */
void pgmig_index_detach(struct pgmig_words w, struct pgmig_index *index);

#endif
