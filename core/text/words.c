/*
** words.c -- a statement read token by token, without its comments.
**
** For whoever looks for a few words at their places and does not care for the
** rest. A statement was cut before: nothing in it lacks an end, if it is read
** with the same setting of standard_conforming_strings.
*/
#include "text/words.h"

void pgmig_words_init(struct pgmig_words *w, const char *sql, size_t len,
                      bool standard_strings)
{
    *w = (struct pgmig_words){0};
    w->lx = (struct pgmig_lexer){.text = sql,
                                 .len = len,
                                 .final = true,
                                 .standard_strings = standard_strings};
    pgmig_words_next(w);
}

void pgmig_words_next(struct pgmig_words *w)
{
    do {
        w->tok = pgmig_lexer_next(&w->lx);
    } while (w->tok.kind == PGMIG_TOKEN_LINE_COMMENT ||
             w->tok.kind == PGMIG_TOKEN_BLOCK_COMMENT);
    if (w->tok.kind != PGMIG_TOKEN_SYMBOL)
        return;
    /* at ( it is counted already, at ) no longer */
    if (w->lx.text[w->tok.start] == '(')
        w->parens++;
    else if (w->lx.text[w->tok.start] == ')')
        w->parens--;
}

bool pgmig_words_at(const struct pgmig_words *w, const char *word)
{
    return pgmig_token_is(w->lx.text, &w->tok, word);
}

bool pgmig_words_accept(struct pgmig_words *w, const char *word)
{
    if (!pgmig_words_at(w, word))
        return false;
    pgmig_words_next(w);
    return true;
}

bool pgmig_words_ended(const struct pgmig_words *w)
{
    return w->tok.kind == PGMIG_TOKEN_END;
}

/* A stray closing parenthesis makes the count negative: what follows it is
** outside all the same. */
bool pgmig_words_find(struct pgmig_words *w, const char *word)
{
    for (; !pgmig_words_ended(w); pgmig_words_next(w))
        if (w->parens <= 0 && pgmig_words_at(w, word))
            return true;
    return false;
}
