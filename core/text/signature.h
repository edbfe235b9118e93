/* signature.h -- name(arguments) of a routine, as a file and the server say it.
 */
#ifndef PGMIG_SIGNATURE_H
#define PGMIG_SIGNATURE_H

#include "text/lexer.h"

struct pgmig_signature {
    const char *text;
    struct pgmig_token schema; /* empty: none is named */
    struct pgmig_token name;
    size_t args_start, args_end; /* what stands in the parentheses */
};

enum pgmig_fit { PGMIG_FIT_NOT, PGMIG_FIT_PERHAPS, PGMIG_FIT_SURELY };

/* Read [schema.]name(arguments) and stop at the last parenthesis; false where
** none follows the name. */
bool pgmig_signature_read(struct pgmig_words *w, struct pgmig_signature *sig);

/* Whether the arguments that go in are those of a routine that the server
** speaks of, as regprocedure writes it: only their types, by their full names.
** `made` is of the file: it has names, modes, defaults and short names of
** types. */
enum pgmig_fit pgmig_signature_fits(const struct pgmig_signature *said,
                                    const struct pgmig_signature *made);

/* The order of names as the server keeps them. */
int pgmig_name_compare(const char *a, const struct pgmig_token *of_a,
                       const char *b, const struct pgmig_token *of_b);

/* Whether a name is this one, in lower case. */
bool pgmig_name_is(const char *text, const struct pgmig_token *name,
                   const char *word);

#endif
