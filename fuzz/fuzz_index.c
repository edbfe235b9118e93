/*
** fuzz_index.c -- any statements: the names that are read of indexes stand in
** the statement, have room where they were written, and read the same when they
** are read again.
*/
#include <string.h>

#include "base/buf.h"
#include "check.h"
#include "text/text.h"

static char *read_name(const char *text, struct pgmig_range name, size_t *len)
{
    char *out = malloc(name.end - name.start + 1);

    CHECK(out != NULL);
    *len = pgmig_ident_read(text, name, out);
    CHECK(*len <= name.end - name.start);
    out[*len] = '\0';
    return out;
}

static void check_name(const char *text, size_t size, struct pgmig_range name)
{
    size_t len;
    size_t again_len;
    char *out;
    char *again;

    if (name.end == 0)
        return;
    CHECK(name.end >= name.start && name.end <= size);
    out = read_name(text, name, &len);
    again = read_name(out, (struct pgmig_range){0, len}, &again_len);
    CHECK(strcmp(again, out) == 0);
    free(out);
    free(again);
}

static void check_statement(const struct pgmig_script *s,
                            const struct pgmig_statement *st)
{
    const char *text = pgmig_source_at(&s->source, st->start);
    size_t size = st->end - st->start;
    struct pgmig_index index = st->index;

    CHECK((index.action == PGMIG_INDEX_NONE) ==
          (pgmig_index_action_name(index.action) == NULL));
    check_name(text, size, index.name);
    check_name(text, size, index.table);
    CHECK(index.rest.end <= size && index.rest.start <= index.rest.end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pgmig_error err = {0};
    char *text = pgmig_strndup((const char *)data, size);
    struct pgmig_script *s;

    CHECK(text != NULL);
    s = pgmig_script_parse("fuzz.sql", text, size, &pgmig_vocabulary_default,
                           &err);
    for (int i = 0; s != NULL && i < 2; i++)
        for (size_t at = 0; at < s->sections[i].statement_count; at++)
            check_statement(s, &s->sections[i].statements[at]);
    pgmig_script_free(s);
    pgmig_error_clear(&err);
    return 0;
}
