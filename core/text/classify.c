/*
** classify.c -- what a statement is, as far as the engine must know.
**
** Reads the words of a statement that decide whether it can run in a
** transaction, ends or begins one, or is followed by data. What it does not
** know has no traits and runs like any other: then the server refuses it where
** it has to (25001), it is rolled back, and blame.c says what to write. It
** never looks into a literal for that, but for what a DO does with large
** objects.
*/
#include "text/classify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/index.h"
#include "text/lexer.h"
#include "text/setting.h"

/* Looks at what follows the first word, adds to the statement's name, notes
** what else it says, and returns traits. The current token is the one after
** that word. */
typedef unsigned examiner(struct pgmig_words *w, struct pgmig_statement *st);

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - ('a' - 'A')) : c;
}

/* Append " WORD" for the current token to the name. */
static void add_word(struct pgmig_statement *st, const struct pgmig_words *w)
{
    size_t used = strlen(st->name);
    size_t len = w->tok.end - w->tok.start;

    /* it is made of key words; a name in quotes is none, and a long one is
    ** no more of use */
    if (w->tok.kind != PGMIG_TOKEN_WORD || used + len + 2 > sizeof st->name)
        return;
    if (used > 0)
        st->name[used++] = ' ';
    for (size_t i = 0; i < len; i++)
        st->name[used + i] = upper(w->lx.text[w->tok.start + i]);
    st->name[used + len] = '\0';
}

/* The object's type of CREATE, ALTER and DROP: the current token ends as
** its last word. */
static void object(struct pgmig_words *w, struct pgmig_statement *st)
{
    static const char *const pairs[] = {"materialized", "foreign", "event",
                                        "access",       "text",    NULL};

    if (pgmig_words_at_any(w, pairs)) {
        add_word(st, w);
        pgmig_words_next(w);
    }
    add_word(st, w);
}

/* CONCURRENTLY commits several times on its way, and so cannot run in a
** transaction block (manual, CREATE INDEX, "Building Indexes Concurrently"). */
static unsigned concurrently(struct pgmig_words *w, struct pgmig_statement *st)
{
    if (!pgmig_words_at(w, "concurrently"))
        return 0;
    add_word(st, w);
    pgmig_words_next(w);
    st->index.concurrently = true;
    return PGMIG_T_NO_BLOCK;
}

/* The server calls PreventInTransactionBlock
** (src/backend/access/transam/xact.c) for these. Not for CREATE SUBSCRIPTION in
** all its forms, which is left to it. */
/* ON COMMIT DROP, of a temporary table; `w` is a copy. */
static bool is_dropped(struct pgmig_words w)
{
    return pgmig_words_find(&w, "commit") && pgmig_words_accept(&w, "commit") &&
           pgmig_words_at(&w, "drop");
}

static unsigned create(struct pgmig_words *w, struct pgmig_statement *st)
{
    static const char *const modifiers[] = {
        "or",        "replace",    "global",     "local",     "temp",
        "temporary", "unique",     "unlogged",   "recursive", "trusted",
        "default",   "constraint", "procedural", NULL};
    static const char *const alone[] = {"database", "tablespace", NULL};
    static const char *const routines[] = {"function", "procedure", NULL};
    bool temporary = false;
    unsigned traits;

    for (; pgmig_words_at_any(w, modifiers); pgmig_words_next(w)) {
        st->index.unique = st->index.unique || pgmig_words_at(w, "unique");
        temporary = temporary || pgmig_words_at(w, "temp") ||
                    pgmig_words_at(w, "temporary");
    }
    object(w, st);
    if (pgmig_words_at_any(w, alone))
        return PGMIG_T_NO_BLOCK;
    if (pgmig_words_at_any(w, routines))
        st->kind = PGMIG_KIND_ROUTINE;
    if (temporary && is_dropped(*w))
        return PGMIG_T_PASSING;
    if (!pgmig_words_accept(w, "index"))
        return 0;
    traits = concurrently(w, st);
    pgmig_index_create(w, &st->index);
    return traits;
}

static unsigned alter(struct pgmig_words *w, struct pgmig_statement *st)
{
    struct pgmig_words table;

    object(w, st);
    /* ALTER SYSTEM writes a file, which no rollback undoes */
    if (pgmig_words_at(w, "system"))
        return PGMIG_T_NO_BLOCK;
    if (pgmig_words_accept(w, "database"))
        return pgmig_words_find(w, "set") && pgmig_words_accept(w, "set") &&
                       pgmig_words_at(w, "tablespace")
                   ? PGMIG_T_NO_BLOCK
                   : 0;
    /* DETACH PARTITION ... CONCURRENTLY, of PostgreSQL 14 and later */
    table = *w;
    if (!pgmig_words_accept(&table, "table") || !pgmig_words_find(w, "detach"))
        return 0;
    pgmig_index_detach(table, &st->index);
    return pgmig_words_find(w, "concurrently") ? PGMIG_T_NO_BLOCK : 0;
}

