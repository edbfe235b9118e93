/*
** index.c -- what a statement does to indexes.
**
** Commands with CONCURRENTLY can leave an INVALID index behind when they fail
** (manual, CREATE INDEX, "Building Indexes Concurrently"): core/ledger asks the
** catalogs for it, and needs the names as they are written. As gram.y has them
** (IndexStmt, DropStmt, ReindexStmt); what does not fit leaves ranges empty.
*/
#include "text/index.h"

/* A part of a name, and UESCAPE '!' behind it, which belongs to U&"..." (manual
** 4.1.1 "Identifiers and Key Words"); returns where it ends. */
static size_t read_part(struct pgmig_words *w)
{
    bool quoted = w->tok.kind == PGMIG_TOKEN_QUOTED;
    size_t end = w->tok.end;

    pgmig_words_next(w);
    if (!quoted || !pgmig_words_accept(w, "uescape"))
        return end;
    end = w->tok.end;
    pgmig_words_next(w);
    return end;
}

/* A statement of more than 4 GB is refused as soon as it is classified. */
static struct pgmig_range range(size_t start, size_t end)
{
    return (struct pgmig_range){(uint32_t)start, (uint32_t)end};
}

/* A name, with what stands before it and a dot. */
static struct pgmig_range read_name(struct pgmig_words *w)
{
    size_t start = w->tok.start;
    size_t end = start;

    while (pgmig_words_at_name(w)) {
        end = read_part(w);
        if (!pgmig_words_at_symbol(w, '.'))
            break;
        pgmig_words_next(w);
    }
    return range(start, end);
}

/* IF EXISTS, IF NOT EXISTS. */
static bool read_optional(struct pgmig_words *w)
{
    if (!pgmig_words_accept(w, "if"))
        return false;
    pgmig_words_accept(w, "not");
    return pgmig_words_accept(w, "exists");
}

/* The index may have no name: then the server makes one up, of the table's and
** the columns' (DefineIndex, ChooseIndexName), which cannot be known here. */
void pgmig_index_create(struct pgmig_words *w, struct pgmig_index *index)
{
    index->action = PGMIG_INDEX_CREATE;
    index->optional = read_optional(w);
    if (!pgmig_words_at(w, "on"))
        index->name = read_name(w);
    if (!pgmig_words_accept(w, "on"))
        return;
    pgmig_words_accept(w, "only");
    index->table = read_name(w);
    index->rest = range(index->table.end, w->lx.len);
}

/* Of several names in one DROP the first: with CONCURRENTLY the server allows
** no more than one (manual, DROP INDEX). */
void pgmig_index_drop(struct pgmig_words *w, struct pgmig_index *index)
{
    index->action = PGMIG_INDEX_DROP;
    index->optional = read_optional(w);
    index->name = read_name(w);
}

void pgmig_index_reindex(struct pgmig_words *w, struct pgmig_index *index)
{
    if (index->action == PGMIG_INDEX_REINDEX)
        index->name = read_name(w);
    else if (index->action == PGMIG_INDEX_REINDEX_TABLE)
        index->table = read_name(w);
}

/* ALTER TABLE IF EXISTS name DETACH PARTITION name CONCURRENTLY. It works in
** two transactions: between them the partition is "pending", and only DETACH
** ... FINALIZE ends that (manual, ALTER TABLE). */
void pgmig_index_detach(struct pgmig_words w, struct pgmig_index *index)
{
    struct pgmig_range table;
    struct pgmig_range partition;

    read_optional(&w);
    pgmig_words_accept(&w, "only");
    table = read_name(&w);
    if (!pgmig_words_accept(&w, "detach") ||
        !pgmig_words_accept(&w, "partition"))
        return;
    partition = read_name(&w);
    if (pgmig_words_at(&w, "concurrently"))
        *index = (struct pgmig_index){.action = PGMIG_INDEX_DETACH,
                                      .concurrently = true,
                                      .name = partition,
                                      .table = table};
}

const char *pgmig_index_action_name(enum pgmig_index_action action)
{
    static const char *const names[] = {[PGMIG_INDEX_CREATE] = "create",
                                        [PGMIG_INDEX_DROP] = "drop",
                                        [PGMIG_INDEX_REINDEX] = "reindex",
                                        [PGMIG_INDEX_REINDEX_TABLE] =
                                            "reindex_table",
                                        [PGMIG_INDEX_DETACH] = "detach"};

    return names[action];
}
