/*
** lerror.c -- failures of the core as Lua errors.
**
** The core fills a struct with texts of its own (malloc); Lua gets a table.
** Making that may raise, for want of memory: the struct must not be lost then.
** So it is not a C local, but a userdata that the registry keeps. What the core
** has refused is always raised as a table of one metatable, with a kind: nobody
** has to read a message.
*/
#include <string.h>

#include "binding/lpgmig.h"

#define BOX "pgmig.error_box"         /* its metatable */
#define BOX_KEY "pgmig.error_box.one" /* the box itself */

/* At the state's end: an error that was filled and never raised. */
static int box_gc(lua_State *L)
{
    pgmig_error_clear(luaL_checkudata(L, 1, BOX));
    return 0;
}

/* It needs no box: its text is a constant. */
int lpgmig_error_usage(lua_State *L, const char *message)
{
    lua_newtable(L);
    lpgmig_set_string(L, "kind", pgmig_error_kind_name(PGMIG_E_USAGE));
    lpgmig_set_string(L, "message", message);
    luaL_getmetatable(L, LPGMIG_ERROR);
    lua_setmetatable(L, -2);
    return lua_error(L);
}

const char *lpgmig_check_name(lua_State *L, int arg)
{
    size_t len;
    const char *name = luaL_checklstring(L, arg, &len);

    if (strlen(name) != len)
        lpgmig_error_usage(L, "name contains a NUL byte");
    return name;
}

/* One box serves the whole state: a function fails once, and raising empties
** the box. Functions of the binding do not call each other. */
struct pgmig_error *lpgmig_error_new(lua_State *L)
{
    struct pgmig_error *err;

    lua_getfield(L, LUA_REGISTRYINDEX, BOX_KEY);
    err = lua_touserdata(L, -1);
    pgmig_error_clear(err);
    return err; /* the registry keeps the box, the stack too */
}

void lpgmig_open_error(lua_State *L)
{
    struct pgmig_error *err = lua_newuserdata(L, sizeof *err);

    memset(err, 0, sizeof *err);
    luaL_newmetatable(L, BOX);
    lua_pushcfunction(L, box_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_setfield(L, LUA_REGISTRYINDEX, BOX_KEY);
    luaL_newmetatable(L, LPGMIG_ERROR);
    lua_setfield(L, -2, "error_metatable"); /* pgmig.errors completes it */
}

static void set_position(lua_State *L, const struct pgmig_error *err)
{
    lpgmig_set_string(L, "file", err->file);
    lpgmig_set_string(L, "text", err->text);
    if (err->line > 0)
        lpgmig_set_integer(L, "line", err->line);
    if (err->column > 0)
        lpgmig_set_integer(L, "column", err->column);
}

/* Cleared before it is raised: lua_error does not come back. Where the core had
** no memory for a message, none is there. */
int lpgmig_error_raise(lua_State *L, struct pgmig_error *err)
{
    lua_newtable(L);
    lpgmig_set_string(L, "kind", pgmig_error_kind_name(err->kind));
    lpgmig_set_string(L, "message",
                      err->message ? err->message : "out of memory");
    set_position(L, err);
    lpgmig_set_string(L, "detail", err->detail);
    lpgmig_set_string(L, "hint", err->hint);
    lpgmig_set_string(L, "context", err->context);
    lpgmig_set_string(L, "statement", err->statement);
    lpgmig_set_string(L, "query", err->query);
    lpgmig_set_string(L, "code", err->code);
    if (err->query_at > 0)
        lpgmig_set_integer(L, "query_at", err->query_at);
    if (err->sqlstate[0] != '\0')
        lpgmig_set_string(L, "sqlstate", err->sqlstate);
    luaL_getmetatable(L, LPGMIG_ERROR);
    lua_setmetatable(L, -2);
    pgmig_error_clear(err);
    return lua_error(L);
}