/* What removes files at once cannot be rolled back. */
static unsigned drop(struct pgmig_words *w, struct pgmig_statement *st)
{
    unsigned traits;

    object(w, st);
    if (pgmig_words_at(w, "database") || pgmig_words_at(w, "tablespace"))
        return PGMIG_T_NO_BLOCK;
    if (!pgmig_words_accept(w, "index"))
        return 0;
    traits = concurrently(w, st);
    pgmig_index_drop(w, &st->index);
    return traits;
}

/* An option in parentheses that is not turned off: without a value it is on
** (src/backend/commands/define.c, defGetBoolean). */
static bool option_on(struct pgmig_words *w, const char *option)
{
    static const char *const off[] = {"off", "false", NULL};

    if (!pgmig_words_accept(w, option))
        return false;
    return !pgmig_words_at_any(w, off) && w->lx.text[w->tok.start] != '0';
}

/* REINDEX of more than one table commits after each, and has no one name.
** CONCURRENTLY may be an option (PostgreSQL 14) or a word after the object's
** type; the option is a fact of the index whatever value it is given. */
static unsigned reindex(struct pgmig_words *w, struct pgmig_statement *st)
{
    static const char *const many[] = {"database", "system", "schema", NULL};
    struct pgmig_index *index = &st->index;
    unsigned traits = 0;

    while (w->parens > 0) { /* (VERBOSE, CONCURRENTLY) */
        index->concurrently |= pgmig_words_at(w, "concurrently");
        if (option_on(w, "concurrently"))
            traits = PGMIG_T_NO_BLOCK;
        else
            pgmig_words_next(w);
    }
    if (w->tok.kind == PGMIG_TOKEN_SYMBOL)
        pgmig_words_next(w);
    if (pgmig_words_at_any(w, many))
        return PGMIG_T_NO_BLOCK;
    if (pgmig_words_at(w, "index"))
        index->action = PGMIG_INDEX_REINDEX;
    else if (pgmig_words_at(w, "table"))
        index->action = PGMIG_INDEX_REINDEX_TABLE;
    pgmig_words_next(w);
    traits |= concurrently(w, st);
    pgmig_index_reindex(w, index);
    return traits;
}

/* CLUSTER of all tables, which names none, commits after each. VERBOSE and
** options in parentheses name none either. */
static unsigned cluster(struct pgmig_words *w, struct pgmig_statement *st)
{
    (void)st;
    while (w->parens > 0 || w->tok.kind == PGMIG_TOKEN_SYMBOL)
        pgmig_words_next(w);
    pgmig_words_accept(w, "verbose");
    return pgmig_words_ended(w) ? PGMIG_T_NO_BLOCK : 0;
}

/* Whether the client is a COPY's other side. The grammar takes STDOUT for
** STDIN, and the reverse (gram.y, copy_file_name). `w` is a copy: the caller
** may ask for the other way, too. */
static bool copies(struct pgmig_words w, const char *way)
{
    return pgmig_words_find(&w, way) && pgmig_words_accept(&w, way) &&
           (pgmig_words_at(&w, "stdin") || pgmig_words_at(&w, "stdout"));
}

static unsigned copy(struct pgmig_words *w, struct pgmig_statement *st)
{
    (void)st;
    if (copies(*w, "from"))
        return PGMIG_T_COPY_IN;
    return copies(*w, "to") ? PGMIG_T_COPY_OUT : 0;
}

/* ---- transactions and settings --------------------------------------- */

/* WORK and TRANSACTION mean nothing (gram.y, opt_transaction). */
static void skip_work(struct pgmig_words *w)
{
    if (!pgmig_words_accept(w, "work"))
        pgmig_words_accept(w, "transaction");
}

