/*
** fuzz_lexer.c -- any text: the lexer ends, its tokens are in order, and a
** text that is shown in pieces has the same tokens as the whole.
*/
#include <stdint.h>
#include <stdlib.h>

#include "text/lexer.h"

#define CHECK(condition)  \
    do {                  \
        if (!(condition)) \
            abort();      \
    } while (0)

static bool is_last(const struct pgmig_token *tok)
{
    return tok->kind == PGMIG_TOKEN_END ||
           tok->kind == PGMIG_TOKEN_UNTERMINATED;
}

/* The next token when the text arrives `piece` bytes at a time. */
static struct pgmig_token next_in_pieces(struct pgmig_lexer *lx, size_t whole,
                                         size_t piece)
{
    struct pgmig_token tok;

    while ((tok = pgmig_lexer_next(lx)).kind == PGMIG_TOKEN_MORE) {
        CHECK(!lx->final);
        lx->len = whole - lx->len > piece ? lx->len + piece : whole;
        lx->final = lx->len == whole;
    }
    return tok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pgmig_lexer whole = {.text = (const char *)data,
                                .len = size,
                                .final = true,
                                .standard_strings = size % 2 == 0};
    struct pgmig_lexer pieces = whole;
    /* an unfinished token is read again from its start: pieces of a long
    ** text must not be small */
    size_t piece = size == 0 || size > 8192 ? size : 1 + data[0] % 7U;
    size_t end = 0;
    struct pgmig_token a;

    pieces.len = 0;
    pieces.final = size == 0;
    do {
        struct pgmig_token b = next_in_pieces(&pieces, size, piece);

        a = pgmig_lexer_next(&whole);
        CHECK(a.start >= end && a.end >= a.start && a.end <= size);
        CHECK(a.end > a.start || is_last(&a));
        CHECK(a.kind == b.kind && a.start == b.start && a.end == b.end);
        end = a.end;
    } while (!is_last(&a));
    return 0;
}
