/* vocabulary.h -- what a comment means: a marker, nearly one, or neither. */
#ifndef PGMIG_VOCABULARY_H
#define PGMIG_VOCABULARY_H

#include "text/text.h"

enum pgmig_meaning {
    PGMIG_MEANS_NOTHING,
    PGMIG_MEANS_MARKER,
    PGMIG_MEANS_NEARLY,   /* reads like a marker, but is not written as one */
    PGMIG_MEANS_MISSPELT, /* ... and but for a letter or two */
    PGMIG_MEANS_FOREIGN,  /* another tool's marker */
    PGMIG_MEANS_DIRECTIVE /* begins with the directive prefix */
};

struct pgmig_comment {
    enum pgmig_meaning meaning;
    const struct pgmig_marker *marker; /* the one it is, or nearly is */
    size_t body; /* where in it the words of a directive, or options, begin */
};

/* What a comment means, its dashes, or slashes and stars, included. Nothing is
** owned: `marker` is one of the table's. */
struct pgmig_comment pgmig_vocabulary_read(const struct pgmig_vocabulary *words,
                                           const char *text, size_t len,
                                           bool line_comment);

/* Where a text has a marker that its tool finds anywhere; `len`: it has
** none. */
size_t pgmig_vocabulary_stray(const struct pgmig_vocabulary *words,
                              const char *text, size_t len);

/* Where a statement has a placeholder; `len` when it has none. */
size_t pgmig_vocabulary_placeholder(const struct pgmig_vocabulary *words,
                                    const char *text, size_t len);

/* Where a text has the first "${" or "{{" that ends behind `from`; `len`: it
** has none. */
size_t pgmig_vocabulary_opening(const char *text, size_t from, size_t len);

/* Whether a statement has a ${name} or {{name}}, as many tools write a
** placeholder: where the first one begins and ends. */
bool pgmig_vocabulary_suspect(const char *text, size_t len, size_t *start,
                              size_t *end);

/* Whether a marker ends the statement above it. */
bool pgmig_vocabulary_cuts(const struct pgmig_marker *marker);

/* The marker that a direction begins with; NULL: there is none. */
const struct pgmig_marker *
pgmig_vocabulary_section(const struct pgmig_vocabulary *words,
                         enum pgmig_direction direction);

/* The first marker of a kind, for messages; NULL: there is none. */
const char *pgmig_vocabulary_text(const struct pgmig_vocabulary *words,
                                  enum pgmig_marker_kind kind);

#endif
