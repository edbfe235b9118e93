/*
** shape.c -- the columns of a tracking table, and what to do about others.
**
** A table of that name with other columns may be another tool's. Or it is ours,
** and somebody has added a column, or lost one: then its rows say what is
** applied, and a new table in its place, being empty, would have all of it run
** again. So another name is advised only for what cannot be ours.
*/
#include "ledger/shape.h"

#include <string.h>

#include "base/buf.h"
#include "base/error.h"

/* What a tracking table of ours may look like, and how many digits of a version
** that has room for: an int4 holds all numbers of 9 digits, an int8 those of
** 18. */
#define OURS "applied_at timestamptz,name text,version "
static const struct shape {
    const char *columns;
    int digits;
} shapes[] = {{OURS "int4", 9},
              {OURS "int8", 18},
              {OURS "numeric", PGMIG_VERSION_DIGITS}};

#define DOCUMENTED                                                 \
    "version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at " \
    "TIMESTAMPTZ NOT NULL DEFAULT NOW()"

int pgmig_shape_digits(const char *columns)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (strcmp(columns, shapes[i].columns) == 0)
            return shapes[i].digits;
    return 0;
}

void pgmig_shape_add(struct pgmig_sql *s)
{
    pgmig_sql_addf(s, "columns %= ANY (ARRAY[");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        pgmig_sql_addf(s, "%s'%s'", i > 0 ? ", " : "", shapes[i].columns);
    pgmig_sql_add(s, "])");
}

/* ---- tables of other tools ------------------------------------------- */

/* Tools that call their table as we call ours. */
static const struct owner {
    const char *columns;
    const char *name;
    const char *format; /* what reads its files and its rows */
} owners[] = {
    {"version varchar", "dbmate's or Rails'", "dbmate"},
    {"dirty bool,version int8", "golang-migrate's", "golang-migrate"},
    {"inserted_at timestamp,version int8", "Ecto's", NULL},
    {NULL, "another program's", NULL},
};

static const struct owner *owner_of(const char *columns)
{
    const struct owner *o = owners;

    while (o->columns != NULL && strcmp(columns, o->columns) != 0)
        o++;
    return o;
}

/* Whose it may be is a guess, and said as one. */
static void refuse_stranger(const struct pgmig_ledger *ledger,
                            const struct owner *owner, struct pgmig_error *err)
{
    pgmig_error_set(err, PGMIG_E_PLAN,
                    "table %s is not a pgmig tracking table: it looks like %s",
                    ledger->asked, owner->name);
    if (owner->format != NULL)
        pgmig_error_hint(
            err,
            "take over its records with pgmig adopt --from %s, then continue "
            "with --format %s; or choose another name with --table (option "
            "`table`); nothing was touched",
            owner->format, owner->format);
    else
        pgmig_error_hint(err, "choose another name with --table (option "
                              "`table`); nothing was touched");
}

/* ---- a table of ours, changed ---------------------------------------- */

struct column {
    const char *name;
    size_t name_len;
    const char *type;
    size_t type_len;
};

/* The columns of a tracking table, and how one gets there. A table without
** versions is lost; the rest can be made again. */
static const struct wanted {
    const char *name;
    const char *types[3];
    const char *added; /* NULL: it cannot be */
    const char *type;
} wanted[] = {
    {"version", {"int4", "int8", "numeric"}, NULL, "numeric"},
    {"name", {"text"}, "text NOT NULL DEFAULT ''", "text"},
    {"applied_at",
     {"timestamptz"},
     "timestamptz NOT NULL DEFAULT pg_catalog.now()",
     "timestamptz"},
};

#define WANTED (sizeof wanted / sizeof *wanted)

/* The next one of a list; false at its end, and for a name that the list does
** not tell from a type: with a blank, a comma or quotes. */
static bool next_column(const char **at, struct column *c)
{
    static const char another[] = "another ";
    size_t len = strcspn(*at, ",");
    const char *blank = memchr(*at, ' ', len);
    const char *type;

    if (blank == NULL || memchr(*at, '"', len) != NULL)
        return false;
    *c = (struct column){.name = *at, .name_len = (size_t)(blank - *at)};
    c->type = type = blank + 1;
    c->type_len = len - (size_t)(type - *at);
    if (strncmp(type, another, sizeof another - 1) == 0)
        type += sizeof another - 1;
    if (memchr(type, ' ', len - (size_t)(type - *at)) != NULL)
        return false;
    *at += len + ((*at)[len] == ',' ? 1 : 0);
    return true;
}

