/* kind.h -- what a statement is, as far as the engine must know. */
#ifndef PGMIG_KIND_H
#define PGMIG_KIND_H

#include "text/text.h"

/* Fill in traits and kind of a statement, whose text is given. The kind is its
** first words in capitals, such as "CREATE INDEX CONCURRENTLY"; "" where it
** begins with no word. */
void pgmig_kind_classify(const char *sql, size_t len, bool standard_strings,
                         struct pgmig_statement *st);

/* The modes that BEGIN, START TRANSACTION or SET TRANSACTION asks for. */
struct pgmig_modes {
    const char *isolation;  /* "SERIALIZABLE", ...; NULL: not said */
    const char *deferrable; /* "DEFERRABLE", "NOT DEFERRABLE"; NULL */
    const char *refused;    /* what cannot be kept, in words; NULL: nothing */
};

/* Add the modes of such a statement to what is there; a later word counts more
** than an earlier one. */
void pgmig_kind_modes(const char *sql, size_t len, struct pgmig_modes *modes);

#endif
