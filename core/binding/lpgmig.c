/* lpgmig.c -- opens the module pgmig.core, and says what it works with. */
#include <libpq-fe.h>
#include <openssl/crypto.h>

#include "binding/lpgmig.h"

/* What Lua itself says of its release; LuaJIT has no such text. */
extern const char lua_ident[] __attribute__((weak));

/* versions() --> { libpq = its number, openssl = text, lua = text or nil }: of
** the libraries that are there, not of those that this was compiled for. */
static int get_versions(lua_State *L)
{
    lua_newtable(L);
    lpgmig_set_integer(L, "libpq", PQlibVersion());
    lpgmig_set_string(L, "openssl", OpenSSL_version(OPENSSL_VERSION));
    if (lua_ident != NULL)
        lpgmig_set_string(L, "lua", lua_ident);
    return 1;
}

/* A loader exports its name; everything else in the library is hidden. */
__attribute__((visibility("default"))) int luaopen_pgmig_core(lua_State *L);

int luaopen_pgmig_core(lua_State *L)
{
    static const luaL_Reg functions[] = {{"versions", get_versions},
                                         {NULL, NULL}};

    lua_newtable(L);
    lua_pushliteral(L, PGMIG_VERSION);
    lua_setfield(L, -2, "release");
    lpgmig_set(L, functions);
    lpgmig_open_aux(L);
    lpgmig_open_text(L);
    lpgmig_open_script(L);
    lpgmig_open_vocabulary(L);
    lpgmig_open_variables(L);
    lpgmig_open_conn(L);
    lpgmig_open_apply(L);
    lpgmig_open_ledger(L);
    lpgmig_open_system(L);
    lpgmig_open_lookup(L);
    return 1;
}
