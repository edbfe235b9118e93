/*
** ledger.c -- a ledger: the tables' names, and what the last probe has found.
**
** It holds no connection and no rows. Nothing is asked before a probe has found
** the tables' schema, and nothing before it is known whose they are
** (pgmig_ledger_check).
*/
#include "ledger/ledger.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* Nobody holds a lock on these tables for long; whoever does is to be told
** of. */
#define PATIENCE 5000 /* ms */
#define NAME_MAX_BYTES PGMIG_NAME_BYTES
#define SUFFIX_BYTES 8 /* "_history", "_journal" */

/* ---- its name -------------------------------------------------------- */

/* The bytes of an identifier that needs no quotes, 0 when it is none. Only
** ASCII: what the server takes for a letter depends on its locale. */
static size_t plain_name(const char *s, size_t max)
{
    size_t n = 0;

    if (!isalpha((unsigned char)s[0]) && s[0] != '_')
        return 0;
    while (isalnum((unsigned char)s[n]) || s[n] == '_' || s[n] == '$')
        n++;
    return n <= max ? n : 0;
}

/* A name in double quotes, which are doubled within: how many bytes. */
static size_t quoted_name(const char *s)
{
    size_t n = 1;

    if (s[0] != '"')
        return 0;
    while (s[n] != '\0' && (s[n] != '"' || s[n + 1] == '"'))
        n += s[n] == '"' ? 2 : 1;
    return s[n] == '"' && n > 1 && n <= NAME_MAX_BYTES + 1 ? n + 1 : 0;
}

/* Take "name" or "schema.name" apart: false when the name is refused. *schema
** receives the length of the schema's part, 0 for none. Of the server's own
** schemas, none keeps tables; pg_temp goes with its session. The table's name
** leaves room for the suffixes, since the server would cut them off. */
static bool valid_name(const char *name, size_t *schema)
{
    size_t quoted = quoted_name(name);
    size_t n = quoted ? quoted : plain_name(name, NAME_MAX_BYTES);

    *schema = n > 0 && name[n] == '.' ? n : 0;
    if (*schema > 0 && strncmp(name + (quoted ? 1 : 0), "pg_", 3) == 0)
        return false;
    if (*schema > 0)
        name += n + 1;
    n = plain_name(name, NAME_MAX_BYTES - SUFFIX_BYTES);
    return n > 0 && name[n] == '\0';
}

static int refuse_name(const char *table, struct pgmig_error *err)
{
    pgmig_error_set(err, PGMIG_E_USAGE, "invalid table name \"%.100s\"", table);
    return pgmig_error_hint(
        err,
        "use at most %d letters, digits and _, not starting with a digit; "
        "schema.table also names a schema, which must not start with pg_ and "
        "may be double-quoted",
        NAME_MAX_BYTES - SUFFIX_BYTES);
}

/* The name that is written so; NULL without memory. Of two quotes within, which
** stand for one, the second is passed over. */
static char *unquoted(const char *s, size_t len)
{
    char *name = pgmig_strndup(s, len);
    size_t to = 0;

    if (name == NULL || s[0] != '"')
        return name;
    for (size_t from = 1; from + 1 < len; from++) {
        name[to++] = s[from];
        from += s[from] == '"' ? 1 : 0;
    }
    name[to] = '\0';
    return name;
}

/* The bare table name is not folded to small letters: it is quoted wherever it
** is used. */
static int set_names(struct pgmig_ledger *ledger, const char *table,
                     size_t schema)
{
    if (schema > 0) {
        ledger->schema = unquoted(table, schema);
        table += schema + 1;
    }
    ledger->table = pgmig_strndup(table, strlen(table));
    return ledger->table == NULL || (schema > 0 && ledger->schema == NULL) ? -1
                                                                           : 0;
}

struct pgmig_ledger *pgmig_ledger_new(const char *table,
                                      struct pgmig_error *err)
{
    struct pgmig_ledger *ledger;
    size_t schema;

