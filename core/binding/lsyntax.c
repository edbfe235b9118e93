/*
** lsyntax.c -- statements that a server only parses.
**
** The connection owns the operation, and keeps the list with its scripts, as it
** does the jobs of a run; what the last one has left stays until the next one,
** or until the connection is closed.
*/
#include "binding/lconn.h"

#define PASSAGES_LEVELS 2 /* a list, its passages */

/* Read the passage on the top of the stack, and pop it: its list keeps it
** alive. */
static void take_passage(lua_State *L, struct pgmig_passage *passage)
{
    int at = lua_gettop(L);

    luaL_checktype(L, at, LUA_TTABLE);
    passage->section = (enum pgmig_direction)lpgmig_read_choice(
        L, at, "passage", "section", lpgmig_directions, -1);
    lpgmig_get_field(L, at, "script");
    passage->script = lpgmig_check_script(L, at + 1);
    lua_settop(L, at - 1);
}

/*
** conn:parse(list, passage, statement, alone) starts to have the server parse
** statements, none of which runs, from a place on, whose numbers begin with 1.
** A passage of the list = { script, section = "up" | "down" }. What its grammar
** refuses first is the error of the end, kind "parse". `alone`: each waits for
** its answer.
*/
static int conn_parse(lua_State *L)
{
    struct pgmig_syntax_place from = {
        .passage = (size_t)luaL_checkinteger(L, 3) - 1,
        .statement = (size_t)luaL_checkinteger(L, 4) - 1};
    bool alone = lua_toboolean(L, 5);
    size_t count;
    struct pgmig_passage *list;
    struct pgmig_error *err;
    struct lconn *lc;

    lua_settop(L, 2);
    lpgmig_snapshot(L, 2, PASSAGES_LEVELS);
    count = lpgmig_length(L, 2);
    list = lua_newuserdata(L, (count + 1) * sizeof *list);
    for (size_t i = 0; i < count; i++) {
        list[i] = (struct pgmig_passage){0};
        lua_rawgeti(L, 2, (int)i + 1);
        take_passage(L, &list[i]);
    }
    err = lpgmig_error_new(L);
    /* last: what was called before may have closed the connection */
    lc = lconn_check_free(L, 1);
    if (!pgmig_conn_ended(lc->conn))
        return lpgmig_error_usage(L, "the connection is busy");
    pgmig_syntax_free(lc->syntax);
    lc->syntax = pgmig_syntax_start(lc->conn, list, count, from, alone, err);
    if (lc->syntax == NULL)
        return lpgmig_error_raise(L, err);
    lconn_keep(L, lc, LCONN_PASSAGES, 2);
    return 0;
}

/* conn:parsed() --> where the last one has stopped: the passage's number, and
** the statement's, from 1; nothing when there was none. */
static int conn_parsed(lua_State *L)
{
    const struct lconn *lc = lconn_check(L, 1);
    struct pgmig_syntax_place place;

    if (lc->syntax == NULL)
        return 0;
    place = pgmig_syntax_stopped(lc->syntax);
    lua_pushinteger(L, (lua_Integer)place.passage + 1);
    lua_pushinteger(L, (lua_Integer)place.statement + 1);
    return 2;
}

const luaL_Reg lconn_syntax_methods[] = {
    {"parse", conn_parse}, {"parsed", conn_parsed}, {NULL, NULL}};