static bool is_text(const char *text, size_t len, const char *word)
{
    return strlen(word) == len && memcmp(text, word, len) == 0;
}

/* Whether a list has a column; *found is that. */
static bool find_column(const char *columns, const char *name,
                        struct column *found)
{
    while (next_column(&columns, found))
        if (is_text(found->name, found->name_len, name))
            return true;
    return false;
}

static bool has_type(const struct wanted *w, const struct column *c)
{
    for (size_t i = 0; i < sizeof w->types / sizeof *w->types; i++)
        if (w->types[i] && is_text(c->type, c->type_len, w->types[i]))
            return true;
    return false;
}

/* One more part of ALTER TABLE. */
static void add_part(struct pgmig_buf *out, const char *verb, const char *name,
                     size_t len)
{
    pgmig_buf_addf(out, "%s%s \"%.*s\"", out->len > 0 ? ", " : " ", verb,
                   (int)len, name);
}

/* What is not there, or has another type. */
static bool add_wanted(struct pgmig_buf *out, const char *columns)
{
    for (const struct wanted *w = wanted; w < wanted + WANTED; w++) {
        size_t len = strlen(w->name);
        struct column c;

        if (!find_column(columns, w->name, &c)) {
            if (w->added == NULL)
                return false;
            add_part(out, "ADD COLUMN", w->name, len);
            pgmig_buf_addf(out, " %s", w->added);
        } else if (!has_type(w, &c)) {
            add_part(out, "ALTER COLUMN", w->name, len);
            pgmig_buf_addf(out, " TYPE %s USING \"%s\"::%s", w->type, w->name,
                           w->type);
        }
    }
    return true;
}

static bool is_wanted(const struct column *c)
{
    for (size_t i = 0; i < WANTED; i++)
        if (is_text(c->name, c->name_len, wanted[i].name))
            return true;
    return false;
}

/* What is too much; false where the list cannot be read to its end. */
static bool add_dropped(struct pgmig_buf *out, const char *columns)
{
    struct column c;

    while (*columns != '\0') {
        if (!next_column(&columns, &c))
            return false;
        if (!is_wanted(&c))
            add_part(out, "DROP COLUMN", c.name, c.name_len);
    }
    return true;
}

/* The command that makes it a tracking table again, if there is one. */
static void refuse_changed(const struct pgmig_ledger *ledger,
                           const char *columns, struct pgmig_error *err)
{
    struct pgmig_buf alter = {0};
    bool possible = add_wanted(&alter, columns);
    size_t kept = alter.len;

    possible = possible && add_dropped(&alter, columns) && !alter.failed;
    pgmig_error_set(err, PGMIG_E_PLAN,
                    "the columns of table %s are not those of a pgmig tracking "
                    "table",
                    ledger->asked);
    if (possible)
        pgmig_error_hint(
            err,
            "its rows may say what is applied, so keep it, and restore its "
            "columns%s: ALTER TABLE %s%s; nothing was touched",
            alter.len > kept ? " (what a dropped one holds is lost)" : "",
            ledger->tracking, alter.data);
    else
        pgmig_error_hint(err,
                         "its rows may say what is applied, so keep it, and "
                         "restore its columns: (%s); nothing was touched",
                         DOCUMENTED);
    pgmig_buf_free(&alter);
}

/* With versions it may be ours, unless all else in it is strange. */
static bool may_be_ours(const char *columns)
{
    struct column c;

    return find_column(columns, "version", &c) &&
           (find_column(columns, "name", &c) ||
            find_column(columns, "applied_at", &c) ||
            strchr(columns, ',') == NULL);
}

int pgmig_shape_refuse(const struct pgmig_ledger *ledger, const char *columns,
                       bool recorded, struct pgmig_error *err)
{
    const struct owner *owner = owner_of(columns);

    if (owner->columns == NULL && (recorded || may_be_ours(columns)))
        refuse_changed(ledger, columns, err);
    else
        refuse_stranger(ledger, owner, err);
    pgmig_error_field(&err->detail, columns);
    return -1;
}