    if (!valid_name(table, &schema)) {
        refuse_name(table, err);
        return NULL;
    }
    ledger = calloc(1, sizeof *ledger);
    if (ledger != NULL) {
        ledger->patience = PATIENCE;
        ledger->asked = pgmig_strndup(table, strlen(table));
        if (ledger->asked != NULL && set_names(ledger, table, schema) == 0)
            return ledger;
    }
    pgmig_ledger_free(ledger);
    pgmig_error_memory(err);
    return NULL;
}

/* All texts are one array (ledger.h): none is forgotten when one is added. */
void pgmig_ledger_free(struct pgmig_ledger *ledger)
{
    if (ledger == NULL)
        return;
    for (size_t i = 0; i < PGMIG_LEDGER_TEXTS; i++)
        free(ledger->texts[i]);
    pgmig_layout_free(ledger->layout);
    free(ledger);
}

/* Let the copy have texts of its own. It goes on behind a failure: what it has
** not copied must not stay the other one's, which pgmig_ledger_free would
** free. */
static int copy_texts(struct pgmig_ledger *copy)
{
    int status = 0;

    for (size_t i = 0; i < PGMIG_LEDGER_TEXTS; i++) {
        const char *text = copy->texts[i];

        if (text == NULL)
            continue;
        copy->texts[i] = pgmig_strndup(text, strlen(text));
        if (copy->texts[i] == NULL)
            status = -1;
    }
    return status;
}

struct pgmig_ledger *pgmig_ledger_copy(const struct pgmig_ledger *ledger,
                                       struct pgmig_error *err)
{
    struct pgmig_ledger *copy = malloc(sizeof *copy);
    int status;

    if (copy == NULL) {
        pgmig_error_memory(err);
        return NULL;
    }
    /* texts and layout are still the other one's: replaced one by one below */
    *copy = *ledger;
    status = copy_texts(copy);
    if (ledger->layout != NULL) {
        copy->layout = pgmig_layout_copy(ledger->layout);
        status = copy->layout ? status : -1;
    }
    if (status == 0)
        return copy;
    pgmig_ledger_free(copy);
    pgmig_error_memory(err);
    return NULL;
}

int pgmig_ledger_share(struct pgmig_ledger *ledger,
                       const struct pgmig_layout *layout,
                       struct pgmig_error *err)
{
    struct pgmig_layout *copy = pgmig_layout_copy(layout);

    if (copy == NULL)
        return pgmig_error_memory(err);
    pgmig_layout_free(ledger->layout);
    ledger->layout = copy;
    return 0;
}

/* ---- what is known of the tables ------------------------------------- */

/* The objection comes first: where there is doubt, not even reading is done, as
** a policy of another one's could run code with our rights. */
int pgmig_ledger_check(const struct pgmig_ledger *ledger,
                       struct pgmig_error *err)
{
    const char *path = ledger->path ? ledger->path : "";

    if (ledger->doubted != NULL)
        return pgmig_error_set(
            err, PGMIG_E_USAGE,
            "the ownership of the tables has not been checked");
    if (ledger->tracking != NULL)
        return 0;
    pgmig_error_set(err, PGMIG_E_PLAN,
                    "no schema is available for the tracking table");
    if (path[strspn(path, "\", ")] == '\0')
        return pgmig_error_hint(err, "search_path is empty: name the table as "
                                     "schema.table");
    return pgmig_error_hint(
        err,
        "search_path is %s, but none of its schemas exists and can be used: "
        "create one, correct search_path, or name the table as schema.table",
        path);
}

bool pgmig_ledger_complete(const struct pgmig_ledger *ledger)
{
    return ledger->exists && ledger->format == PGMIG_HISTORY_FORMAT &&
           ledger->journaled && ledger->has_runs;
}

/* A version is digits without leading zeros, so that their number decides. */
bool pgmig_ledger_fits(const struct pgmig_ledger *ledger, const char *version)
{
    return (int)strlen(version) <= ledger->digits;
}
