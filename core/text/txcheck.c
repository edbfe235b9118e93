/*
** txcheck.c -- what a section may say about transactions.
**
** A migration's statements and its tracking row have to be kept or lost
** together, so its transaction must be pgmig's own. What a file says about it
** is therefore taken over (isolation, deferrability), left out (a BEGIN and a
** COMMIT around everything), or refused with the remedy; nothing that ends a
** transaction is ever sent within ours. A section that runs in pieces keeps its
** own transactions, if each of them is whole.
**
** Every BEGIN and COMMIT that is left out here shortens the section's list:
** what is left in it is exactly what is sent.
*/
#include "text/txcheck.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "text/source.h"

static int point(const struct pgmig_script *script,
                 const struct pgmig_statement *st, struct pgmig_error *err)
{
    return pgmig_source_point(&script->source, st->start, err);
}

/* The list has become shorter. `total` counts also those that a streamed script
** does not keep in it, and so loses as many, not all. */
static void keep_first(struct pgmig_section *section, size_t count)
{
    section->total -= section->statement_count - count;
    section->statement_count = count;
}

static void drop_first(struct pgmig_section *section)
{
    memmove(section->statements, section->statements + 1,
            (section->statement_count - 1) * sizeof *section->statements);
    keep_first(section, section->statement_count - 1);
}

/* Add the modes that a BEGIN or SET TRANSACTION asks for; a later one counts
** more than an earlier one. */
static int take_modes(const struct pgmig_script *script,
                      const struct pgmig_statement *st,
                      struct pgmig_modes *modes, struct pgmig_error *err)
{
    const struct pgmig_modes *said = &st->modes;

    if (said->isolation != NULL)
        modes->isolation = said->isolation;
    if (said->deferrable != NULL)
        modes->deferrable = said->deferrable;
    if (said->refused == NULL)
        return 0;
    pgmig_error_set(err, PGMIG_E_PARSE,
                    "a migration cannot run in a transaction with %s",
                    said->refused);
    pgmig_error_hint(err, "its tracking row is written in the same "
                          "transaction; remove this mode");
    return point(script, st, err);
}

/* The first statement asks for modes: take them over and drop it. Modes of a
** second one are added: BEGIN and then SET TRANSACTION. */
static int lift(const struct pgmig_script *script,
                struct pgmig_section *section, struct pgmig_modes *modes,
                struct pgmig_error *err)
{
    if (take_modes(script, &section->statements[0], modes, err) != 0)
        return -1;
    drop_first(section);
    return 0;
}

/* ---- large objects --------------------------------------------------- */

/* BEGIN without any mode, as pg_dump writes it. */
static bool is_bare(const struct pgmig_statement *st)
{
    const struct pgmig_modes *said = &st->modes;

    return !said->isolation && !said->deferrable && !said->refused;
}

/* A transaction counts its descriptors from 0 (src/backend/libpq/be-fsstubs.c
** forgets them all at its end), which pg_dump relies on when it writes
** lowrite(0, ...): none may be open when such a block begins, and it leaves
** none open. Only then do the numbers stay right without it. */
void pgmig_txcheck_watch(struct pgmig_lo_watch *w,
                         struct pgmig_section *section)
{
    size_t last = section->statement_count - 1;
    struct pgmig_statement *st = &section->statements[last];

    /* another section begins, and knows nothing of the last one's */
    if (w->section != section)
        *w = (struct pgmig_lo_watch){.section = section};
    if (st->traits & PGMIG_T_TX_BEGIN) {
        w->inside = w->descriptors == 0 && is_bare(st);
        w->begin = last;
        w->calls = 0;
        return;
    }
    if ((st->traits & PGMIG_T_TX_COMMIT) && w->inside && w->calls > 0 &&
        w->descriptors == 0) {
        section->statements[w->begin].traits |= PGMIG_T_TX_LO;
        st->traits |= PGMIG_T_TX_LO;
    }
    w->inside = w->inside && (st->traits & PGMIG_T_LO_CALL);
    w->calls++;
    w->descriptors += (st->traits & PGMIG_T_LO_OPEN) ? 1 : 0;
    w->descriptors -= (st->traits & PGMIG_T_LO_CLOSE) ? 1 : 0;
}

