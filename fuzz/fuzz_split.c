/*
** fuzz_split.c -- any text: shown in pieces it has the same statements,
** comments and COPY data as the whole, and the same error; where it is shown
** through a window, far behind the start of a file, too.
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

/* No pointer reaches as far: the text must be looked at from its window on. */
#define FAR (SIZE_MAX - (1U << 30))

/* A splitter, and the item that it has found. */
struct side {
    struct pgmig_splitter sp;
    struct pgmig_error err;
    struct pgmig_item item;
    struct pgmig_source source;
    size_t base;  /* where the text stands in its file */
    size_t piece; /* bytes that are shown at once; 0: all are there */
    char *shown;  /* a copy of what is there: reading beside it is found */
};

/* Whether only blanks stand before an offset on its line. */
static bool is_blank(const char *data, size_t at)
{
    while (at > 0 && strchr(" \t\f\v", data[at - 1]) != NULL &&
           data[at - 1] != '\0')
        at--;
    return at == 0 || data[at - 1] == '\n' || data[at - 1] == '\r';
}

static void show_more(struct side *side, const char *data, size_t size)
{
    struct pgmig_source *s = &side->source;
    size_t seen = s->end - side->base;
    size_t end = size - seen > side->piece ? seen + side->piece : size;
    size_t from = pgmig_splitter_needs(&side->sp) - side->base;

    CHECK(!s->final && from <= seen);
    if (side->base == 0)
        from = 0; /* the window only grows */
    else if (from > 0)
        s->blank = is_blank(data, from);
    free(side->shown);
    side->shown = malloc(end > from ? end - from : 1);
    CHECK(side->shown != NULL);
    memcpy(side->shown, data + from, end - from);
    s->text = side->shown;
    s->from = side->base + from;
    s->end = side->base + end;
    s->final = end == size;
    pgmig_splitter_show(&side->sp, s);
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
    CHECK(a->item.alone == b->item.alone);
    CHECK(x->traits == y->traits && strcmp(x->name, y->name) == 0);
    CHECK(a->item.kind != PGMIG_ITEM_ERROR ||
          strcmp(a->err.message, b->err.message) == 0);
    if (a->item.kind == PGMIG_ITEM_STATEMENT) {
        CHECK(x->start == y->start - b->base && x->end == y->end - b->base);
    } else if (a->item.kind != PGMIG_ITEM_END) {
        CHECK(a->item.start == b->item.start - b->base);
        CHECK(a->item.kind == PGMIG_ITEM_ERROR ||
              a->item.end == b->item.end - b->base);
    }
}

static struct side begin(size_t base, size_t piece)
{
    struct side side = {.source = {.from = base, .end = base, .blank = true},
                        .base = base,
                        .piece = piece};

    pgmig_splitter_init(&side.sp, &side.source);
    return side;
}

static void finish(struct side *side)
{
    pgmig_error_clear(&side->err);
    free(side->shown);
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
    size_t piece = size > 4096 ? size / 64 : 1 + (size ? data[0] % 9U : 0);
    /* far away, three bytes are no byte order mark */
    bool bom = size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0;
    struct side whole = begin(0, 0);
    struct side pieces = begin(0, piece);
    struct side window = begin(bom ? 0 : FAR, piece);

    whole.source.text = text;
    whole.source.end = size;
    whole.source.final = true;
    pgmig_splitter_show(&whole.sp, &whole.source);
    do {
        next_whole(&whole, text, size);
        next_whole(&pieces, text, size);
        next_whole(&window, text, size);
        compare(&whole, &pieces);
        compare(&whole, &window);
    } while (!ended(&whole));
    finish(&whole);
    finish(&pieces);
    finish(&window);
    return 0;
}
