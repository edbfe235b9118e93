/*
** layout.c -- another tool's tracking table, used in place.
**
** The tool's SQL comes from its format (lua/pgmig/formats): it is the format's
** affair to qualify names and operators, as ours does. Values are put in as
** literals only.
*/
#include "ledger/layout.h"

#include <stdlib.h>
#include <string.h>

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

/* What a verb of a template stands for. Without an entry only the table does; a
** percent sign stays what it is. */
static void add_value(struct pgmig_sql *s, char verb,
                      const struct pgmig_entry *entry)
{
    if (verb == 't')
        pgmig_sql_addf(s, "%t");
    else if (verb == '%' || entry == NULL)
        pgmig_buf_add(&s->text, &verb, 1);
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
