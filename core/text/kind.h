/* kind.h -- what a statement is, as far as the engine must know. */
#ifndef PGMIG_KIND_H
#define PGMIG_KIND_H

#include "text/text.h"

/* Fill in traits and kind of a statement whose start and end in `text` are set.
** The kind is its first words in capitals, such as "CREATE INDEX CONCURRENTLY";
** "" where it begins with no word. */
void pgmig_kind_classify(const char *text, struct pgmig_statement *st,
                         bool standard_strings);

/* The modes that BEGIN, START TRANSACTION or SET TRANSACTION asks for. */
struct pgmig_modes {
    const char *isolation;  /* "SERIALIZABLE", ...; NULL: not said */
    const char *deferrable; /* "DEFERRABLE", "NOT DEFERRABLE"; NULL */
    const char *refused;    /* what cannot be kept, in words; NULL: nothing */
};

/* Add the modes of such a statement to what is there; a later word counts more
** than an earlier one. */
void pgmig_kind_modes(const char *text, const struct pgmig_statement *st,
                      struct pgmig_modes *modes);

#endif