/* ISOLATION LEVEL was read: its name, with its words next to each other; NULL
** for none that the server has (gram.y, iso_level). */
static const char *isolation(struct pgmig_words *w)
{
    static const char *const two[][3] = {
        {"repeatable", "read", "REPEATABLE READ"},
        {"read", "committed", "READ COMMITTED"},
        {"read", "uncommitted", "READ UNCOMMITTED"}};

    if (pgmig_words_accept(w, "serializable"))
        return "SERIALIZABLE";
    for (size_t i = 0; i < 3; i++) {
        struct pgmig_words ahead = *w;

        if (pgmig_words_accept(&ahead, two[i][0]) &&
            pgmig_words_accept(&ahead, two[i][1])) {
            *w = ahead;
            return two[i][2];
        }
    }
    return NULL;
}

/* One of transaction_mode_list (gram.y), whose commas may be left out. READ
** ONLY would refuse the tracking row, and a SNAPSHOT is a running transaction's
** of another session, which a file cannot know. */
static void one_mode(struct pgmig_words *w, struct pgmig_modes *modes)
{
    if (pgmig_words_accept(w, "isolation")) {
        pgmig_words_accept(w, "level");
        modes->isolation = isolation(w);
        if (modes->isolation == NULL)
            modes->refused = "an unknown isolation level";
    } else if (pgmig_words_accept(w, "read")) {
        if (!pgmig_words_accept(w, "write"))
            modes->refused = "READ ONLY";
    } else if (pgmig_words_accept(w, "not")) {
        modes->deferrable = "NOT DEFERRABLE";
        pgmig_words_accept(w, "deferrable");
    } else if (pgmig_words_accept(w, "deferrable")) {
        modes->deferrable = "DEFERRABLE";
    } else if (w->tok.kind == PGMIG_TOKEN_SYMBOL) {
        pgmig_words_next(w); /* a comma */
    } else {
        modes->refused = pgmig_words_at(w, "snapshot")
                             ? "SNAPSHOT"
                             : "an unknown transaction mode";
    }
}

/* All of them, behind BEGIN, START or SET. Of one mode the last word counts. */
static void read_modes(struct pgmig_words *w, struct pgmig_modes *modes)
{
    if (!pgmig_words_accept(w, "session"))
        pgmig_words_accept(w, "local");
    skip_work(w);
    while (!pgmig_words_ended(w) && modes->refused == NULL)
        one_mode(w, modes);
}

static unsigned begin(struct pgmig_words *w, struct pgmig_statement *st)
{
    read_modes(w, &st->modes);
    return 0;
}

static unsigned start(struct pgmig_words *w, struct pgmig_statement *st)
{
    add_word(st, w); /* TRANSACTION */
    return begin(w, st);
}

/* COMMIT and ROLLBACK with what may follow. The prepared forms end somebody
** else's transaction and cannot run in one. AND NO CHAIN is the default; AND
** CHAIN (PostgreSQL 12) begins a transaction that nothing in the text shows. */
static unsigned finish(struct pgmig_words *w, struct pgmig_statement *st,
                       unsigned traits)
{
    skip_work(w);
    if (pgmig_words_at(w, "prepared")) {
        add_word(st, w);
        return PGMIG_T_NO_BLOCK;
    }
    /* with an unknown ending it may do anything to the transaction */
    if (!pgmig_words_accept(w, "and"))
        return pgmig_words_ended(w) ? traits : PGMIG_T_TX_REFUSED;
    return pgmig_words_at(w, "no") ? traits
                                   : PGMIG_T_TX_REFUSED | PGMIG_T_TX_CHAIN;
}

static unsigned commit(struct pgmig_words *w, struct pgmig_statement *st)
{
    return finish(w, st, PGMIG_T_TX_COMMIT);
}

/* After ROLLBACK TO a savepoint the transaction goes on. ABORT is the same word
** as ROLLBACK. */
static unsigned rollback(struct pgmig_words *w, struct pgmig_statement *st)
{
    struct pgmig_words ahead = *w;

    skip_work(&ahead);
    if (pgmig_words_at(&ahead, "to"))
        return 0;
    return finish(w, st, PGMIG_T_TX_REFUSED);
}

/* PREPARE TRANSACTION 'id'; without a literal it is a statement's name. */
static unsigned prepare(struct pgmig_words *w, struct pgmig_statement *st)
{
    struct pgmig_words ahead = *w;

    if (!pgmig_words_accept(&ahead, "transaction") ||
        ahead.tok.kind != PGMIG_TOKEN_STRING)
        return PGMIG_T_SETTING;
    add_word(st, w);
    return PGMIG_T_TX_REFUSED;
}

