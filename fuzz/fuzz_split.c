/*
** fuzz_split.c -- any text: shown in pieces it has the same statements,
** comments and COPY data as the whole, and the same error.
*/
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/split.h"

#define CHECK(condition)  \
    do {                  \
        if (!(condition)) \
            abort();      \
    } while (0)

/* A splitter, and the item that it has found. */
struct side {
    struct pgmig_splitter sp;
    struct pgmig_error err;
    struct pgmig_item item;
    size_t piece; /* bytes that are shown at once; 0: all are there */
    char *shown;  /* a copy of these: reading behind them is found */
};

static void show_more(struct side *side, const char *data, size_t size)
{
    struct pgmig_lexer *lx = &side->sp.lx;
    size_t len = size - lx->len > side->piece ? lx->len + side->piece : size;

    CHECK(!lx->final);
    free(side->shown);
    side->shown = malloc(len > 0 ? len : 1);
    CHECK(side->shown != NULL);
    memcpy(side->shown, data, len);
    lx->text = side->shown;
    lx->len = len;
    lx->final = len == size;
    CHECK(pgmig_splitter_needs(&side->sp) <= len);
}

static void next(struct side *side, const char *data, size_t size)
{
    do {
        side->item = pgmig_splitter_next(&side->sp, &side->err);
        if (side->item.kind == PGMIG_ITEM_MORE)
            show_more(side, data, size);
    } while (side->item.kind == PGMIG_ITEM_MORE);
}

/* Pieces of COPY data are one. */
static void next_whole(struct side *side, const char *data, size_t size)
{
    size_t start;

    next(side, data, size);
    start = side->item.start;
    while (side->item.kind == PGMIG_ITEM_DATA && !side->item.last)
        next(side, data, size);
    if (side->item.kind == PGMIG_ITEM_DATA)
        side->item.start = start;
}

static void compare(const struct side *a, const struct side *b)
{
    const struct pgmig_statement *x = &a->item.statement;
    const struct pgmig_statement *y = &b->item.statement;

    CHECK(a->item.kind == b->item.kind);
    CHECK(a->item.start == b->item.start && a->item.end == b->item.end);
    CHECK(a->item.alone == b->item.alone);
    CHECK(x->start == y->start && x->end == y->end && x->traits == y->traits);
    CHECK(strcmp(x->kind, y->kind) == 0);
    CHECK(a->item.kind != PGMIG_ITEM_ERROR ||
          strcmp(a->err.message, b->err.message) == 0);
}

static bool ended(const struct side *side)
{
    return side->item.kind == PGMIG_ITEM_END ||
           side->item.kind == PGMIG_ITEM_ERROR;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct side whole = {.piece = 0};
    struct side pieces = {.piece = size > 4096 ? size / 64
                                               : 1 + (size ? data[0] % 9U : 0)};

    pgmig_splitter_init(&whole.sp, text, size);
    pgmig_splitter_init(&pieces.sp, text, 0);
    pieces.sp.lx.final = false;
    do {
        next_whole(&whole, text, size);
        next_whole(&pieces, text, size);
        compare(&whole, &pieces);
    } while (!ended(&whole));
    pgmig_error_clear(&whole.err);
    pgmig_error_clear(&pieces.err);
    free(pieces.shown);
    return 0;
}
