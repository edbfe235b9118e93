/*
** lua_host.c -- `lua5.4 SCRIPT [ARGUMENT]...`, for the sanitizers; the script
** `-` is standard input. AddressSanitizer must be part of the program that
** loads an instrumented module. LD_PRELOAD would do, but for all programs that
** the specs start too.
*/
#include <stdio.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

static void set_arg(lua_State *L, int argc, char **argv)
{
    int i;

    lua_createtable(L, argc, 1);
    for (i = 0; i < argc; i++) {
        lua_pushstring(L, argv[i]);
        lua_rawseti(L, -2, i - 1); /* the script is arg[0] */
    }
    lua_setglobal(L, "arg");
}

int main(int argc, char **argv)
{
    lua_State *L = luaL_newstate();
    int failed, i;

    if (L == NULL || argc < 2)
        return 2;
    luaL_openlibs(L);
    set_arg(L, argc, argv);
    failed = luaL_loadfile(L, strcmp(argv[1], "-") == 0 ? NULL : argv[1]);
    for (i = 2; i < argc; i++)
        lua_pushstring(L, argv[i]);
    failed = failed || lua_pcall(L, argc - 2, 0, 0);
    if (failed)
        fprintf(stderr, "%s\n", luaL_tolstring(L, -1, NULL));
    lua_close(L);
    return failed;
}
