/*
** lledger.c -- the tables of the bookkeeping.
**
** A ledger lives on its own: one may be asked about through several
** connections. An operation is started on a connection, which keeps the ledger
** until it has ended; what it is given is used up by then. Between operations a
** ledger knows what its last probe has found, which is read where it is.
*/
#include <string.h>

#include "binding/lconn.h"
#include "ledger/ledger.h"

struct lledger {
    struct pgmig_ledger *ledger;
};

/* Lua runs finalizers in an order of its own: one may still hold an object that
** was finalized before it. */
struct pgmig_ledger *lpgmig_check_ledger(lua_State *L, int arg)
{
    struct lledger *ll = luaL_checkudata(L, arg, LPGMIG_LEDGER);

    if (ll->ledger == NULL)
        lpgmig_error_usage(L, "this object has been garbage-collected");
    return ll->ledger;
}

/* ledger(table) --> ledger. Raises kind "usage" for an invalid name. */
static int ledger_new(lua_State *L)
{
    const char *table = lpgmig_check_name(L, 1);
    struct pgmig_error *err = lpgmig_error_new(L);
    struct lledger *ll = lua_newuserdata(L, sizeof *ll);

    ll->ledger = NULL;
    luaL_getmetatable(L, LPGMIG_LEDGER);
    lua_setmetatable(L, -2);
    ll->ledger = pgmig_ledger_new(table, err);
    if (ll->ledger == NULL)
        return lpgmig_error_raise(L, err);
    return 1;
}

static int ledger_gc(lua_State *L)
{
    struct lledger *ll = luaL_checkudata(L, 1, LPGMIG_LEDGER);

    pgmig_ledger_free(ll->ledger);
    ll->ledger = NULL;
    return 0;
}

static int ledger_tostring(lua_State *L)
{
    const struct lledger *ll = luaL_checkudata(L, 1, LPGMIG_LEDGER);
    const char *table = ll->ledger ? ll->ledger->tracking : NULL;

    lua_pushfstring(L, "pgmig ledger (%s)", table ? table : "not probed");
    return 1;
}

/*
** ledger:share { columns, key, create, list, claim, release, there, locked }:
** keep another tool's table (struct pgmig_layout).
*/
static int ledger_share(lua_State *L)
{
    static const struct lpgmig_field fields[] = {
        {"columns", LPGMIG_NEEDED, offsetof(struct pgmig_layout, columns)},
        {"key", LPGMIG_NEEDED, offsetof(struct pgmig_layout, key)},
        {"create", LPGMIG_NEEDED, offsetof(struct pgmig_layout, create)},
        {"list", LPGMIG_NEEDED, offsetof(struct pgmig_layout, list)},
        {"claim", LPGMIG_NEEDED, offsetof(struct pgmig_layout, claim)},
        {"release", LPGMIG_NEEDED, offsetof(struct pgmig_layout, release)},
        {"there", LPGMIG_NEEDED, offsetof(struct pgmig_layout, there)},
        {"locked", LPGMIG_FLAG, offsetof(struct pgmig_layout, locked)},
        {NULL, LPGMIG_TEXT, 0}};
    struct pgmig_ledger *ledger = lpgmig_check_ledger(L, 1);
    struct pgmig_layout layout = {0};
    struct pgmig_error *err;

    lpgmig_snapshot(L, 2, 1);
    lpgmig_read(L, 2, "layout", fields, &layout);
    err = lpgmig_error_new(L);
    return lconn_started(L, pgmig_ledger_share(ledger, &layout, err), err);
}

/* ledger:set_patience(milliseconds): how long it waits for locks. */
static int ledger_set_patience(lua_State *L)
{
    lpgmig_check_ledger(L, 1)->patience = (int)luaL_checkinteger(L, 2);
    return 0;
}

/* ---- entries --------------------------------------------------------- */

