/*
** fuzz_stream.c -- any file: read in pieces it is what it is when it is held,
** wherever a read ends: sections, statements, directives, warnings, places,
** errors, and what its cursor hands out.
**
** Also a program (-DEVERY_SPLIT), which tries every place where the first read
** may end, and pieces of each small size:
**     fuzz_stream [-p] FILE...           prints how many; -p: pieces only
**
** Built with small buffers (PGMIG_STREAM_PIECE, PGMIG_LINE_SHOWN, and
** PGMIG_STREAM_BYTES=0) and -Wl,--wrap=read.
*/
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "text/script.h"

/* ---- reading in pieces ------------------------------------------------- */

static bool cutting;  /* reads are cut */
static size_t first;  /* bytes of the first read of a file */
static size_t others; /* of each one behind it; 0: as many as are asked for */

ssize_t __real_read(int fd, void *buf, size_t n);
ssize_t __wrap_read(int fd, void *buf, size_t n);

ssize_t __wrap_read(int fd, void *buf, size_t n)
{
    size_t most = n;

    if (cutting)
        most = lseek(fd, 0, SEEK_CUR) == 0 ? first : others;
    return __real_read(fd, buf, most > 0 && most < n ? most : n);
}

/* ---- what differs ------------------------------------------------------ */

static const char *file; /* for reports */

static void same(int line, const char *what, long long a, long long b)
{
    if (a == b)
        return;
    fprintf(stderr,
            "%s: first read %zu, others %zu: %s is %lld, held %lld "
            "(line %d)\n",
            file, first, others, what, a, b, line);
    abort();
}

#define SAME(a, b) same(__LINE__, #a, (long long)(a), (long long)(b))

static void same_text(int line, const char *a, const char *b)
{
    if ((a == NULL) != (b == NULL) || (a != NULL && strcmp(a, b) != 0)) {
        fprintf(stderr, "%s: first read %zu, others %zu:\n%s\nheld:\n%s\n",
                file, first, others, a ? a : "(none)", b ? b : "(none)");
        same(line, "a text", 0, 1);
    }
}

#define SAME_TEXT(a, b) same_text(__LINE__, a, b)

static void compare_errors(const struct pgmig_error *a,
                           const struct pgmig_error *b)
{
    SAME(a->kind, b->kind);
    SAME_TEXT(a->message, b->message);
    SAME_TEXT(a->hint, b->hint);
    SAME_TEXT(a->file, b->file);
    SAME(a->line, b->line);
    SAME(a->column, b->column);
    SAME_TEXT(a->text, b->text);
}

static void compare_directives(const struct pgmig_directive *a, size_t n,
                               const struct pgmig_directive *b, size_t m)
{
    SAME(n, m);
    for (size_t i = 0; i < n; i++) {
        SAME_TEXT(a[i].key, b[i].key);
        SAME_TEXT(a[i].value, b[i].value);
        SAME(a[i].offset, b[i].offset);
    }
}

static void compare_places(const struct pgmig_script *a,
                           const struct pgmig_script *b, size_t offset)
{
    struct pgmig_error x = {0};
    struct pgmig_error y = {0};

    pgmig_source_point(&a->source, offset, &x);
    pgmig_source_point(&b->source, offset, &y);
    compare_errors(&x, &y);
    pgmig_error_clear(&x);
    pgmig_error_clear(&y);
}

/* All data of a COPY. */
static char *read_data(struct pgmig_cursor *c, struct pgmig_error *err)
{
    struct pgmig_buf all = {0};
    const char *data;
    size_t len;

    pgmig_buf_adds(&all, "");
    while (pgmig_cursor_data(c, &data, &len, err) == 1)
        pgmig_buf_add(&all, data, len);
    SAME(all.failed, false);
    return all.data;
}

/* The next statement of both, and its data; false at the end. */
static bool compare_next(struct pgmig_cursor *a, struct pgmig_cursor *b)
{
    struct pgmig_error x = {0};
    struct pgmig_error y = {0};
    struct pgmig_statement s = {0};
    struct pgmig_statement t = {0};
    const char *sql_a;
    const char *sql_b;
    int more = pgmig_cursor_next(a, &s, &sql_a, &x);
    char *data[2] = {NULL, NULL};

    SAME(more, pgmig_cursor_next(b, &t, &sql_b, &y));
    compare_errors(&x, &y);
    SAME(s.start, t.start);
    SAME(s.end, t.end);
    SAME(s.traits, t.traits);
    SAME(s.kind, t.kind);
    SAME_TEXT(s.name, t.name);
    if (more != 1)
        return false;
    SAME(memcmp(sql_a, sql_b, s.end - s.start), 0);
    if (s.traits & PGMIG_T_COPY_IN) {
        data[0] = read_data(a, &x);
        data[1] = read_data(b, &y);
        SAME_TEXT(data[0], data[1]);
    }
    free(data[0]);
    free(data[1]);
    return true;
}

static void compare_section(const struct pgmig_script *a,
                            const struct pgmig_script *b,
                            enum pgmig_direction direction)
{
    const struct pgmig_section *s = &a->sections[direction];
    const struct pgmig_section *t = &b->sections[direction];
    struct pgmig_error err = {0};
    struct pgmig_cursor c;
    struct pgmig_cursor d;

