/*
** backfill.c -- the BACKFILL lines of a file.
**
** `-- BACKFILL table=orders set="total_cents = round(total * 100)"`: options
** with values, which have quotes where there are blanks in them. What they mean
** to a table is the server's to say; here it is checked that nothing is
*missing,
** misspelt or said twice, with its place in the file.
*/
#include "text/backfill.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "text/directive.h"
#include "text/source.h"

#define SHOWN 60 /* bytes of a word in a message */

enum kind { ANY, COUNT, DURATION, WHEN };

static const struct option {
    const char *key;
    enum kind kind;
    bool needed;
} options[] = {
    {"table", ANY, true},    {"key", ANY, false},
    {"set", ANY, true},      {"where", ANY, false},
    {"batch", COUNT, false}, {"target", DURATION, false},
    {"skip", COUNT, false},  {"run", WHEN, false},
};

#define OPTIONS (sizeof options / sizeof *options)

/* What is read of the line, and where. */
struct line {
    const struct pgmig_source *source;
    const char *text;
    size_t at, end;
    size_t start; /* of the text in the file */
    struct pgmig_error *err;
};

static int point(const struct line *line, size_t at)
{
    return pgmig_source_point(line->source, line->start + at, line->err);
}

static const struct option *find(const char *key, size_t len)
{
    for (size_t i = 0; i < OPTIONS; i++)
        if (strlen(options[i].key) == len &&
            memcmp(options[i].key, key, len) == 0)
            return &options[i];
    return NULL;
}

static int refuse_word(const struct line *line, size_t at)
{
    size_t len = line->end - at;
    struct pgmig_buf keys = {0};

    for (size_t i = 0; i < len; i++)
        if (isspace((unsigned char)line->text[at + i]) ||
            line->text[at + i] == '=')
            len = i;
    pgmig_error_set(line->err, PGMIG_E_PARSE,
                    "unknown option \"%.*s\" of BACKFILL",
                    (int)(len < SHOWN ? len : SHOWN), line->text + at);
    for (size_t i = 0; i < OPTIONS; i++)
        pgmig_buf_addf(&keys, "%s%s=", i > 0 ? ", " : "", options[i].key);
    if (!keys.failed)
        pgmig_error_hint(line->err,
                         "its options are %s; a value with blanks stands in "
                         "double quotes, in which \"\" is one quote",
                         keys.data);
    pgmig_buf_free(&keys);
    return point(line, at);
}

static const char *wrong_value(const struct option *option, const char *value)
{
    size_t len = strlen(value);
    bool has_unit;
    int ms;

    if (value[strspn(value, " \t")] == '\0')
        return "needs a value";
    switch (option->kind) {
    case COUNT:
        return strspn(value, "0123456789") == len && len <= 6
                   ? NULL
                   : "must be a whole number";
    case DURATION:
        return pgmig_duration_setting(value, len, &ms, &has_unit);
    case WHEN:
        return strcmp(value, "later") == 0 || strcmp(value, "now") == 0
                   ? NULL
                   : "must be now or later";
    default:
        return NULL;
    }
}

/* Up to the next blank; or what stands in quotes, of two within one: never more
** than is left of the line. */
static char *read_value(struct line *line)
{
    bool quoted = line->at < line->end && line->text[line->at] == '"';
    char *value = malloc(line->end - line->at + 1);
    size_t len = 0;

    if (value == NULL) {
        pgmig_error_memory(line->err);
        return NULL;
    }
    for (line->at += quoted; line->at < line->end; line->at++) {
        char c = line->text[line->at];

        if (!quoted && isspace((unsigned char)c))
            break;
        if (quoted && c == '"') {
            line->at++;
            if (line->at == line->end || line->text[line->at] != '"') {
                quoted = false;
                break;
            }
        }
        value[len++] = c;
    }
    value[len] = '\0';
    if (!quoted)
        return value;
    free(value);
    pgmig_error_set(line->err, PGMIG_E_PARSE, "unterminated quoted value");
    pgmig_error_hint(line->err, "the line must have all of the BACKFILL");
    return NULL;
}

static int add(struct line *line, struct pgmig_backfill *backfill,
               const struct option *option, const char *value, size_t at)
{
    struct pgmig_directives to = {&backfill->options, &backfill->option_count};
    const char *wrong = wrong_value(option, value);

    if (wrong == NULL &&
        pgmig_directive_find(*to.list, *to.count, option->key) != NULL)
        wrong = "is specified more than once";
    if (wrong == NULL)
        return pgmig_directive_set(to, option->key, value, line->start + at,
                                   line->err);
    pgmig_error_set(line->err, PGMIG_E_PARSE, "%s %s", option->key, wrong);
    return point(line, at);
}

static int read_option(struct line *line, struct pgmig_backfill *backfill)
{
    size_t start = line->at;
    const struct option *option;
    char *value;
    int status;

    while (line->at < line->end &&
           (isalnum((unsigned char)line->text[line->at]) ||
            line->text[line->at] == '_'))
        line->at++;
    option = find(line->text + start, line->at - start);
    if (option == NULL || line->at == line->end ||
        line->text[line->at++] != '=')
        return refuse_word(line, start);
    value = read_value(line);
    if (value == NULL)
        return point(line, start);
    status = add(line, backfill, option, value, start);
    free(value);
    if (status == 0 && line->at < line->end &&
        !isspace((unsigned char)line->text[line->at]))
        return refuse_word(line, line->at);
    return status;
}

static int check_needed(const struct line *line,
                        const struct pgmig_backfill *backfill)
{
    for (size_t i = 0; i < OPTIONS; i++) {
        if (!options[i].needed ||
            pgmig_directive_find(backfill->options, backfill->option_count,
                                 options[i].key) != NULL)
            continue;
        pgmig_error_set(line->err, PGMIG_E_PARSE,
                        "BACKFILL needs %s=", options[i].key);
        return point(line, 0);
    }
    return 0;
}

int pgmig_backfill_parse(struct pgmig_section *section,
                         const struct pgmig_source *source, size_t offset,
                         size_t start, size_t end, struct pgmig_error *err)
{
    struct pgmig_backfill *list =
        pgmig_grow(section->backfills, section->backfill_count, sizeof *list);
    struct pgmig_backfill *backfill;
    struct line line = {.source = source,
                        .text = pgmig_source_at(source, start),
                        .end = end - start,
                        .start = start,
                        .err = err};

    if (list == NULL)
        return pgmig_error_memory(err);
    section->backfills = list;
    backfill = &list[section->backfill_count++];
    *backfill = (struct pgmig_backfill){.offset = offset};
    for (;;) {
        while (line.at < line.end && isspace((unsigned char)line.text[line.at]))
            line.at++;
        if (line.at == line.end)
            return check_needed(&line, backfill);
        if (read_option(&line, backfill) != 0)
            return -1;
    }
}

void pgmig_backfill_free(struct pgmig_section *section)
{
    for (size_t i = 0; i < section->backfill_count; i++)
        pgmig_directive_free(section->backfills[i].options,
                             section->backfills[i].option_count);
    free(section->backfills);
}