void lpgmig_read_entry(lua_State *L, int arg, struct pgmig_entry *entry)
{
    static const struct lpgmig_field fields[] = {
        {"event", LPGMIG_TEXT, offsetof(struct pgmig_entry, event)},
        {"version", LPGMIG_TEXT, offsetof(struct pgmig_entry, version)},
        {"name", LPGMIG_NEEDED, offsetof(struct pgmig_entry, name)},
        {"checksum", LPGMIG_TEXT, offsetof(struct pgmig_entry, checksum)},
        {"host", LPGMIG_TEXT, offsetof(struct pgmig_entry, host)},
        {"program", LPGMIG_TEXT, offsetof(struct pgmig_entry, program)},
        {"run", LPGMIG_TEXT, offsetof(struct pgmig_entry, run)},
        {"message", LPGMIG_TEXT, offsetof(struct pgmig_entry, message)},
        {"applied_at", LPGMIG_TEXT, offsetof(struct pgmig_entry, applied_at)},
        {"key", LPGMIG_TEXT, offsetof(struct pgmig_entry, key)},
        {"digest", LPGMIG_TEXT, offsetof(struct pgmig_entry, digest)},
        {"sqlstate", LPGMIG_TEXT, offsetof(struct pgmig_entry, sqlstate)},
        {"detail", LPGMIG_TEXT, offsetof(struct pgmig_entry, detail)},
        {"file", LPGMIG_TEXT, offsetof(struct pgmig_entry, file)},
        {"line", LPGMIG_INT64, offsetof(struct pgmig_entry, line)},
        {"column", LPGMIG_INT64, offsetof(struct pgmig_entry, column)},
        {"seconds", LPGMIG_NUMBER, offsetof(struct pgmig_entry, seconds)},
        {"owner", LPGMIG_TEXT, offsetof(struct pgmig_entry, owner)},
        {"revision", LPGMIG_LONG, offsetof(struct pgmig_entry, revision)},
        {NULL, LPGMIG_TEXT, 0}};

    lpgmig_read(L, arg, "entry", fields, entry);
}

/* The entry at `arg`, of which a copy takes its place. */
static struct pgmig_entry check_entry(lua_State *L, int arg)
{
    struct pgmig_entry entry = {0};

    lpgmig_snapshot(L, arg, 1);
    lpgmig_read_entry(L, arg, &entry);
    return entry;
}

/* The same with an owner: the journal's row that it is about has one. */
static struct pgmig_entry check_owned(lua_State *L, int arg)
{
    struct pgmig_entry entry = check_entry(L, arg);

    luaL_argcheck(L, entry.owner != NULL, arg, "owner expected");
    return entry;
}

/* The entries of the list at `arg`, in memory of Lua's on the stack: it goes
** with the call, whichever way that ends. A copy takes the list's place. */
static struct pgmig_entry *check_entries(lua_State *L, int arg, size_t *count)
{
    struct pgmig_entry *list;

    lpgmig_snapshot(L, arg, 2);
    *count = lpgmig_length(L, arg);
    list = lua_newuserdata(L, (*count + 1) * sizeof *list);
    for (size_t i = 0; i < *count; i++) {
        lua_rawgeti(L, arg, (int)i + 1);
        list[i] = (struct pgmig_entry){0};
        lpgmig_read_entry(L, lua_gettop(L), &list[i]);
        lua_pop(L, 1);
    }
    return list;
}

/* ---- operations on a connection -------------------------------------- */

/* The operation of the ledger at argument 1 has started, or has not. If so, the
** connection keeps the ledger until it has ended. */
static int started(lua_State *L, struct lconn *lc, int status,
                   struct pgmig_error *err)
{
    if (status != 0)
        return lpgmig_error_raise(L, err);
    lconn_keep(L, lc, LCONN_LEDGER, 1);
    lc->ledger = lpgmig_check_ledger(L, 1);
    return 0;
}

/* An operation's name, and its argument behind that. */
static int check_operation(lua_State *L, const char **argument)
{
    static const char *const names[] = {[PGMIG_LEDGER_PROBE] = "probe",
                                        [PGMIG_LEDGER_PREPARE] = "prepare",
                                        [PGMIG_LEDGER_ADVANCE] = "advance",
                                        [PGMIG_LEDGER_WIDEN] = "widen",
                                        [PGMIG_LEDGER_LIST] = "list",
                                        [PGMIG_LEDGER_MARKS] = "marks",
                                        [PGMIG_LEDGER_HISTORY] = "history",
                                        [PGMIG_LEDGER_JOURNAL] = "journal",
                                        [PGMIG_LEDGER_ELSEWHERE] = "elsewhere",
                                        [PGMIG_LEDGER_READ] = "read",
                                        [PGMIG_LEDGER_TRUST] = "trust",
                                        NULL};
    int op = luaL_checkoption(L, 3, NULL, names);

    *argument = luaL_optstring(L, 4, NULL);
    luaL_argcheck(L, *argument != NULL || op != PGMIG_LEDGER_WIDEN, 4,
                  "version expected");
    return op;
}

