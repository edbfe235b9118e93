/* lcopy.c -- COPY data, in and out. */
#include "binding/lconn.h"

/* conn:copying() --> "in", "out" or false. */
static int conn_copying(lua_State *L)
{
    const struct pgmig_conn *conn = lconn_check(L, 1)->conn;

    if (pgmig_conn_copying_in(conn))
        lua_pushliteral(L, "in");
    else if (pgmig_conn_copying_out(conn))
        lua_pushliteral(L, "out");
    else
        lua_pushboolean(L, 0);
    return 1;
}

/* conn:copy_put(data) starts sending data to a COPY ... FROM STDIN. */
static int conn_copy_put(lua_State *L)
{
    size_t len;
    const char *data = luaL_checklstring(L, 2, &len);
    struct pgmig_error *err = lpgmig_error_new(L);
    struct lconn *lc = lconn_check_free(L, 1);

    return lconn_started(L, pgmig_conn_copy_put(lc->conn, data, len, err), err);
}

/* conn:copy_end([reason]) starts ending it; a reason makes it fail. */
static int conn_copy_end(lua_State *L)
{
    const char *reason = luaL_optstring(L, 2, NULL);
    struct pgmig_error *err = lpgmig_error_new(L);
    struct lconn *lc = lconn_check_free(L, 1);

    return lconn_started(L, pgmig_conn_copy_end(lc->conn, reason, err), err);
}

/* conn:copy_get() starts receiving from a COPY ... TO STDOUT. */
static int conn_copy_get(lua_State *L)
{
    struct pgmig_error *err = lpgmig_error_new(L);
    struct lconn *lc = lconn_check_free(L, 1);

    return lconn_started(L, pgmig_conn_copy_get(lc->conn, err), err);
}

static int push_copy_data(lua_State *L)
{
    size_t len;
    const char *data = pgmig_conn_copy_data(lconn_check(L, 1)->conn, &len);

    lua_pushlstring(L, data ? data : "", len);
    return 1;
}

/* conn:copy_data() --> what was received. */
static int conn_copy_data(lua_State *L)
{
    return lconn_hold(L, lconn_check(L, 1), push_copy_data);
}

const luaL_Reg lconn_copy_methods[] = {
    {"copying", conn_copying},     {"copy_put", conn_copy_put},
    {"copy_end", conn_copy_end},   {"copy_get", conn_copy_get},
    {"copy_data", conn_copy_data}, {NULL, NULL}};
