/*
** index.c -- what a statement does to indexes.
**
** Commands with CONCURRENTLY can leave an INVALID index behind when they fail
** (manual, CREATE INDEX, "Building Indexes Concurrently"): core/ledger asks the
** catalogue for it, and needs the names as they are written. Only the beginning
** of a statement is read, as gram.y has it (IndexStmt, DropStmt, ReindexStmt);
** what does not fit leaves the ranges empty.
*/
#include "text/text.h"

#include "text/words.h"

static bool at_name(const struct pgmig_words *w)
{
    return w->tok.kind == PGMIG_TOKEN_WORD || w->tok.kind == PGMIG_TOKEN_QUOTED;
}

static bool at_dot(const struct pgmig_words *w)
{
    return w->tok.kind == PGMIG_TOKEN_SYMBOL && w->lx.text[w->tok.start] == '.';
}

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

/* A name, with what stands before it and a dot. */
static struct pgmig_range read_name(struct pgmig_words *w)
{
    struct pgmig_range range = {w->tok.start, w->tok.start};

    while (at_name(w)) {
        range.end = read_part(w);
        if (!at_dot(w))
            break;
        pgmig_words_next(w);
    }
    return range;
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
static void read_create(struct pgmig_words *w, struct pgmig_index *out)
{
    out->unique = pgmig_words_accept(w, "unique");
    if (!pgmig_words_accept(w, "index"))
        return;
    out->action = PGMIG_INDEX_CREATE;
    out->concurrently = pgmig_words_accept(w, "concurrently");
    out->optional = read_optional(w);
    if (!pgmig_words_at(w, "on"))
        out->name = read_name(w);
    if (!pgmig_words_accept(w, "on"))
        return;
    pgmig_words_accept(w, "only");
    out->table = read_name(w);
    out->rest = (struct pgmig_range){out->table.end, w->lx.len};
}

/* Of several names in one DROP the first: with CONCURRENTLY the server allows
** no more than one (manual, DROP INDEX). */
static void read_drop(struct pgmig_words *w, struct pgmig_index *out)
{
    if (!pgmig_words_accept(w, "index"))
        return;
    out->action = PGMIG_INDEX_DROP;
    out->concurrently = pgmig_words_accept(w, "concurrently");
    out->optional = read_optional(w);
    out->name = read_name(w);
}

/* REINDEX of a schema or a database is none of these: it has no one name.
** Options stand in parentheses in front, CONCURRENTLY among them since
** PostgreSQL 14 whatever value it is given. */
static void read_reindex(struct pgmig_words *w, struct pgmig_index *out)
{
    while (w->parens > 0 || w->tok.kind == PGMIG_TOKEN_SYMBOL) {
        out->concurrently |= pgmig_words_at(w, "concurrently");
        pgmig_words_next(w);
    }
    if (pgmig_words_accept(w, "index"))
        out->action = PGMIG_INDEX_REINDEX;
    else if (pgmig_words_accept(w, "table"))
        out->action = PGMIG_INDEX_REINDEX_TABLE;
    else
        return;
    out->concurrently |= pgmig_words_accept(w, "concurrently");
    if (out->action == PGMIG_INDEX_REINDEX)
        out->name = read_name(w);
    else
        out->table = read_name(w);
}

/* ALTER TABLE IF EXISTS name DETACH PARTITION name CONCURRENTLY. It works in
** two transactions: between them the partition is "pending", and only DETACH
** ... FINALIZE ends that (manual, ALTER TABLE). */
static void read_alter(struct pgmig_words *w, struct pgmig_index *out)
{
    struct pgmig_range table, partition;

    if (!pgmig_words_accept(w, "table"))
        return;
    read_optional(w);
    pgmig_words_accept(w, "only");
    table = read_name(w);
    if (!pgmig_words_accept(w, "detach") || !pgmig_words_accept(w, "partition"))
        return;
    partition = read_name(w);
    if (!pgmig_words_at(w, "concurrently"))
        return;
    *out = (struct pgmig_index){.action = PGMIG_INDEX_DETACH,
                                .concurrently = true,
                                .name = partition,
                                .table = table};
}

/* Literals with backslashes cannot come before the names: how strings are read
** does not matter here. */
void pgmig_index_read(const char *sql, size_t len, struct pgmig_index *out)
{
    struct pgmig_words w;

    *out = (struct pgmig_index){0};
    pgmig_words_init(&w, sql, len, true);
    if (pgmig_words_accept(&w, "create"))
        read_create(&w, out);
    else if (pgmig_words_accept(&w, "alter"))
        read_alter(&w, out);
    else if (pgmig_words_accept(&w, "drop"))
        read_drop(&w, out);
    else if (pgmig_words_accept(&w, "reindex"))
        read_reindex(&w, out);
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