/* They hold together in the migration's transaction just as well. */
static void leave_out_lo(struct pgmig_section *section)
{
    struct pgmig_statement *list = section->statements;
    size_t kept = 0;

    for (size_t i = 0; i < section->statement_count; i++)
        if (!(list[i].traits & PGMIG_T_TX_LO))
            list[kept++] = list[i];
    section->wrapped = kept < section->statement_count;
    keep_first(section, kept);
}

/* ---- in one transaction ---------------------------------------------- */

/* BEGIN first and COMMIT last. Another COMMIT between them is not looked for
** here: it is refused with everything else that is left. */
static bool is_wrapped(const struct pgmig_section *section)
{
    size_t n = section->statement_count;

    return n >= 2 && (section->statements[0].traits & PGMIG_T_TX_BEGIN) &&
           (section->statements[n - 1].traits & PGMIG_T_TX_COMMIT);
}

/* A COMMIT behind which something follows. */
static bool ends_early(const struct pgmig_section *section, size_t i)
{
    unsigned traits = section->statements[i].traits;

    return (traits & PGMIG_T_TX_COMMIT) && !(traits & PGMIG_T_TX_LO) &&
           i + 1 < section->statement_count;
}

/* The first one counts: a warning points at it. */
size_t pgmig_txcheck_obstacle(const struct pgmig_section *section, bool alone)
{
    unsigned traits = PGMIG_T_TX_REFUSED | (alone ? PGMIG_T_NO_BLOCK : 0);
    size_t n = section->statement_count;

    for (size_t i = 0; i < n; i++)
        if ((section->statements[i].traits & traits) || ends_early(section, i))
            return i;
    return n;
}

/* A BEGIN or a COMMIT without the other is left where it is: it is refused with
** everything else, and the message names it. */
static int unwrap(const struct pgmig_script *script,
                  struct pgmig_section *section, struct pgmig_modes *modes,
                  struct pgmig_error *err)
{
    if (!is_wrapped(section))
        return 0;
    section->wrapped = true;
    keep_first(section, section->statement_count - 1);
    return lift(script, section, modes, err);
}

static int refuse_open(const struct pgmig_script *script,
                       const struct pgmig_statement *st,
                       struct pgmig_error *err)
{
    pgmig_error_set(err, PGMIG_E_PARSE, "%s without COMMIT", st->name);
    pgmig_error_hint(err, "write COMMIT where its transaction ends, or delete "
                          "it");
    return point(script, st, err);
}

/* A BEGIN after other statements, or in another one, begins nothing: the server
** only warns. But it sets the modes (src/backend/tcop/utility.c), and fails for
** an isolation level that comes after a query. */
static int check_idle(const struct pgmig_script *script,
                      const struct pgmig_statement *st, struct pgmig_error *err)
{
    struct pgmig_modes modes = {0};

    if (take_modes(script, st, &modes, err) != 0)
        return -1;
    if (modes.isolation == NULL && modes.deferrable == NULL)
        return 0;
    pgmig_error_set(err, PGMIG_E_PARSE,
                    "%s in a transaction that has already begun", st->name);
    pgmig_error_hint(err, "its transaction modes could not be set there: "
                          "delete it, or put it before all other statements");
    return point(script, st, err);
}

/*
** Of a file that its tool wraps: a BEGIN is left out, as there it does
** nothing, and so is a COMMIT at the end.
*/
static int unwrap_own(const struct pgmig_script *script,
                      struct pgmig_section *section,
                      const struct pgmig_vocabulary *words,
                      struct pgmig_modes *modes, struct pgmig_error *err)
{
    struct pgmig_statement *list = section->statements;
    size_t n = section->statement_count;
    bool closed = n > 0 && (list[n - 1].traits & PGMIG_T_TX_COMMIT);
    size_t kept = 0;

    section->wrapped = section->wrapped || closed;
    for (size_t i = 0; i < n; i++) {
        if (!(list[i].traits & (PGMIG_T_TX_BEGIN | PGMIG_T_TX_COMMIT))) {
            list[kept++] = list[i];
            continue;
        }
        section->wrapped = true;
        if (list[i].traits & PGMIG_T_TX_COMMIT)
            continue;
        /* the tool sends the file as it is: without its COMMIT nothing of it
        ** would have been kept */
        if (!closed && words->unwrapped)
            return refuse_open(script, &list[i], err);
        if ((i == 0 ? take_modes(script, &list[i], modes, err)
                    : check_idle(script, &list[i], err)) != 0)
            return -1;
    }
    keep_first(section, kept);
    return 0;
}

