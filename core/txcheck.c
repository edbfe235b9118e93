/* txcheck.c -- what a section may say about transactions. */
#include "txcheck.h"

#include <stdio.h>
#include <string.h>

#include "error.h"
#include "excerpt.h"
#include "kind.h"
#include "script.h"

static int point(const struct pgmig_script *script,
                 const struct pgmig_statement *st, struct pgmig_error *err)
{
    pgmig_script_point(script, st->start, err);
    return -1;
}

static void drop_first(struct pgmig_section *section)
{
    section->skipped++;
    section->total--;
    section->statement_count--;
    memmove(section->statements, section->statements + 1,
            section->statement_count * sizeof *section->statements);
}

/* The first statement asks for modes: take them over and drop it. */
static int lift(const struct pgmig_script *script,
                struct pgmig_section *section, struct pgmig_modes *modes,
                struct pgmig_error *err)
{
    struct pgmig_statement *st = &section->statements[0];
    struct pgmig_excerpt e;

    if (pgmig_excerpt_open(&e, script, st->start, st->end, err) != 0)
        return -1;
    pgmig_kind_modes(e.script.text, st, modes);
    pgmig_excerpt_close(&e);
    if (modes->refused != NULL) {
        pgmig_error_set(err, PGMIG_E_PARSE,
                        "a migration cannot run in a transaction with %s",
                        modes->refused);
        pgmig_error_hint(err, "its tracking row is written in the same "
                              "transaction; leave this out");
        return point(script, st, err);
    }
    drop_first(section);
    return 0;
}

static bool is_wrapped(const struct pgmig_section *section)
{
    size_t n = section->statement_count;

    return n >= 2 && (section->statements[0].traits & PGMIG_T_TX_BEGIN) &&
           (section->statements[n - 1].traits & PGMIG_T_TX_COMMIT);
}

size_t pgmig_txcheck_obstacle(const struct pgmig_section *section, bool alone)
{
    unsigned traits =
        alone ? PGMIG_T_NOTABLE : PGMIG_T_NOTABLE & ~(unsigned)PGMIG_T_NO_BLOCK;
    size_t n = section->statement_count;
    bool wrapped = is_wrapped(section);
    size_t first = wrapped ? 1 : 0;

    if (first < n && (section->statements[first].traits & PGMIG_T_TX_SET))
        first++;
    for (size_t i = first; i + (wrapped ? 1 : 0) < n; i++)
        if (section->statements[i].traits & traits)
            return i;
    return n;
}

/* Behind the last COMMIT. */
static size_t behind_commits(const struct pgmig_section *section)
{
    size_t n = section->statement_count;

    while (n > 0 && !(section->statements[n - 1].traits & PGMIG_T_TX_COMMIT))
        n--;
    return n;
}

void pgmig_txcheck_loosen(struct pgmig_section *section)
{
    size_t committed = behind_commits(section);
    bool open = false;
    size_t kept = 0;

    for (size_t i = 0; i < section->statement_count; i++) {
        unsigned traits = section->statements[i].traits;
        bool drop = ((traits & PGMIG_T_TX_COMMIT) && !open) ||
                    ((traits & PGMIG_T_TX_BEGIN) && i >= committed);

        if (drop)
            continue;
        if (traits & PGMIG_T_TX_BEGIN)
            open = true;
        if (traits & (PGMIG_T_TX_COMMIT | PGMIG_T_TX_REFUSED))
            open = false;
        section->statements[kept++] = section->statements[i];
    }
    section->total -= section->statement_count - kept;
    section->statement_count = kept;
}

static int unwrap(const struct pgmig_script *script,
                  struct pgmig_section *section, struct pgmig_modes *modes,
                  struct pgmig_error *err)
{
    if (!is_wrapped(section))
        return 0;
    section->wrapped = true;
    section->total--;
    section->statement_count--;
    return lift(script, section, modes, err);
}

static int refuse(const struct pgmig_script *script,
                  const struct pgmig_statement *st, const char *remedy,
                  struct pgmig_error *err)
{
    if (st->traits & PGMIG_T_NO_BLOCK) {
        pgmig_error_set(err, PGMIG_E_PARSE,
                        "%s cannot run inside a transaction", st->kind);
        pgmig_error_hint(err,
                         "add the line `%s` to this section, best in a "
                         "migration of its own",
                         remedy);
    } else {
        pgmig_error_set(err, PGMIG_E_PARSE,
                        "%s in a migration that runs in a transaction",
                        st->kind);
        pgmig_error_hint(err,
                         "pgmig begins and commits itself; delete it, or add "
                         "the line `%s`",
                         remedy);
    }
    return point(script, st, err);
}

int pgmig_txcheck(const struct pgmig_script *script,
                  struct pgmig_section *section,
                  const struct pgmig_vocabulary *words, struct pgmig_error *err)
{
    struct pgmig_modes modes = {0};

    if (!section->transaction)
        return 0;
    if (unwrap(script, section, &modes, err) != 0)
        return -1;
    if (section->statement_count > 0 &&
        (section->statements[0].traits & PGMIG_T_TX_SET) &&
        lift(script, section, &modes, err) != 0)
        return -1;
    for (size_t i = 0; i < section->statement_count; i++)
        if (section->statements[i].traits & (PGMIG_T_NOTABLE))
            return refuse(script, &section->statements[i], words->untransacted,
                          err);
    snprintf(section->begin, sizeof section->begin,
             "BEGIN ISOLATION LEVEL %s READ WRITE%s%s",
             modes.isolation ? modes.isolation : "READ COMMITTED",
             modes.deferrable ? " " : "",
             modes.deferrable ? modes.deferrable : "");
    return 0;
}
