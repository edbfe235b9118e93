/*
** main.c -- pgmig as one executable: Lua and all modules are part of it.
**
** It starts pgmig.cli as bin/pgmig does. What that has the shell and the
** interpreter for is here: `arg`, LUA_INIT, the modules, an error's traceback.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "base/utf8.h"
#include "single/modules.h"

int luaopen_pgmig_core(lua_State *L);

struct words {
    int count;
    char **text;
};

/* ---- modules --------------------------------------------------------- */

static int compare(const void *name, const void *module)
{
    return strcmp(name, ((const struct pgmig_single_module *)module)->name);
}

static const struct pgmig_single_module *find(const char *name)
{
    return bsearch(name, pgmig_single_modules, pgmig_single_module_count,
                   sizeof *pgmig_single_modules, compare);
}

/* A searcher as of package.searchers. */
static int search(lua_State *L)
{
    const struct pgmig_single_module *module = find(luaL_checkstring(L, 1));

    if (module == NULL)
        return 0;
    lua_pushfstring(L, "=%s", module->name);
    if (luaL_loadbuffer(L, module->code, module->size, lua_tostring(L, -1)))
        return lua_error(L);
    return 1;
}

/* Look for modules here before they are looked for in files, which may be of
** another version. */
static void add_searcher(lua_State *L)
{
    lua_getglobal(L, "table");
    lua_getfield(L, -1, "insert");
    lua_getglobal(L, "package");
    lua_getfield(L, -1, LUA_VERSION_NUM > 501 ? "searchers" : "loaders");
    lua_remove(L, -2);
    lua_pushinteger(L, 2); /* behind package.preload */
    lua_pushcfunction(L, search);
    lua_call(L, 3, 0);
    lua_pop(L, 1);
}

static void require(lua_State *L, const char *module)
{
    lua_getglobal(L, "require");
    lua_pushstring(L, module);
    lua_call(L, 1, 1);
}

/* The function `name` of a module. */
static void push_function(lua_State *L, const char *module, const char *name)
{
    require(L, module);
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
}

static void open_modules(lua_State *L)
{
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "preload");
    lua_pushcfunction(L, luaopen_pgmig_core);
    lua_setfield(L, -2, "pgmig.core");
    lua_getfield(L, -2, "loaded");
    lua_newtable(L);
    lua_pushliteral(L, PGMIG_SINGLE_FORM);
    lua_setfield(L, -2, "form");
    lua_setfield(L, -2, "pgmig.single");
    lua_pop(L, 3);
    add_searcher(L);
}

/* ---- the interpreter's part ------------------------------------------ */

static void set_arg(lua_State *L, const struct words *words)
{
    lua_createtable(L, words->count, 1);
    for (int i = 0; i < words->count; i++) {
        lua_pushstring(L, words->text[i]);
        lua_rawseti(L, -2, i);
    }
    lua_setglobal(L, "arg");
}

/* Run what LUA_INIT says, a text or @FILE. */
static void initialize(lua_State *L)
{
    const char *init = getenv("LUA_INIT");
    int failed;

    if (init == NULL)
        return;
    failed = init[0] == '@'
                 ? luaL_loadfile(L, init + 1)
                 : luaL_loadbuffer(L, init, strlen(init), "=LUA_INIT");
    if (failed)
        lua_error(L);
    lua_call(L, 0, 0);
}

static int run(lua_State *L)
{
    const struct words *words = lua_touserdata(L, 1);

    luaL_openlibs(L);
    set_arg(L, words);
    open_modules(L);
    if (find("pgmig.static") != NULL)
        require(L, "pgmig.static");
    lua_settop(L, 1);
    push_function(L, "pgmig.core", "interrupt_on_signals");
    lua_call(L, 0, 0);
    initialize(L);
    push_function(L, "pgmig.cli", "main");
    lua_getglobal(L, "arg");
    lua_call(L, 1, 2);
    return 2;
}

static int add_traceback(lua_State *L)
{
    luaL_traceback(L, L, lua_tostring(L, 1), 1);
    return 1;
}

/* Say what nobody has expected to be raised. */
static void tell(lua_State *L)
{
    size_t len;
    const char *message = lua_tolstring(L, -1, &len);
    char *shown = NULL;

    if (message != NULL)
        shown = pgmig_visible(message, len, false, &len);
    fprintf(stderr, "pgmig: %s\n", shown != NULL ? shown : "out of memory");
    free(shown);
}

int main(int argc, char **argv)
{
    struct words words = {argc, argv};
    lua_State *L = luaL_newstate();
    int code = EXIT_FAILURE;
    bool closes = true;

    if (L == NULL)
        return code;
    lua_pushcfunction(L, add_traceback);
    lua_pushcfunction(L, run);
    lua_pushlightuserdata(L, &words);
    if (lua_pcall(L, 1, 2, 1) == 0) {
        code = (int)lua_tointeger(L, -2);
        closes = lua_toboolean(L, -1);
    } else {
        tell(L);
    }
    if (closes)
        lua_close(L);
    return code;
}