/* ledger:text(conn, operation, argument) --> its SQL, which is not sent. */
static int ledger_text(lua_State *L)
{
    struct pgmig_ledger *ledger = lpgmig_check_ledger(L, 1);
    const char *argument;
    int op = check_operation(L, &argument);
    struct pgmig_error *err = lpgmig_error_new(L);
    struct pgmig_buf *out = lpgmig_own_buf(L);
    struct lconn *lc = lconn_check_free(L, 2);

    if (pgmig_ledger_text(ledger, lc->conn, (enum pgmig_ledger_op)op, argument,
                          out, err) != 0)
        return lpgmig_error_raise(L, err);
    return lpgmig_push_buf(L, out);
}

/*
** ledger:start(conn, "probe" | "prepare" | "advance" | "widen" | "list" |
** "marks" | "history" | "journal" | "elsewhere" | "read" | "trust" [,
** argument]) starts an operation on the tables; as all that follow,
** ledger:finish(conn) ends it.
*/
static int ledger_start(lua_State *L)
{
    struct pgmig_ledger *ledger = lpgmig_check_ledger(L, 1);
    const char *argument;
    int op = check_operation(L, &argument);
    struct pgmig_error *err = lpgmig_error_new(L);
    struct lconn *lc = lconn_check_free(L, 2);

    return started(L, lc,
                   pgmig_ledger_start(ledger, lc->conn,
                                      (enum pgmig_ledger_op)op, argument, err),
                   err);
}

/* ledger:finish(conn) after the last step: raises its error. */
static int ledger_finish(lua_State *L)
{
    struct pgmig_ledger *ledger = lpgmig_check_ledger(L, 1);
    struct pgmig_error *err = lpgmig_error_new(L);
    struct lconn *lc = lconn_check_free(L, 2);
    int status;

    if (lc->ledger != ledger || !pgmig_conn_ended(lc->conn))
        return lpgmig_error_usage(L, "no ledger operation has ended");
    status = pgmig_ledger_finish(ledger, lc->conn, err);
    /* before anything can be raised: it has ended, well or not */
    lc->ledger = NULL;
    lconn_forget(L, lc, LCONN_LEDGER);
    return status == 0 ? 0 : lpgmig_error_raise(L, err);
}

/*
** ledger:record(conn, change, entry) starts to record an event, and its change:
** "none", "name", "row", "done", "redo" or "restart".
*/
static int ledger_record(lua_State *L)
{
    static const char *const changes[] = {[PGMIG_CHANGE_NONE] = "none",
                                          [PGMIG_CHANGE_NAME] = "name",
                                          [PGMIG_CHANGE_ROW] = "row",
                                          [PGMIG_CHANGE_DONE] = "done",
                                          [PGMIG_CHANGE_REDO] = "redo",
                                          [PGMIG_CHANGE_RESTART] = "restart",
                                          NULL};
    struct pgmig_ledger *ledger = lpgmig_check_ledger(L, 1);
    int change = luaL_checkoption(L, 3, NULL, changes);
    struct pgmig_entry entry = check_entry(L, 4);
    struct pgmig_error *err = lpgmig_error_new(L);
    struct lconn *lc = lconn_check_free(L, 2);

    return started(L, lc,
                   pgmig_ledger_record(ledger, lc->conn,
                                       (enum pgmig_ledger_change)change, &entry,
                                       err),
                   err);
}

/*
** ledger:take(conn, entry, owner) starts to take over the journal's row of
** entry.owner; conn:rows() has the row then, or none.
*/
static int ledger_take(lua_State *L)
{
    struct pgmig_ledger *ledger = lpgmig_check_ledger(L, 1);
    struct pgmig_entry entry = check_owned(L, 3);
    const char *by = luaL_checkstring(L, 4);
    struct pgmig_error *err = lpgmig_error_new(L);
    struct lconn *lc = lconn_check_free(L, 2);

    return started(L, lc, pgmig_ledger_take(ledger, lc->conn, &entry, by, err),
                   err);
}

