/* directive.h -- the `key=value` words of a `-- pgmig:` line. */
#ifndef PGMIG_DIRECTIVE_H
#define PGMIG_DIRECTIVE_H

#include "text/text.h"

/* A list that grows. */
struct pgmig_directives {
    struct pgmig_directive **list;
    size_t *count;
};

/*
** Add the directives at [start, end) of a script's text to a list. Unknown
** and repeated keys and values of the wrong form are errors.
*/
PGMIG_NODISCARD int pgmig_directive_parse(struct pgmig_directives to,
                                          const struct pgmig_script *script,
                                          const struct pgmig_vocabulary *words,
                                          size_t start, size_t end,
                                          struct pgmig_error *err);

/* Add what another tool's words say, copied, unless the list has the key
** already. -1 without memory. */
PGMIG_NODISCARD int pgmig_directive_set(struct pgmig_directives to,
                                        const char *key, const char *value,
                                        size_t offset, struct pgmig_error *err);

/* The value of a key, NULL when it is not in the list. */
const char *pgmig_directive_find(const struct pgmig_directive *list,
                                 size_t count, const char *key);

/* Free a list and its strings; NULL is an empty one. */
void pgmig_directive_free(struct pgmig_directive *list, size_t count);

/*
** Add what the words behind a section's marker say. A word that is no option
** is let go, as the tools do; one that looks like an option is an error.
** [start, end) is the comment's text behind its dashes.
*/
PGMIG_NODISCARD int pgmig_directive_options(
    struct pgmig_directives to, const struct pgmig_script *script,
    const struct pgmig_vocabulary *words, const struct pgmig_marker *marker,
    size_t start, size_t end, struct pgmig_error *err);

/* Refuse what a marker asks for; [start, end) as above. */
PGMIG_NODISCARD int pgmig_directive_refuse(const struct pgmig_script *script,
                                           const struct pgmig_marker *marker,
                                           size_t start, size_t end,
                                           struct pgmig_error *err);

#endif
