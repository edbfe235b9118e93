/* words.h -- a statement read token by token, without its comments. */
#ifndef PGMIG_WORDS_H
#define PGMIG_WORDS_H

#include "text/lexer.h"

struct pgmig_words {
    struct pgmig_lexer lx;
    struct pgmig_token tok; /* the current token; PGMIG_TOKEN_END at last */
    int parens;             /* parentheses that are open at it */
};

/* Read a statement's text; the first token becomes the current one. `sql` must
** stay valid; a copy of the struct reads on by itself. */
void pgmig_words_init(struct pgmig_words *w, const char *sql, size_t len,
                      bool standard_strings);

/* Go on to the next token. */
void pgmig_words_next(struct pgmig_words *w);

/* Whether the current token is this word (lower case), without case. */
bool pgmig_words_at(const struct pgmig_words *w, const char *word);

/* The same, and if so go on. */
bool pgmig_words_accept(struct pgmig_words *w, const char *word);

bool pgmig_words_ended(const struct pgmig_words *w);

/* Go on to the next token outside parentheses that is this word, if any. */
bool pgmig_words_find(struct pgmig_words *w, const char *word);

#endif