/*
** ledger:set_aside(conn, entry, { role, oid, name, set_aside }) starts to
** rename an INVALID index, for entry.owner.
*/
static int ledger_set_aside(lua_State *L)
{
    static const struct lpgmig_field fields[] = {
        {"role", LPGMIG_TEXT, offsetof(struct pgmig_debris, role)},
        {"oid", LPGMIG_NEEDED, offsetof(struct pgmig_debris, oid)},
        {"name", LPGMIG_NEEDED, offsetof(struct pgmig_debris, name)},
        {"set_aside", LPGMIG_NEEDED, offsetof(struct pgmig_debris, set_aside)},
        {NULL, LPGMIG_TEXT, 0}};
    struct pgmig_ledger *ledger = lpgmig_check_ledger(L, 1);
    struct pgmig_entry entry = check_owned(L, 3);
    struct pgmig_debris index = {0};
    struct pgmig_error *err;
    struct lconn *lc;

    lpgmig_snapshot(L, 4, 1);
    lpgmig_read(L, 4, "index", fields, &index);
    err = lpgmig_error_new(L);
    lc = lconn_check_free(L, 2);
    return started(
        L, lc, pgmig_ledger_set_aside(ledger, lc->conn, &entry, &index, err),
        err);
}

/* ledger:begin_run(conn, entry, plan) starts to note that a run begins: the
** entry's run, host, program, and direction as event; plan: a text. */
static int ledger_begin_run(lua_State *L)
{
    struct pgmig_ledger *ledger = lpgmig_check_ledger(L, 1);
    struct pgmig_entry entry = check_entry(L, 3);
    const char *plan = luaL_checkstring(L, 4);
    struct pgmig_error *err = lpgmig_error_new(L);
    struct lconn *lc = lconn_check_free(L, 2);

    return started(L, lc,
                   pgmig_ledger_begin_run(ledger, lc->conn, &entry, plan, err),
                   err);
}

/* ledger:end_run(conn, run) starts to note that it has ended. */
static int ledger_end_run(lua_State *L)
{
    struct pgmig_ledger *ledger = lpgmig_check_ledger(L, 1);
    const char *run = luaL_checkstring(L, 3);
    struct pgmig_error *err = lpgmig_error_new(L);
    struct lconn *lc = lconn_check_free(L, 2);

    return started(L, lc, pgmig_ledger_end_run(ledger, lc->conn, run, err),
                   err);
}

/* ledger:adopt(conn, entries) starts to record what another tool has
** applied. */
static int ledger_adopt(lua_State *L)
{
    struct pgmig_ledger *ledger = lpgmig_check_ledger(L, 1);
    size_t count;
    const struct pgmig_entry *entries = check_entries(L, 3, &count);
    struct pgmig_error *err = lpgmig_error_new(L);
    struct lconn *lc = lconn_check_free(L, 2);

    return started(
        L, lc, pgmig_ledger_adopt(ledger, lc->conn, entries, count, err), err);
}

/* ---- what the last probe found --------------------------------------- */

/* ledger:exists() --> whether the last probe found the table. */
static int ledger_exists(lua_State *L)
{
    lua_pushboolean(L, lpgmig_check_ledger(L, 1)->exists);
    return 1;
}

/* ledger:complete() --> whether all tables are there, as this version wants
** them. */
static int ledger_complete(lua_State *L)
{
    lua_pushboolean(L, pgmig_ledger_complete(lpgmig_check_ledger(L, 1)));
    return 1;
}

/* ledger:journaled() --> whether the last probe found the journal. */
static int ledger_journaled(lua_State *L)
{
    lua_pushboolean(L, lpgmig_check_ledger(L, 1)->journaled);
    return 1;
}

/* ledger:format() --> the format of the history; 0: there is none. */
static int ledger_format(lua_State *L)
{
    lua_pushinteger(L, lpgmig_check_ledger(L, 1)->format);
    return 1;
}

/* ledger:qualified() --> the tracking table, quoted, with its schema; nil. */
static int ledger_qualified(lua_State *L)
{
    lua_pushstring(L, lpgmig_check_ledger(L, 1)->tracking);
    return 1;
}

