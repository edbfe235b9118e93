/*
** tracking.c -- the tracking table: made, listed, mended.
**
** Which migrations are applied, its rows say. Those of a run are written with
** its claim (claim.c), the others here.
**
** With --shared it is another tool's table. The SQL for that comes from the
** tool's format (lua/pgmig/formats): it is the format's affair to qualify names
** and operators, as ours does. Values are put in as literals only.
*/
#include <stdlib.h>
#include <string.h>

#include "ledger/ledger.h"

/* ---- another tool's table -------------------------------------------- */

static char *copy_of(const char *s)
{
    return pgmig_strndup(s, strlen(s));
}

struct pgmig_layout *pgmig_layout_copy(const struct pgmig_layout *layout)
{
    struct pgmig_layout *copy = calloc(1, sizeof *copy);

    if (copy == NULL)
        return NULL;
    *copy = (struct pgmig_layout){.columns = copy_of(layout->columns),
                                  .key = copy_of(layout->key),
                                  .create = copy_of(layout->create),
                                  .list = copy_of(layout->list),
                                  .claim = copy_of(layout->claim),
                                  .release = copy_of(layout->release),
                                  .there = copy_of(layout->there),
                                  .locked = layout->locked};
    if (copy->columns && copy->key && copy->create && copy->list &&
        copy->claim && copy->release && copy->there)
        return copy;
    pgmig_layout_free(copy);
    return NULL;
}

/* What belongs to a layout of the ledger's was copied, though its type says
** const, for the callers that give constants. */
void pgmig_layout_free(struct pgmig_layout *layout)
{
    if (layout == NULL)
        return;
    free((void *)layout->columns);
    free((void *)layout->key);
    free((void *)layout->create);
    free((void *)layout->list);
    free((void *)layout->claim);
    free((void *)layout->release);
    free((void *)layout->there);
    free(layout);
}

/* Whether a list with commas has an item. */
static bool has_item(const char *list, const char *item, size_t len)
{
    for (;;) {
        size_t n = strcspn(list, ",");

        if (n == len && memcmp(list, item, n) == 0)
            return true;
        if (list[n] == '\0')
            return false;
        list += n + 1;
    }
}

/* The table may have more columns than the tool had when the format was
** written. */
bool pgmig_layout_fits(const struct pgmig_layout *layout, const char *columns)
{
    const char *item = layout->columns;

    for (;;) {
        size_t n = strcspn(item, ",");

        if (!has_item(columns, item, n))
            return false;
        if (item[n] == '\0')
            return true;
        item += n + 1;
    }
}

/* When the entry's migration was applied: now, unless it says otherwise. */
static void add_time(struct pgmig_sql *s, const struct pgmig_entry *entry)
{
    if (entry->applied_at != NULL)
        pgmig_sql_addf(s, "%L::pg_catalog.timestamptz", entry->applied_at);
    else
        pgmig_sql_add(s, "pg_catalog.now()");
}

/* What a verb of a template stands for. Without an entry only the table does; a
** percent sign stays what it is. */
static void add_value(struct pgmig_sql *s, char verb,
                      const struct pgmig_entry *entry)
{
    if (verb == 't')
        pgmig_sql_addf(s, "%t");
    else if (verb == '%' || entry == NULL)
        pgmig_buf_add(&s->text, &verb, 1);
    else if (verb == 'a')
        add_time(s, entry);
    else
        pgmig_sql_literal(s, verb == 'k'   ? entry->key
                             : verb == 'd' ? entry->digest
                                           : entry->name);
}

void pgmig_layout_add(struct pgmig_sql *s, const char *text,
                      const struct pgmig_entry *entry)
{
    for (; *text != '\0'; text++) {
        if (text[0] == '%' && text[1] != '\0')
            add_value(s, *++text, entry);
        else
            pgmig_buf_add(&s->text, text, 1);
    }
}

/* ---- the table ----------------------------------------------------------- */

/* INTEGER, as other tools have it; widened where a version needs more
** (pgmig_tracking_add_widening). */
void pgmig_tracking_add_table(struct pgmig_sql *s)
{
    if (s->ledger->layout != NULL)
        pgmig_layout_add(s, s->ledger->layout->create, NULL);
    else
        pgmig_sql_addf(s, "CREATE TABLE IF NOT EXISTS %t "
                          "(version INTEGER PRIMARY KEY, "
                          "name pg_catalog.text NOT NULL, "
                          "applied_at pg_catalog.timestamptz NOT NULL "
                          "DEFAULT pg_catalog.now())");
    pgmig_sql_end(s);
}

/* Before any claim and in a transaction of its own: ALTER TABLE waits for all
** who have claimed, and two that have claimed, and both widen, deadlock. A
** BIGINT holds all numbers of 18 digits. */
void pgmig_tracking_add_widening(struct pgmig_sql *s, const char *version)
{
    pgmig_sql_addf(s, "ALTER TABLE %t ALTER COLUMN version TYPE %s",
                   strlen(version) <= 18 ? "BIGINT" : "NUMERIC");
}

/* As text, since a version may have more digits than a double holds; ordered as
** numbers. */
void pgmig_tracking_add_list(struct pgmig_sql *s)
{
    if (s->ledger->layout == NULL) {
        pgmig_sql_addf(s,
                       "SELECT version::pg_catalog.text AS id, name, "
                       "pg_catalog.to_json(applied_at) AS applied_at, "
                       "pg_catalog.date_part('epoch', applied_at) "
                       "AS applied_at_epoch FROM %t AS t ORDER BY t.version");
        return;
    }
    pgmig_sql_addf(s, "SELECT key AS id, NULL::pg_catalog.text AS name, "
                      "pg_catalog.to_json(applied_at) AS applied_at, "
                      "pg_catalog.date_part('epoch', applied_at) "
                      "AS applied_at_epoch FROM (");
    pgmig_layout_add(s, s->ledger->layout->list, NULL);
    pgmig_sql_add(s, ") AS t");
}

/* ---- rows ---------------------------------------------------------------- */

/* The row takes the entry's name; another tool's table has none. */
void pgmig_tracking_add_name(struct pgmig_sql *s,
                             const struct pgmig_entry *entry)
{
    if (s->ledger->layout == NULL && entry->version != NULL)
        pgmig_sql_addf(s, "UPDATE %t SET name = %L WHERE version %= %s%;",
                       entry->name, entry->version);
}

/* The row as it was when the migration was recorded last. By another run's hand
** it may be there again by now: then it stays. */
void pgmig_tracking_add_lost_row(struct pgmig_sql *s,
                                 const struct pgmig_entry *entry)
{
    pgmig_sql_addf(
        s,
        "INSERT INTO %t (version, name, applied_at) SELECT %s, h.name, "
        "h.finished_at FROM %h h WHERE h.version %= %s "
        "AND h.event %= ANY ('{up,baseline,fake,adopted}'::pg_catalog.text[]) "
        "ORDER BY h.id DESC LIMIT 1 ON CONFLICT (version) DO NOTHING%;",
        entry->version, entry->version);
}

/* The row of a migration that another tool has applied; it is there already
** where both keep the same table. */
void pgmig_tracking_add_adopted(struct pgmig_sql *s,
                                const struct pgmig_entry *entry)
{
    if (entry->version != NULL && s->ledger->layout == NULL)
        pgmig_sql_addf(s,
                       "INSERT INTO %t (version, name, applied_at) "
                       "VALUES (%s, %L, COALESCE(%L::pg_catalog.timestamptz, "
                       "pg_catalog.now())) ON CONFLICT (version) DO NOTHING%;",
                       entry->version, entry->name, entry->applied_at);
}