/* The two kinds need other advice: what must run alone can be moved, what
** controls transactions has nothing to control here. */
static int refuse(const struct pgmig_script *script,
                  const struct pgmig_statement *st, const char *remedy,
                  struct pgmig_error *err)
{
    if (st->traits & PGMIG_T_NO_BLOCK) {
        pgmig_error_set(err, PGMIG_E_PARSE,
                        "%s cannot run inside a transaction", st->name);
        pgmig_error_hint(err,
                         "add the line `%s` to this section, preferably in a "
                         "migration of its own",
                         remedy);
    } else {
        pgmig_error_set(err, PGMIG_E_PARSE,
                        "%s in a migration that runs in a transaction",
                        st->name);
        pgmig_error_hint(err,
                         "pgmig begins and commits the transaction itself; "
                         "delete it, or add the line `%s`",
                         remedy);
    }
    return point(script, st, err);
}

/* Everything is said: the defaults of a role or a database
** (default_transaction_isolation, default_transaction_read_only) must not
** change what a migration does, and the tracking row has to be written. */
static void begin(struct pgmig_section *section,
                  const struct pgmig_modes *modes)
{
    snprintf(section->begin, sizeof section->begin,
             "BEGIN ISOLATION LEVEL %s READ WRITE%s%s",
             modes->isolation ? modes->isolation : "READ COMMITTED",
             modes->deferrable ? " " : "",
             modes->deferrable ? modes->deferrable : "");
}

/* Large objects first: a dump of nothing else begins with BEGIN and ends with
** COMMIT, too, without being one transaction. */
int pgmig_txcheck(const struct pgmig_script *script,
                  struct pgmig_section *section,
                  const struct pgmig_vocabulary *words, bool own,
                  struct pgmig_error *err)
{
    struct pgmig_modes modes = {0};
    int status;

    leave_out_lo(section);
    status = own ? unwrap_own(script, section, words, &modes, err)
                 : unwrap(script, section, &modes, err);
    if (status != 0)
        return -1;
    /* SET TRANSACTION works only before the first query (manual): so it is
    ** looked for in the first place alone, and refused elsewhere */
    if (section->statement_count > 0 &&
        (section->statements[0].traits & PGMIG_T_TX_SET) &&
        lift(script, section, &modes, err) != 0)
        return -1;
    for (size_t i = 0; i < section->statement_count; i++)
        if (section->statements[i].traits & (PGMIG_T_NOTABLE))
            return refuse(script, &section->statements[i], words->untransacted,
                          err);
    begin(section, &modes);
    return 0;
}

/* ---- statement by statement ------------------------------------------ */

/* ROLLBACK, ABORT, PREPARE TRANSACTION: not only of what the file has begun. */
static int refuse_end(const struct pgmig_script *script,
                      const struct pgmig_statement *st, struct pgmig_error *err)
{
    pgmig_error_set(
        err, PGMIG_E_PARSE,
        "%s ends the tool's transaction, and nothing in it would be kept",
        st->name);
    pgmig_error_hint(
        err, "delete it together with what it rolls back, or write COMMIT");
    return point(script, st, err);
}

static int refuse_chain(const struct pgmig_script *script,
                        const struct pgmig_statement *st,
                        struct pgmig_error *err)
{
    pgmig_error_set(err, PGMIG_E_PARSE,
                    "%s AND CHAIN begins a transaction without a BEGIN",
                    st->name);
    pgmig_error_hint(err, "write %s; BEGIN; instead", st->name);
    return point(script, st, err);
}

static int refuse_inside(const struct pgmig_script *script,
                         const struct pgmig_statement *st,
                         const struct pgmig_vocabulary *words, bool begun,
                         struct pgmig_error *err)
{
    /* the tool's own transaction is the obstacle: a line in the file ends
    ** that */
    if (begun)
        return refuse(script, st, words->untransacted, err);