/* ledger:tables() --> the tracking table, its history, its journal, the runs'
** journal and the table of backfills, quoted, with their schema; nil. */
static int ledger_tables(lua_State *L)
{
    const struct pgmig_ledger *ledger = lpgmig_check_ledger(L, 1);

    lua_pushstring(L, ledger->tracking);
    lua_pushstring(L, ledger->history);
    lua_pushstring(L, ledger->journal);
    lua_pushstring(L, ledger->runs);
    lua_pushstring(L, ledger->backfill);
    return 5;
}

/* ledger:has_backfill() --> whether the last probe found that of backfills. */
static int ledger_has_backfill(lua_State *L)
{
    lua_pushboolean(L, lpgmig_check_ledger(L, 1)->has_backfill);
    return 1;
}

/* ledger:unfit() --> settings of the session that a run needs otherwise, with
** commas; nil. */
static int ledger_unfit(lua_State *L)
{
    lua_pushstring(L, lpgmig_check_ledger(L, 1)->unfit);
    return 1;
}

/* ledger:doubted() --> whether `trust` has to be asked before all else. */
static int ledger_doubted(lua_State *L)
{
    lua_pushboolean(L, lpgmig_check_ledger(L, 1)->doubted != NULL);
    return 1;
}

/* ledger:hidden() --> a table of which row-level security may hide rows; nil.
 */
static int ledger_hidden(lua_State *L)
{
    lua_pushstring(L, lpgmig_check_ledger(L, 1)->hidden);
    return 1;
}

/* ledger:read_only() --> whether the server is a standby. */
static int ledger_read_only(lua_State *L)
{
    lua_pushboolean(L, lpgmig_check_ledger(L, 1)->read_only);
    return 1;
}

/* ledger:fits(version) --> whether its version column has room for it. */
static int ledger_fits(lua_State *L)
{
    lua_pushboolean(L, pgmig_ledger_fits(lpgmig_check_ledger(L, 1),
                                         luaL_checkstring(L, 2)));
    return 1;
}

/* ---- whose the tables are --------------------------------------------- */

/* objection(tables) --> an SQL expression: what speaks against using the tables
** whose oids are in an array, an SQL expression itself; see `refuse`. */
static int objection(lua_State *L)
{
    const char *tables = luaL_checkstring(L, 1);
    char **sql = lpgmig_own_text(L);

    *sql = pgmig_trust_sql(tables);
    if (*sql == NULL)
        return luaL_error(L, "out of memory");
    return lpgmig_push_owned(L, sql, strlen(*sql));
}

/* refuse(objection): raise what such an expression has yielded, kind "plan". */
static int refuse(lua_State *L)
{
    const char *said = luaL_checkstring(L, 1);
    struct pgmig_error *err = lpgmig_error_new(L);

    pgmig_trust_refuse(said, err);
    return lpgmig_error_raise(L, err);
}

void lpgmig_open_ledger(lua_State *L)
{
    static const luaL_Reg functions[] = {{"ledger", ledger_new},
                                         {"objection", objection},
                                         {"refuse", refuse},
                                         {NULL, NULL}};
    static const luaL_Reg methods[] = {{"start", ledger_start},
                                       {"text", ledger_text},
                                       {"finish", ledger_finish},
                                       {"record", ledger_record},
                                       {"take", ledger_take},
                                       {"set_aside", ledger_set_aside},
                                       {"begin_run", ledger_begin_run},
                                       {"end_run", ledger_end_run},
                                       {"adopt", ledger_adopt},
                                       {"share", ledger_share},
                                       {"exists", ledger_exists},
                                       {"complete", ledger_complete},
                                       {"format", ledger_format},
                                       {"journaled", ledger_journaled},
                                       {"qualified", ledger_qualified},
                                       {"tables", ledger_tables},
                                       {"has_backfill", ledger_has_backfill},
                                       {"doubted", ledger_doubted},
                                       {"hidden", ledger_hidden},
                                       {"unfit", ledger_unfit},
                                       {"read_only", ledger_read_only},
                                       {"fits", ledger_fits},
                                       {"set_patience", ledger_set_patience},
                                       {"__gc", ledger_gc},
                                       {"__tostring", ledger_tostring},
                                       {NULL, NULL}};

    lpgmig_class(L, LPGMIG_LEDGER, methods);
    lpgmig_set(L, functions);
}