    SAME(s->present, t->present);
    SAME(s->start, t->start);
    SAME(s->total, t->total);
    SAME(s->first, t->first);
    SAME(s->last, t->last);
    SAME(s->transaction, t->transaction);
    SAME(s->wrapped, t->wrapped);
    SAME_TEXT(s->begin, t->begin);
    compare_directives(s->directives, s->directive_count, t->directives,
                       t->directive_count);
    if (!s->transaction)
        return; /* it is held when it runs */
    SAME(pgmig_cursor_open(&c, a, direction, &err), 0);
    SAME(pgmig_cursor_open(&d, b, direction, &err), 0);
    while (compare_next(&c, &d))
        ;
    pgmig_cursor_close(&c);
    pgmig_cursor_close(&d);
    for (size_t i = 0; i < t->statement_count; i += 1 + i / 4)
        compare_places(a, b, t->statements[i].start);
}

static void compare_scripts(const struct pgmig_script *a,
                            const struct pgmig_script *b)
{
    SAME(a->marked, b->marked);
    SAME(a->warning_count, b->warning_count);
    for (size_t i = 0; i < a->warning_count; i++) {
        SAME(a->warnings[i].line, b->warnings[i].line);
        SAME(a->warnings[i].column, b->warnings[i].column);
        SAME_TEXT(a->warnings[i].message, b->warnings[i].message);
    }
    compare_directives(a->directives, a->directive_count, b->directives,
                       b->directive_count);
    compare_section(a, b, PGMIG_UP);
    compare_section(a, b, PGMIG_DOWN);
}

/* ---- both ways of reading ---------------------------------------------- */

static const struct pgmig_marker markers[] = {
    {.text = "migrate:up", .kind = PGMIG_MARKER_UP, .options = true},
    {.text = "migrate:down", .kind = PGMIG_MARKER_DOWN, .loose = true},
    {.text = "-- above / below --",
     .kind = PGMIG_MARKER_DIVIDER,
     .anywhere = true},
    {.text = "no transaction",
     .kind = PGMIG_MARKER_SETTING,
     .key = "transaction",
     .value = "off",
     .first = true},
    {.text = "end", .kind = PGMIG_MARKER_END},
    {.text = "include ", .kind = PGMIG_MARKER_REFUSED, .hint = "no"},
};

static const struct pgmig_marker_option options[] = {
    {"transaction:false", "transaction", "off"},
};

static struct pgmig_vocabulary foreign(void)
{
    struct pgmig_vocabulary words = pgmig_vocabulary_default;

    words.markers = markers;
    words.marker_count = sizeof markers / sizeof *markers;
    words.options = options;
    words.option_count = 1;
    words.transaction = PGMIG_TRANSACTION_AUTO;
    words.repeats = true;
    words.empty = true;
    words.placeholder = "${";
    words.placeholder_end = "}";
    return words;
}

static void compare(const struct pgmig_vocabulary *words,
                    const struct pgmig_script *held,
                    const struct pgmig_error *held_err)
{
    struct pgmig_error err = {0};
    struct pgmig_script *streamed;

    cutting = true;
    streamed = pgmig_script_read(file, words, true, &err);
    compare_errors(&err, held_err);
    SAME(streamed == NULL, held == NULL);
    if (streamed != NULL)
        compare_scripts(streamed, held);
    cutting = false;
    pgmig_script_free(streamed);
    pgmig_error_clear(&err);
}

static struct pgmig_script *hold(const char *data, size_t size,
                                 const struct pgmig_vocabulary *words,
                                 struct pgmig_error *err)
{
    char *copy = pgmig_strndup(data, size);

    SAME(copy == NULL, false);
    return pgmig_script_parse(file, copy, size, words, err);
}

#ifdef EVERY_SPLIT

#define SMALL 9

static bool pieces_only;

static long try_all(const char *data, size_t size,
                    const struct pgmig_vocabulary *words)
{
    struct pgmig_error err = {0};
    struct pgmig_script *held = hold(data, size, words, &err);
    long tried = 0;

    others = 0;
    for (first = 1; first <= size && !pieces_only; first++, tried++)
        compare(words, held, &err);
    for (others = 1; others < SMALL; others++, tried++) {
        first = others;
        compare(words, held, &err);
    }
    pgmig_script_free(held);
    pgmig_error_clear(&err);
    return tried;
}

int main(int argc, char **argv)
{
    struct pgmig_vocabulary words = foreign();
    long tried = 0;

    for (int i = 1; i < argc; i++) {
        struct pgmig_error err = {0};
        char *data;
        size_t size;

        file = argv[i];
        if (strcmp(file, "-p") == 0) {
            pieces_only = true;
            continue;
        }
        SAME(pgmig_file_read(file, &data, &size, &err), 0);
        tried += try_all(data, size, &pgmig_vocabulary_default);
        tried += try_all(data, size, &words);
        free(data);
    }
    printf("%ld\n", tried);
    return 0;
}

#else

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pgmig_vocabulary words = foreign();
    struct pgmig_error err = {0};
    struct pgmig_script *held;
    char path[32];
    int fd;

    if (size < 3 || size > 2048)
        return 0;
    first = 1 + (data[0] | (size_t)data[1] << 8) % size;
    others = data[2] % 16U;
    words = data[2] & 16 ? words : pgmig_vocabulary_default;
    data += 3, size -= 3;
    fd = memfd_create("fuzz", 0);
    SAME(write(fd, data, size), size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    file = path;
    held = hold((const char *)data, size, &words, &err);
    compare(&words, held, &err);
    pgmig_script_free(held);
    pgmig_error_clear(&err);
    close(fd);
    return 0;
}

#endif