/* SET LOCAL is over with the transaction, so it does something only there: it
** is no mere preparation. SET SESSION CHARACTERISTICS is. */
static unsigned set(struct pgmig_words *w, struct pgmig_statement *st)
{
    bool local = pgmig_words_accept(w, "local");

    if (!local)
        pgmig_words_accept(w, "session");
    if (pgmig_words_at(w, "transaction")) {
        add_word(st, w);
        read_modes(w, &st->modes);
        return PGMIG_T_TX_SET;
    }
    if (!local && pgmig_words_at(w, "constraints")) {
        add_word(st, w);
        return PGMIG_T_PASSING;
    }
    st->setting = pgmig_setting_assigned(w);
    return local ? PGMIG_T_PASSING : PGMIG_T_SETTING;
}

/* A cursor WITH HOLD outlives its transaction. */
static unsigned declare(struct pgmig_words *w, struct pgmig_statement *st)
{
    (void)st;
    for (; !pgmig_words_ended(w) && !pgmig_words_at(w, "for");
         pgmig_words_next(w))
        if (pgmig_words_accept(w, "with"))
            return pgmig_words_at(w, "hold") ? 0 : PGMIG_T_PASSING;
    return PGMIG_T_PASSING;
}

static unsigned reset(struct pgmig_words *w, struct pgmig_statement *st)
{
    st->setting = pgmig_setting_reset(w);
    return PGMIG_T_SETTING;
}

/* ---- large objects --------------------------------------------------- */

static unsigned lo_balance(int opened)
{
    if (opened == 0)
        return 0;
    return opened > 0 ? PGMIG_T_LO_OPEN : PGMIG_T_LO_CLOSE;
}

/* What pg_dump writes, one by one, between a BEGIN and a COMMIT: SELECT of
** calls such as pg_catalog.lo_open, and nothing else (src/bin/pg_dump,
** pg_backup_db.c and pg_backup_archiver.c). A word that is neither such a call
** nor the schema may be a function that does anything. */
static unsigned query(struct pgmig_words *w, struct pgmig_statement *st)
{
    static const char *const calls[] = {
        "lo_close",  "lo_creat",  "lo_create",   "lo_from_bytea", "lo_get",
        "lo_import", "lo_lseek",  "lo_lseek64",  "lo_open",       "lo_put",
        "lo_tell",   "lo_tell64", "lo_truncate", "lo_truncate64", "lo_unlink",
        "loread",    "lowrite",   NULL};
    bool calling = false;
    bool only = true;
    int opened = 0;

    for (; !pgmig_words_ended(w); pgmig_words_next(w)) {
        if (!pgmig_words_at_name(w))
            continue;
        if (st->setting == PGMIG_SETTING_NONE &&
            pgmig_words_at(w, "set_config"))
            st->setting = pgmig_setting_called(*w);
        opened += pgmig_words_at(w, "lo_open") ? 1 : 0;
        opened -= pgmig_words_at(w, "lo_close") ? 1 : 0;
        calling = calling || pgmig_words_at_any(w, calls);
        only = only && (pgmig_words_at_any(w, calls) ||
                        pgmig_words_at(w, "pg_catalog"));
    }
    only = calling && only && opened >= -1 && opened <= 1;
    return (only ? PGMIG_T_LO_CALL : 0) | lo_balance(opened);
}

/* Whether a word stands anywhere in a DO: its body is a literal, which is
** searched and not read. */
static bool mentions(const struct pgmig_words *w, const char *word)
{
    return memmem(w->lx.text + w->tok.start, w->lx.len - w->tok.start, word,
                  strlen(word)) != NULL;
}

static unsigned block(struct pgmig_words *w, struct pgmig_statement *st)
{
    (void)st;
    return lo_balance(mentions(w, "lo_open") && !mentions(w, "lo_close"));
}

/* DISCARD ALL resets the session, and cannot do so in a transaction block. */
static unsigned discard(struct pgmig_words *w, struct pgmig_statement *st)
{
    add_word(st, w);
    return pgmig_words_at(w, "all") ? PGMIG_T_NO_BLOCK : 0;
}

#define PLAIN PGMIG_KIND_OTHER

