/*
** annotation.h -- what the words of another tool's markers say, as the
** directives that say the same.
*/
#ifndef PGMIG_ANNOTATION_H
#define PGMIG_ANNOTATION_H

#include "text/directive.h"

/*
** Add what the words behind a section's marker say. A word that is no option
** is let go, as the tools do; one that looks like an option is an error.
** [start, end) is the comment's text behind its dashes.
*/
PGMIG_NODISCARD int pgmig_annotation_options(
    struct pgmig_directives to, const struct pgmig_script *script,
    const struct pgmig_vocabulary *words, const struct pgmig_marker *marker,
    size_t start, size_t end, struct pgmig_error *err);

/* Refuse what a marker asks for; [start, end) as above. */
PGMIG_NODISCARD int pgmig_annotation_refuse(const struct pgmig_script *script,
                                            const struct pgmig_marker *marker,
                                            size_t start, size_t end,
                                            struct pgmig_error *err);

/* Refuse a marker at `at` that counts to its tool, and not here. */
PGMIG_NODISCARD int pgmig_annotation_stray(const struct pgmig_script *script,
                                           size_t at, struct pgmig_error *err);

/* Refuse a statement that has a placeholder at `at`. */
PGMIG_NODISCARD int
pgmig_annotation_unfilled(const struct pgmig_script *script,
                          const struct pgmig_vocabulary *words, size_t at,
                          size_t end, struct pgmig_error *err);

#endif
