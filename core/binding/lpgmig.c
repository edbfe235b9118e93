/* lpgmig.c -- opens the module pgmig.core. */
#include "binding/lpgmig.h"

/* A loader exports its name; everything else in the library is hidden. */
__attribute__((visibility("default"))) int luaopen_pgmig_core(lua_State *L);

int luaopen_pgmig_core(lua_State *L)
{
    lua_newtable(L);
    lua_pushliteral(L, PGMIG_VERSION);
    lua_setfield(L, -2, "release");
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
