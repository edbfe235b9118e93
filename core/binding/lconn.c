/* lconn.c -- connections: started, stepped, asked. */
#include <stdlib.h>
#include <string.h>

#include "lpgmig.h"

struct lconn {
    struct pgmig_conn *conn;   /* NULL: closed */
    struct pgmig_apply *apply; /* the migration under way */
    struct pgmig_job job;
    struct pgmig_ledger *ledger; /* the ledger operation under way */
    int anchor;                  /* what must live as long as the operation */
};

/* ---- life ------------------------------------------------------------ */

static struct lconn *check_object(lua_State *L)
{
    return luaL_checkudata(L, 1, LPGMIG_CONN);
}

static struct lconn *check_open(lua_State *L)
{
    struct lconn *lc = check_object(L);

    if (lc->conn == NULL) {
        struct pgmig_error *err = lpgmig_error_new(L);
        static const char message[] = "the connection is closed";

        err->kind = PGMIG_E_USAGE;
        err->message = strdup(message);
        lpgmig_error_raise(L, err);
    }
    return lc;
}

static void release(lua_State *L, struct lconn *lc)
{
    luaL_unref(L, LUA_REGISTRYINDEX, lc->anchor);
    lc->anchor = LUA_NOREF;
    lc->ledger = NULL;
}

/* conn:close(); also __gc and __close. A second call does nothing. */
static int conn_close(lua_State *L)
{
    struct lconn *lc = check_object(L);

    pgmig_apply_free(lc->apply);
    lc->apply = NULL;
    pgmig_conn_close(lc->conn);
    lc->conn = NULL;
    release(L, lc);
    return 0;
}

static struct lconn *new_conn(lua_State *L)
{
    struct lconn *lc = lua_newuserdata(L, sizeof *lc);

    memset(lc, 0, sizeof *lc);
    lc->anchor = LUA_NOREF;
    luaL_getmetatable(L, LPGMIG_CONN);
    lua_setmetatable(L, -2);
    return lc;
}

/* The strings of a list at `arg`, with a NULL behind, in a new userdata. */
static const char **check_strings(lua_State *L, int arg, size_t *count)
{
    const char **list;
    size_t n;

    luaL_checktype(L, arg, LUA_TTABLE);
    for (n = 0;; n++) {
        lua_rawgeti(L, arg, (int)n + 1);
        if (lua_isnil(L, -1))
            break;
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    list = lua_newuserdata(L, (n + 1) * sizeof *list);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, arg, (int)i + 1);
        if (lua_type(L, -1) != LUA_TSTRING)
            luaL_argerror(L, arg, "a list of strings expected");
        list[i] = lua_tostring(L, -1); /* the list keeps it alive */
        lua_pop(L, 1);
    }
    list[n] = NULL;
    *count = n;
    return list;
}

/*
** open(keywords, values) --> conn: begins to connect, two lists as in
** PQconnectStartParams. Raises kind "usage" for a bad connection string.
*/
static int conn_open(lua_State *L)
{
    size_t nk;
    size_t nv;
    const char **keywords = check_strings(L, 1, &nk);
    const char **values = check_strings(L, 2, &nv);
    struct pgmig_error *err = lpgmig_error_new(L);
    struct lconn *lc = new_conn(L);

    luaL_argcheck(L, nk == nv, 2, "as many values as keywords expected");
    lc->conn = pgmig_conn_open(keywords, values, err);
    if (lc->conn == NULL)
        return lpgmig_error_raise(L, err);
    return 1;
}

/* ---- the loop -------------------------------------------------------- */

/* conn:step() --> "r", "w", "rw", or false: the operation has ended. */
static int conn_step(lua_State *L)
{
    static const char *const names[] = {NULL, "r", "w", "rw"};
    struct lconn *lc = check_open(L);
    unsigned want = pgmig_conn_step(lc->conn);

    if (want == 0)
        lua_pushboolean(L, 0);
    else
        lua_pushstring(L, names[want]);
    return 1;
}

/* conn:fd() --> the socket's number; ask again after every step. */
static int conn_fd(lua_State *L)
{
    lua_pushinteger(L, pgmig_conn_fd(check_open(L)->conn));
    return 1;
}