    pgmig_error_set(err, PGMIG_E_PARSE, "%s cannot run inside a transaction",
                    st->name);
    pgmig_error_hint(err, "move it out of the file's own BEGIN ... COMMIT");
    return point(script, st, err);
}

/* Whether one of a file's own transactions is begun, goes on or ends here. A
** second BEGIN begins nothing; a ROLLBACK ends one as COMMIT does. */
static void follow(const struct pgmig_statement **open,
                   const struct pgmig_statement *st)
{
    if ((st->traits & PGMIG_T_TX_BEGIN) && *open == NULL)
        *open = st;
    else if (st->traits & (PGMIG_T_TX_COMMIT | PGMIG_T_TX_REFUSED))
        *open = NULL;
}

/* `own`: the tool's transaction is still under way. It ends with the first
** COMMIT, and nobody begins another one for the file. */
int pgmig_txcheck_pieces(const struct pgmig_script *script,
                         const struct pgmig_section *section,
                         const struct pgmig_vocabulary *words, bool begun,
                         struct pgmig_error *err)
{
    const struct pgmig_statement *open = NULL;
    bool own = begun;

    for (size_t i = 0; i < section->statement_count; i++) {
        const struct pgmig_statement *st = &section->statements[i];

        if (st->traits & PGMIG_T_TX_CHAIN)
            return refuse_chain(script, st, err);
        if (begun && (st->traits & PGMIG_T_TX_REFUSED))
            return refuse_end(script, st, err);
        if ((st->traits & PGMIG_T_NO_BLOCK) && (open != NULL || own))
            return refuse_inside(script, st, words, own && open == NULL, err);
        follow(&open, st);
        own = own && !(st->traits & PGMIG_T_TX_COMMIT);
    }
    /* with a tool that commits at the end of the file, that ends it */
    if (open != NULL && (!begun || words->unwrapped))
        return refuse_open(script, open, err);
    return 0;
}

/* What a statement is called that does nothing, where its kind leaves it open.
 */
static const char *vain_name(const struct pgmig_statement *st)
{
    if (strcmp(st->name, "SET") == 0)
        return "SET LOCAL";
    if (strncmp(st->name, "CREATE", 6) == 0)
        return "a table with ON COMMIT DROP";
    return strcmp(st->name, "DECLARE") == 0 ? "a cursor without WITH HOLD"
                                            : st->name;
}

const struct pgmig_statement *
pgmig_txcheck_vain(const struct pgmig_section *section,
                   struct pgmig_tx_walk *walk)
{
    while (walk->next < section->statement_count) {
        const struct pgmig_statement *st = &section->statements[walk->next++];

        if (st->traits & PGMIG_T_TX_BEGIN)
            walk->inside = true;
        else if (st->traits & (PGMIG_T_TX_COMMIT | PGMIG_T_TX_REFUSED))
            walk->inside = false;
        else if (!walk->inside &&
                 (st->traits & (PGMIG_T_PASSING | PGMIG_T_TX_SET))) {
            snprintf(walk->message, sizeof walk->message,
                     "%s has no effect outside a transaction: put it between "
                     "BEGIN and COMMIT, with what it is for",
                     vain_name(st));
            return st;
        }
    }
    return NULL;
}

/* A COMMIT ends nothing where nothing is open or nothing was kept yet; a BEGIN
** at the very end begins nothing that would be run. */
void pgmig_txcheck_loosen(struct pgmig_section *section, bool begun)
{
    struct pgmig_statement *list = section->statements;
    size_t n = section->statement_count;
    bool open = begun;
    size_t kept = 0;

    section->begun = begun;
    for (size_t i = 0; i < n; i++) {
        bool commit = list[i].traits & PGMIG_T_TX_COMMIT;
        bool begin = list[i].traits & PGMIG_T_TX_BEGIN;
        bool empty = kept == 0 || !open;

        if (kept == 0 && (commit || begin))
            section->begun = false; /* over, or begun by the file */
        if (commit)
            open = false;
        if ((commit && empty) || (begin && i + 1 == n))
            continue;
        open = open || begin;
        list[kept++] = list[i];
    }
    section->unended = open && kept > 0;
    keep_first(section, kept);
}
