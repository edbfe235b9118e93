/*
** lexer.h -- PostgreSQL's lexical rules (manual section 4.1; scan.l) as far
** as they decide where a token ends.
**
** A push scanner: the caller shows it the text that is there. When a token
** touches the end of a text that is not `final`, the answer is
** PGMIG_TOKEN_MORE and nothing is consumed: show more and ask again.
*/
#ifndef PGMIG_LEXER_H
#define PGMIG_LEXER_H

#include "text/text.h"

enum pgmig_token_kind {
    PGMIG_TOKEN_END,
    PGMIG_TOKEN_MORE,
    PGMIG_TOKEN_WORD,   /* a name or key word without quotes */
    PGMIG_TOKEN_QUOTED, /* "name", U&"name" */
    PGMIG_TOKEN_STRING, /* any literal in quotes or dollar quotes */
    PGMIG_TOKEN_NUMBER,
    PGMIG_TOKEN_SYMBOL, /* one character of anything else */
    PGMIG_TOKEN_LINE_COMMENT,
    PGMIG_TOKEN_BLOCK_COMMENT,
    PGMIG_TOKEN_BACKSLASH,   /* outside quotes: a psql command */
    PGMIG_TOKEN_UNTERMINATED /* reaches the end of a final text */
};

struct pgmig_token {
    enum pgmig_token_kind kind;
    size_t start, end;
};

struct pgmig_lexer {
    const char *text;
    size_t len;
    size_t pos;
    bool final;            /* the text ends at len */
    bool standard_strings; /* standard_conforming_strings */
};

/* The next token; blanks are skipped. */
struct pgmig_token pgmig_lexer_next(struct pgmig_lexer *lx);

/*
** Pass over tokens that decide nothing for who only looks for semicolons and
** parentheses: words, literals, numbers and other symbols. Returns where the
** last of them ends, 0 when there was none.
*/
size_t pgmig_lexer_skip(struct pgmig_lexer *lx);

/* What an unterminated token is: "quoted string", "quoted identifier", ... */
const char *pgmig_token_what(const char *text, const struct pgmig_token *token);

/* Whether a token is the given word (in lower case), without case. */
bool pgmig_token_is(const char *text, const struct pgmig_token *token,
                    const char *word);

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
/* The same of one of several; a NULL ends them. */
bool pgmig_words_at_any(const struct pgmig_words *w, const char *const *words);

/* The same, and if so go on. */
bool pgmig_words_accept(struct pgmig_words *w, const char *word);

/* Whether the current token may be a name, quoted or not; whether it is this
** symbol. */
bool pgmig_words_at_name(const struct pgmig_words *w);
bool pgmig_words_at_symbol(const struct pgmig_words *w, char c);

bool pgmig_words_ended(const struct pgmig_words *w);

/* Go on to the next token outside parentheses that is this word, if any. */
bool pgmig_words_find(struct pgmig_words *w, const char *word);

#endif