/* ---- requests -------------------------------------------------------- */

static int started(lua_State *L, int status, struct pgmig_error *err)
{
    return status == 0 ? 0 : lpgmig_error_raise(L, err);
}

/* A parameter as text; numbers and booleans as PostgreSQL reads them. */
static const char *parameter(lua_State *L, int arg)
{
    size_t len;
    const char *s;

    if (lua_isnil(L, arg))
        return NULL;
    if (lua_isboolean(L, arg))
        return lua_toboolean(L, arg) ? "t" : "f";
    s = luaL_checklstring(L, arg, &len);
    luaL_argcheck(L, strlen(s) == len, arg, "text with a NUL byte");
    return s;
}

/* conn:send(sql, ...) starts one request; ... are its parameters. */
static int conn_send(lua_State *L)
{
    struct lconn *lc = check_open(L);
    size_t len;
    const char *sql = luaL_checklstring(L, 2, &len);
    int n = lua_gettop(L) - 2;
    const char **params = lua_newuserdata(L, ((size_t)n + 1) * sizeof *params);
    struct pgmig_error *err = lpgmig_error_new(L);

    for (int i = 0; i < n; i++)
        params[i] = parameter(L, i + 3);
    return started(L, pgmig_conn_send(lc->conn, sql, len, n, params, err), err);
}

/* conn:finish() after the last step: raises the operation's error. */
static int conn_finish(lua_State *L)
{
    struct lconn *lc = check_open(L);
    struct pgmig_error *err = lpgmig_error_new(L);

    return started(L, pgmig_conn_finish(lc->conn, err), err);
}

/* ---- results --------------------------------------------------------- */

enum {
    BOOL = 16,
    INT8 = 20,
    INT2 = 21,
    INT4 = 23,
    OID = 26,
    FLOAT4 = 700,
    FLOAT8 = 701
}; /* pg_type.dat */

#define EXACT 9007199254740992 /* 2^53: doubles count so far */

/* A value as Lua has it; what a double cannot hold exactly stays text. */
static void push_value(lua_State *L, const char *value, size_t len,
                       unsigned type)
{
    long long number;

    switch (type) {
    case BOOL:
        lua_pushboolean(L, value[0] == 't');
        return;
    case INT8:
        number = strtoll(value, NULL, 10);
        if (number > EXACT || number < -EXACT)
            break;
        lua_pushinteger(L, (lua_Integer)number);
        return;
    case INT2:
    case INT4:
    case OID:
        lua_pushinteger(L, (lua_Integer)strtoll(value, NULL, 10));
        return;
    case FLOAT4:
    case FLOAT8:
        lua_pushnumber(L, strtod(value, NULL));
        return;
    default:
        break;
    }
    lua_pushlstring(L, value, len);
}

static void push_row(lua_State *L, const struct pgmig_conn *conn, int row)
{
    int columns = pgmig_conn_columns(conn);

    lua_createtable(L, 0, columns);
    for (int i = 0; i < columns; i++) {
        size_t len;
        const char *value = pgmig_conn_value(conn, row, i, &len);

        if (value == NULL)
            continue; /* NULL is nil */
        push_value(L, value, len, pgmig_conn_column_type(conn, i));
        lua_setfield(L, -2, pgmig_conn_column_name(conn, i));
    }
}

