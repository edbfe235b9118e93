/*
** lledger.c -- the tables of the bookkeeping.
**
** A ledger asks the server nothing: lapply.c starts its operations on a
** connection, and here is what the last probe has found. It lives on its own:
** one ledger may be asked about through several connections.
*/
#include <stdlib.h>

#include "binding/lpgmig.h"

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

/* Strings only: lua_tostring makes a new one of a number, which no table
** keeps. */
static const char *text_field(lua_State *L, int arg, const char *key)
{
    const char *s;

    lpgmig_get_field(L, arg, key);
    if (lua_type(L, -1) != LUA_TSTRING) /* a number's text, nobody keeps */
        luaL_error(L, "field %s: string expected", key);
    s = lua_tostring(L, -1);
    lua_pop(L, 1); /* the table at `arg` keeps it */
    return s;
}

/*
** ledger:share { columns, key, create, list, claim, release, there, locked }:
** keep another tool's table (struct pgmig_layout).
*/
static int ledger_share(lua_State *L)
{
    struct pgmig_ledger *ledger = lpgmig_check_ledger(L, 1);
    struct pgmig_layout layout = {0};
    struct pgmig_error *err;

    luaL_checktype(L, 2, LUA_TTABLE);
    layout.columns = text_field(L, 2, "columns");
    layout.key = text_field(L, 2, "key");
    layout.create = text_field(L, 2, "create");
    layout.list = text_field(L, 2, "list");
    layout.claim = text_field(L, 2, "claim");
    layout.release = text_field(L, 2, "release");
    layout.there = text_field(L, 2, "there");
    lpgmig_get_field(L, 2, "locked");
    layout.locked = lua_toboolean(L, -1);
    err = lpgmig_error_new(L);
    if (pgmig_ledger_share(ledger, &layout, err) != 0)
        return lpgmig_error_raise(L, err);
    return 0;
}

static int ledger_gc(lua_State *L)
{
    struct lledger *ll = luaL_checkudata(L, 1, LPGMIG_LEDGER);

    pgmig_ledger_free(ll->ledger);
    ll->ledger = NULL;
    return 0;
}

/* ledger:set_patience(milliseconds): how long it waits for locks. */
static int ledger_set_patience(lua_State *L)
{
    pgmig_ledger_set_patience(lpgmig_check_ledger(L, 1),
                              (int)luaL_checkinteger(L, 2));
    return 0;
}

/* ledger:exists() --> whether the last probe found the table. */
static int ledger_exists(lua_State *L)
{
    lua_pushboolean(L, pgmig_ledger_exists(lpgmig_check_ledger(L, 1)));
    return 1;
}

static int ledger_tostring(lua_State *L)
{
    const struct lledger *ll = luaL_checkudata(L, 1, LPGMIG_LEDGER);
    const char *table = ll->ledger ? pgmig_ledger_qualified(ll->ledger) : NULL;

    lua_pushfstring(L, "pgmig ledger (%s)", table ? table : "not probed");
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
    lua_pushboolean(L, pgmig_ledger_journaled(lpgmig_check_ledger(L, 1)));
    return 1;
}

/* ledger:format() --> the format of the history; 0: there is none. */
static int ledger_format(lua_State *L)
{
    lua_pushinteger(L, pgmig_ledger_format(lpgmig_check_ledger(L, 1)));
    return 1;
}

/* ledger:qualified() --> the tracking table, quoted, with its schema; nil. */
static int ledger_qualified(lua_State *L)
{
    lua_pushstring(L, pgmig_ledger_qualified(lpgmig_check_ledger(L, 1)));
    return 1;
}

/* ledger:unfit() --> settings of the session that a run needs otherwise, with
** commas; nil. */
static int ledger_unfit(lua_State *L)
{
    lua_pushstring(L, pgmig_ledger_unfit(lpgmig_check_ledger(L, 1)));
    return 1;
}

/* ledger:doubted() --> whether `trust` has to be asked before all else. */
static int ledger_doubted(lua_State *L)
{
    lua_pushboolean(L, pgmig_ledger_doubted(lpgmig_check_ledger(L, 1)));
    return 1;
}

/* ledger:hidden() --> a table of which row-level security may hide rows; nil.
 */
static int ledger_hidden(lua_State *L)
{
    lua_pushstring(L, pgmig_ledger_hidden(lpgmig_check_ledger(L, 1)));
    return 1;
}

/* ledger:read_only() --> whether the server is a standby. */
static int ledger_read_only(lua_State *L)
{
    lua_pushboolean(L, pgmig_ledger_read_only(lpgmig_check_ledger(L, 1)));
    return 1;
}

/* ledger:fits(version) --> whether its version column has room for it. */
static int ledger_fits(lua_State *L)
{
    lua_pushboolean(L, pgmig_ledger_fits(lpgmig_check_ledger(L, 1),
                                         luaL_checkstring(L, 2)));
    return 1;
}

/* objection(tables) --> an SQL expression: what speaks against using the tables
** whose oids are in an array, an SQL expression itself; see `refuse`. */
static int objection(lua_State *L)
{
    const char *tables = luaL_checkstring(L, 1);
    char **sql = lpgmig_own_text(L);

    *sql = pgmig_trust_sql(tables);
    if (*sql == NULL)
        return luaL_error(L, "out of memory");
    lua_pushstring(L, *sql);
    return 1;
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
    static const luaL_Reg methods[] = {{"exists", ledger_exists},
                                       {"share", ledger_share},
                                       {"complete", ledger_complete},
                                       {"format", ledger_format},
                                       {"journaled", ledger_journaled},
                                       {"qualified", ledger_qualified},
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