/* Every word that begins a statement (gram.y, stmt), in order: it is looked up
** by bsearch. EXPLAIN and EXECUTE do what a text says that is not looked at;
** nothing that they may run needs to be alone. */
static const struct first_word {
    const char *word;
    enum pgmig_kind kind;
    unsigned traits;
    examiner *examine;
} first_words[] = {
    {"ABORT", PLAIN, 0, rollback},
    {"ALTER", PGMIG_KIND_ALTER, 0, alter},
    {"ANALYSE", PLAIN, 0, NULL},
    {"ANALYZE", PLAIN, 0, NULL},
    {"BEGIN", PLAIN, PGMIG_T_TX_BEGIN, begin},
    {"CALL", PLAIN, PGMIG_T_MAY_COMMIT, NULL},
    {"CHECKPOINT", PLAIN, 0, NULL},
    {"CLOSE", PLAIN, 0, NULL},
    {"CLUSTER", PLAIN, 0, cluster},
    {"COMMENT", PLAIN, 0, NULL},
    {"COMMIT", PLAIN, 0, commit},
    {"COPY", PLAIN, 0, copy},
    {"CREATE", PLAIN, 0, create},
    {"DEALLOCATE", PLAIN, PGMIG_T_SETTING, NULL},
    {"DECLARE", PLAIN, 0, declare},
    {"DELETE", PLAIN, PGMIG_T_TAKES, NULL},
    {"DISCARD", PLAIN, 0, discard},
    {"DO", PGMIG_KIND_DO, PGMIG_T_MAY_COMMIT, block},
    {"DROP", PLAIN, PGMIG_T_TAKES, drop},
    {"END", PLAIN, 0, commit},
    {"EXECUTE", PLAIN, 0, NULL},
    {"EXPLAIN", PLAIN, 0, NULL},
    {"FETCH", PLAIN, 0, NULL},
    {"GRANT", PLAIN, 0, NULL},
    {"IMPORT", PLAIN, 0, NULL},
    {"INSERT", PLAIN, 0, NULL},
    {"LISTEN", PLAIN, PGMIG_T_SETTING, NULL},
    {"LOAD", PGMIG_KIND_LOAD, PGMIG_T_SETTING, NULL},
    {"LOCK", PLAIN, PGMIG_T_PASSING, NULL},
    {"MERGE", PLAIN, 0, NULL},
    {"MOVE", PLAIN, 0, NULL},
    {"NOTIFY", PLAIN, 0, NULL},
    {"PREPARE", PLAIN, 0, prepare},
    {"REASSIGN", PLAIN, 0, NULL},
    {"REFRESH", PLAIN, 0, NULL},
    {"REINDEX", PLAIN, 0, reindex},
    {"RELEASE", PLAIN, 0, NULL},
    {"RESET", PLAIN, 0, reset},
    {"REVOKE", PLAIN, PGMIG_T_TAKES, NULL},
    {"ROLLBACK", PGMIG_KIND_ROLLBACK, 0, rollback},
    {"SAVEPOINT", PLAIN, PGMIG_T_PASSING, NULL},
    {"SECURITY", PLAIN, 0, NULL},
    {"SELECT", PLAIN, 0, query},
    {"SET", PLAIN, 0, set},
    {"SHOW", PLAIN, 0, NULL},
    {"START", PLAIN, PGMIG_T_TX_BEGIN, start},
    {"TABLE", PLAIN, 0, NULL},
    {"TRUNCATE", PLAIN, PGMIG_T_TAKES, NULL},
    {"UNLISTEN", PLAIN, PGMIG_T_SETTING, NULL},
    {"UPDATE", PLAIN, PGMIG_T_TAKES, NULL},
    {"VACUUM", PLAIN, PGMIG_T_NO_BLOCK, NULL},
    {"VALUES", PLAIN, 0, NULL},
    {"WITH", PLAIN, 0, NULL},
};

static int by_word(const void *word, const void *entry)
{
    return strcmp(word, ((const struct first_word *)entry)->word);
}

/* Called for every statement, and on a thousand small migrations that is the
** hot path: one look-up, and no more tokens than the examiner asks for. */
void pgmig_classify(struct pgmig_statement *st, const char *sql, size_t len,
                    bool standard_strings)
{
    struct pgmig_words w;
    const struct first_word *first;

    *st = (struct pgmig_statement){.start = st->start,
                                   .end = st->end,
                                   .copy_start = st->copy_start,
                                   .copy_end = st->copy_end};
    pgmig_words_init(&w, sql, len, standard_strings);
    if (w.parens == 1) { /* (SELECT ...) */
        snprintf(st->name, sizeof st->name, "SELECT");
        st->traits = PGMIG_T_ANY_START;
        return;
    }
    add_word(st, &w);
    first =
        bsearch(st->name, first_words, sizeof first_words / sizeof *first_words,
                sizeof *first_words, by_word);
    if (first == NULL)
        return;
    st->kind = first->kind;
    st->traits = PGMIG_T_ANY_START | first->traits;
    if (first->examine == NULL)
        return;
    pgmig_words_next(&w);
    st->traits |= first->examine(&w, st);
}
