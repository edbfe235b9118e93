/* lapply.c -- operations of the ledger, and migrations. */
#include "lconn.h"

/* Keep the values from `first` to the top alive until release(). */
static void anchor(lua_State *L, struct lconn *lc, int first, int last)
{
    lconn_release(L, lc);
    lua_createtable(L, last - first + 1, 0);
    for (int i = first; i <= last; i++) {
        lua_pushvalue(L, i);
        lua_rawseti(L, -2, i - first + 1);
    }
    lc->anchor = luaL_ref(L, LUA_REGISTRYINDEX);
}

/*
** conn:ledger(ledger, "probe" | "create" | "widen" | "list" [, version])
** starts an operation on the tracking table.
*/
static int conn_ledger(lua_State *L)
{
    static const char *const names[] = {"probe", "create", "widen", "list",
                                        NULL};
    struct lconn *lc = lconn_check(L);
    struct pgmig_ledger *ledger = lpgmig_check_ledger(L, 2);
    int op = luaL_checkoption(L, 3, NULL, names);
    const char *version = luaL_optstring(L, 4, NULL);
    struct pgmig_error *err;

    luaL_argcheck(L, version != NULL || op != PGMIG_LEDGER_WIDEN, 4,
                  "a version expected");
    anchor(L, lc, 2, 2);
    err = lpgmig_error_new(L);
    lc->ledger = ledger;
    return lconn_started(L,
                         pgmig_ledger_start(ledger, lc->conn,
                                            (enum pgmig_ledger_op)op, version,
                                            err),
                         err);
}

/* conn:finish_ledger() after the last step: raises its error. */
static int conn_finish_ledger(lua_State *L)
{
    struct lconn *lc = lconn_check(L);
    struct pgmig_error *err = lpgmig_error_new(L);
    int status;

    if (lc->ledger == NULL)
        return luaL_error(L, "no ledger operation was started");
    status = pgmig_ledger_finish(lc->ledger, lc->conn, err);
    lconn_release(L, lc);
    return lconn_started(L, status, err);
}

/*
** conn:apply(ledger, script, "up" | "down", version, name, lock_timeout)
** starts a migration; lock_timeout may be nil: the server's.
*/
static int conn_apply(lua_State *L)
{
    static const char *const names[] = {"up", "down", NULL};
    struct lconn *lc = lconn_check(L);
    struct pgmig_ledger *ledger = lpgmig_check_ledger(L, 2);
    struct pgmig_error *err;

    lua_settop(L, 7);
    lc->job = (struct pgmig_job){
        .script = lpgmig_check_script(L, 3),
        .direction = (enum pgmig_direction)luaL_checkoption(L, 4, NULL, names),
        .version = luaL_checkstring(L, 5),
        .name = luaL_checkstring(L, 6),
        .lock_timeout = luaL_optstring(L, 7, NULL)};
    anchor(L, lc, 2, 7);
    err = lpgmig_error_new(L);
    lc->apply = pgmig_apply_start(lc->conn, ledger, &lc->job, err);
    if (lc->apply == NULL)
        return lpgmig_error_raise(L, err);
    return 0;
}

/* conn:outcome() after the last step --> "done" or "raced"; raises what
** made the migration fail. */
static int conn_outcome(lua_State *L)
{
    struct lconn *lc = lconn_check(L);
    struct pgmig_error *err = lpgmig_error_new(L);
    enum pgmig_outcome outcome;

    if (lc->apply == NULL)
        return luaL_error(L, "no migration was started");
    outcome = pgmig_apply_finish(lc->apply, err);
    lc->apply = NULL;
    lconn_release(L, lc);
    if (outcome == PGMIG_FAILED)
        return lpgmig_error_raise(L, err);
    lua_pushstring(L, outcome == PGMIG_DONE ? "done" : "raced");
    return 1;
}

const luaL_Reg lconn_apply_methods[] = {{"ledger", conn_ledger},
                                        {"finish_ledger", conn_finish_ledger},
                                        {"apply", conn_apply},
                                        {"outcome", conn_outcome},
                                        {NULL, NULL}};