/* conn:rows() --> the last result's rows, tables by column name. */
static int conn_rows(lua_State *L)
{
    const struct pgmig_conn *conn = check_open(L)->conn;
    int rows = pgmig_conn_rows(conn);

    lua_createtable(L, rows, 0);
    for (int i = 0; i < rows; i++) {
        push_row(L, conn, i);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* conn:tag() --> the last result's command tag, as "INSERT 0 1". */
static int conn_tag(lua_State *L)
{
    lua_pushstring(L, pgmig_conn_tag(check_open(L)->conn));
    return 1;
}

/* conn:notice() --> the oldest notice, a table, or nil. */
static int conn_notice(lua_State *L)
{
    struct lconn *lc = check_open(L);
    struct pgmig_notice notice;

    if (!pgmig_conn_notice(lc->conn, &notice))
        return 0;
    lua_newtable(L);
    lpgmig_set_string(L, "severity", notice.severity);
    lpgmig_set_string(L, "message", notice.message);
    lpgmig_set_string(L, "detail", notice.detail);
    lpgmig_set_string(L, "hint", notice.hint);
    lpgmig_set_string(L, "sqlstate", notice.sqlstate);
    pgmig_notice_clear(&notice);
    return 1;
}

/* ---- COPY ------------------------------------------------------------ */

/* conn:copying() --> "in", "out" or false. */
static int conn_copying(lua_State *L)
{
    const struct pgmig_conn *conn = check_open(L)->conn;

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
    struct lconn *lc = check_open(L);
    size_t len;
    const char *data = luaL_checklstring(L, 2, &len);
    struct pgmig_error *err = lpgmig_error_new(L);

    return started(L, pgmig_conn_copy_put(lc->conn, data, len, err), err);
}

/* conn:copy_end([reason]) starts ending it; a reason makes it fail. */
static int conn_copy_end(lua_State *L)
{
    struct lconn *lc = check_open(L);
    const char *reason = luaL_optstring(L, 2, NULL);
    struct pgmig_error *err = lpgmig_error_new(L);

    return started(L, pgmig_conn_copy_end(lc->conn, reason, err), err);
}

/* conn:copy_get() starts receiving from a COPY ... TO STDOUT. */
static int conn_copy_get(lua_State *L)
{
    struct lconn *lc = check_open(L);
    struct pgmig_error *err = lpgmig_error_new(L);

    return started(L, pgmig_conn_copy_get(lc->conn, err), err);
}

/* conn:copy_data() --> what was received. */
static int conn_copy_data(lua_State *L)
{
    size_t len;
    const char *data = pgmig_conn_copy_data(check_open(L)->conn, &len);

    lua_pushlstring(L, data ? data : "", len);
    return 1;
}

/* ---- ledger and apply ------------------------------------------------ */

/* Keep the values from `first` to the top alive until release(). */
static void anchor(lua_State *L, struct lconn *lc, int first, int last)
{
    release(L, lc);
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
    struct lconn *lc = check_open(L);
    struct pgmig_ledger *ledger = lpgmig_check_ledger(L, 2);
    int op = luaL_checkoption(L, 3, NULL, names);
    const char *version = luaL_optstring(L, 4, NULL);
    struct pgmig_error *err;

    luaL_argcheck(L, version != NULL || op != PGMIG_LEDGER_WIDEN, 4,
                  "a version expected");
    anchor(L, lc, 2, 2);
    err = lpgmig_error_new(L);
    lc->ledger = ledger;
    return started(L,
                   pgmig_ledger_start(ledger, lc->conn,
                                      (enum pgmig_ledger_op)op, version, err),
                   err);
}

/* conn:finish_ledger() after the last step: raises its error. */
static int conn_finish_ledger(lua_State *L)
{
    struct lconn *lc = check_open(L);
    struct pgmig_error *err = lpgmig_error_new(L);
    int status;

    if (lc->ledger == NULL)
        return luaL_error(L, "no ledger operation was started");
    status = pgmig_ledger_finish(lc->ledger, lc->conn, err);
    release(L, lc);
    return started(L, status, err);
}

/*
** conn:apply(ledger, script, "up" | "down", version, name, lock_timeout)
** starts a migration; lock_timeout may be nil: the server's.
*/
static int conn_apply(lua_State *L)
{
    static const char *const names[] = {"up", "down", NULL};
    struct lconn *lc = check_open(L);
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
    struct lconn *lc = check_open(L);
    struct pgmig_error *err = lpgmig_error_new(L);
    enum pgmig_outcome outcome;

    if (lc->apply == NULL)
        return luaL_error(L, "no migration was started");
    outcome = pgmig_apply_finish(lc->apply, err);
    lc->apply = NULL;
    release(L, lc);
    if (outcome == PGMIG_FAILED)
        return lpgmig_error_raise(L, err);
    lua_pushstring(L, outcome == PGMIG_DONE ? "done" : "raced");
    return 1;
}

/* ---- asking ---------------------------------------------------------- */

/* conn:transaction_status() --> "idle", "open", "failed" or "none". */
static int conn_transaction_status(lua_State *L)
{
    static const char *const names[] = {"idle", "open", "failed", "none"};

    lua_pushstring(L, names[pgmig_conn_tx(check_open(L)->conn)]);
    return 1;
}

/* conn:cancel() asks the server to stop the running statement. */
static int conn_cancel(lua_State *L)
{
    pgmig_conn_cancel(check_open(L)->conn);
    return 0;
}

/* conn:busy() --> whether an operation is under way. */
static int conn_busy(lua_State *L)
{
    lua_pushboolean(L, pgmig_conn_busy(check_open(L)->conn));
    return 1;
}

/* conn:is_open() --> false after close. */
static int conn_is_open(lua_State *L)
{
    lua_pushboolean(L, check_object(L)->conn != NULL);
    return 1;
}

/* conn:backend_pid() --> the process that serves it. */
static int conn_backend_pid(lua_State *L)
{
    lua_pushinteger(L, pgmig_conn_backend_pid(check_open(L)->conn));
    return 1;
}

/* conn:server_version() --> as 150004. */
static int conn_server_version(lua_State *L)
{
    lua_pushinteger(L, pgmig_conn_server_version(check_open(L)->conn));
    return 1;
}

/* conn:connect_timeout() --> libpq's, in seconds; 0 for none. */
static int conn_connect_timeout(lua_State *L)
{
    lua_pushinteger(L, pgmig_conn_connect_timeout(check_open(L)->conn));
    return 1;
}

static int push_quoted(lua_State *L, char *quoted, struct pgmig_error *err)
{
    if (quoted == NULL)
        return lpgmig_error_raise(L, err);
    lua_pushstring(L, quoted);
    free(quoted);
    return 1;
}

/* conn:quote_literal(s) and conn:quote_ident(s) --> s quoted for SQL. */
static int conn_quote_literal(lua_State *L)
{
    struct lconn *lc = check_open(L);
    size_t len;
    const char *s = luaL_checklstring(L, 2, &len);
    struct pgmig_error *err = lpgmig_error_new(L);

    luaL_argcheck(L, strlen(s) == len, 2, "text with a NUL byte");
    return push_quoted(L, pgmig_conn_quote_literal(lc->conn, s, len, err), err);
}

static int conn_quote_ident(lua_State *L)
{
    struct lconn *lc = check_open(L);
    size_t len;
    const char *s = luaL_checklstring(L, 2, &len);
    struct pgmig_error *err = lpgmig_error_new(L);

    luaL_argcheck(L, strlen(s) == len, 2, "text with a NUL byte");
    return push_quoted(L, pgmig_conn_quote_ident(lc->conn, s, len, err), err);
}

void lpgmig_open_conn(lua_State *L)
{
    static const luaL_Reg functions[] = {{"open", conn_open}, {NULL, NULL}};
    static const luaL_Reg methods[] = {
        {"step", conn_step},
        {"fd", conn_fd},
        {"send", conn_send},
        {"finish", conn_finish},
        {"rows", conn_rows},
        {"tag", conn_tag},
        {"notice", conn_notice},
        {"copying", conn_copying},
        {"copy_put", conn_copy_put},
        {"copy_end", conn_copy_end},
        {"copy_get", conn_copy_get},
        {"copy_data", conn_copy_data},
        {"ledger", conn_ledger},
        {"finish_ledger", conn_finish_ledger},
        {"apply", conn_apply},
        {"outcome", conn_outcome},
        {"transaction_status", conn_transaction_status},
        {"cancel", conn_cancel},
        {"busy", conn_busy},
        {"is_open", conn_is_open},
        {"backend_pid", conn_backend_pid},
        {"server_version", conn_server_version},
        {"connect_timeout", conn_connect_timeout},
        {"quote_literal", conn_quote_literal},
        {"quote_ident", conn_quote_ident},
        {"close", conn_close},
        {"__close", conn_close},
        {"__gc", conn_close},
        {NULL, NULL}};

    lpgmig_class(L, LPGMIG_CONN, methods);
    lpgmig_set(L, functions);
}
