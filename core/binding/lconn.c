/*
** lconn.c -- connections: started, stepped, asked.
**
** A method never waits: it starts something, and Lua's loop (lua/pgmig/db/loop)
** steps it. What an operation needs of Lua's (a ledger, jobs, a shape) is kept
** in a list in the registry, since the connection may be all that is left on
** the stack.
**
** Any call that asks Lua for memory may collect garbage, and a finalizer may
** close this very connection. Methods that only start something look at it
** last. Methods that hand out what it holds cannot: they build tables while
** they read the result. They hold it (lconn_hold), and a close meanwhile is put
** off.
*/
#include <stdlib.h>
#include <string.h>

#include "binding/lconn.h"

/* ---- life ------------------------------------------------------------ */

/* The only check that a closed connection passes. */
static struct lconn *check_object(lua_State *L, int arg)
{
    return luaL_checkudata(L, arg, LPGMIG_CONN);
}

void lconn_demand_open(lua_State *L, const struct lconn *lc)
{
    if (lc->conn == NULL || lc->closing)
        lpgmig_error_usage(L, "the connection is closed");
}

void lconn_demand_free(lua_State *L, const struct lconn *lc)
{
    lconn_demand_open(L, lc);
    if (lc->held > 0)
        lpgmig_error_usage(L, "the connection is in use");
}

struct lconn *lconn_check(lua_State *L, int arg)
{
    struct lconn *lc = check_object(L, arg);

    lconn_demand_open(L, lc);
    return lc;
}

struct lconn *lconn_check_free(lua_State *L, int arg)
{
    struct lconn *lc = check_object(L, arg);

    lconn_demand_free(L, lc);
    return lc;
}

/* No memory is asked for: the list has all places from the start. */
void lconn_keep(lua_State *L, const struct lconn *lc, enum lconn_place place,
                int arg)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, lc->kept);
    lua_pushvalue(L, arg);
    lua_rawseti(L, -2, (int)place);
    lua_pop(L, 1);
}

void lconn_forget(lua_State *L, const struct lconn *lc, enum lconn_place place)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, lc->kept);
    lua_pushboolean(L, 0);
    lua_rawseti(L, -2, (int)place);
    lua_pop(L, 1);
}

/* The migration first, since it points to the connection; then what was kept
** for both. */
static int close_now(lua_State *L, struct lconn *lc)
{
    pgmig_apply_free(lc->apply);
    lc->apply = NULL;
    pgmig_conn_close(lc->conn);
    lc->conn = NULL;
    lc->ledger = NULL;
    pgmig_syntax_free(lc->syntax);
    lc->syntax = NULL;
    luaL_unref(L, LUA_REGISTRYINDEX, lc->kept);
    lc->kept = LUA_NOREF;
    return 0;
}

/* conn:close(); also __gc and __close. A second call does nothing. */
static int conn_close(lua_State *L)
{
    struct lconn *lc = check_object(L, 1);

    lc->closing = true;
    return lc->held > 0 ? 0 : close_now(L, lc);
}

struct held {
    lconn_look *look;
    struct lconn *lc;
};

static int call_look(lua_State *L)
{
    const struct held *held = lua_touserdata(L, 1);

    return held->look(L, held->lc);
}

/* In protected mode, since what is held has to be let go of also behind an
** error. The method's arguments keep the object alive. */
int lconn_hold(lua_State *L, struct lconn *lc, lconn_look *look)
{
    struct held held = {look, lc};
    int top = lua_gettop(L);
    int failed;

    lua_pushcfunction(L, call_look);
    lua_pushlightuserdata(L, &held);
    lc->held++;
    failed = lua_pcall(L, 1, LUA_MULTRET, 0);
    if (--lc->held == 0 && lc->closing)
        close_now(L, lc);
    return failed ? lua_error(L) : lua_gettop(L) - top;
}

int lconn_show(lua_State *L, lconn_look *look)
{
    return lconn_hold(L, lconn_check(L, 1), look);
}

/* All places of the list are made here, where an error does no harm: filling
** them later takes no memory (lconn_keep). */
static struct lconn *new_conn(lua_State *L)
{
    struct lconn *lc = lua_newuserdata(L, sizeof *lc);

    memset(lc, 0, sizeof *lc);
    lc->kept = LUA_NOREF;
    luaL_getmetatable(L, LPGMIG_CONN);
    lua_setmetatable(L, -2);
    lua_createtable(L, LCONN_PASSAGES, 0);
    for (int place = LCONN_LEDGER; place <= LCONN_PASSAGES; place++) {
        lua_pushboolean(L, 0);
        lua_rawseti(L, -2, place);
    }
    lc->kept = luaL_ref(L, LUA_REGISTRYINDEX);
    return lc;
}

/*
** open(keywords, values, environment) --> conn: begins to connect, two lists as
** in PQconnectStartParams, and names and values in turn of variables for libpq
** alone, or nil. Raises kind "usage" for a bad connection string.
*/
static int conn_open(lua_State *L)
{
    struct lpgmig_parameters to = lpgmig_check_parameters(L);
    struct pgmig_error *err = lpgmig_error_new(L);
    struct lconn *lc = new_conn(L);

    lc->conn = pgmig_conn_open_in(to.environment, to.keywords, to.values, err);
    if (lc->conn == NULL)
        return lpgmig_error_raise(L, err);
    return 1;
}

/* ---- the loop -------------------------------------------------------- */

/* conn:step() --> "r", "w", "rw", or false: the operation has ended. Not while
** somebody holds what the connection has: a step would clear that. */
static int conn_step(lua_State *L)
{
    static const char *const names[] = {[PGMIG_WANT_READ] = "r",
                                        [PGMIG_WANT_WRITE] = "w",
                                        [PGMIG_WANT_READ | PGMIG_WANT_WRITE] =
                                            "rw"};
    unsigned want = pgmig_conn_step(lconn_check_free(L, 1)->conn);

    if (want == 0)
        lua_pushboolean(L, 0);
    else
        lua_pushstring(L, names[want]);
    return 1;
}

/* conn:fd() --> the socket's number; ask again after every step. */
static int conn_fd(lua_State *L)
{
    lua_pushinteger(L, pgmig_conn_fd(lconn_check(L, 1)->conn));
    return 1;
}

/* ---- requests -------------------------------------------------------- */

int lconn_started(lua_State *L, int status, struct pgmig_error *err)
{
    return status == 0 ? 0 : lpgmig_error_raise(L, err);
}

/* A parameter as text; numbers and booleans as PostgreSQL reads them.
** PQsendQueryParams takes C strings: what stands behind a NUL would be left
** out. */
static const char *parameter(lua_State *L, int arg)
{
    size_t len;
    const char *s;

    if (lua_isnil(L, arg))
        return NULL;
    if (lua_isboolean(L, arg))
        return lua_toboolean(L, arg) ? "t" : "f";
    s = luaL_checklstring(L, arg, &len);
    luaL_argcheck(L, strlen(s) == len, arg, "text contains a NUL byte");
    return s;
}

/* Send the text at `arg`, with the parameters behind it. They are strings of
** the stack, which keeps them alive until then; a number becomes a string
** there, in its place. */
static int send(lua_State *L, int arg)
{
    size_t len;
    const char *sql = luaL_checklstring(L, arg, &len);
    int n = lua_gettop(L) - arg;
    const char **params = lua_newuserdata(L, ((size_t)n + 1) * sizeof *params);
    struct pgmig_error *err = lpgmig_error_new(L);

    for (int i = 0; i < n; i++)
        params[i] = parameter(L, arg + 1 + i);
    return lconn_started(
        L,
        pgmig_conn_send(lconn_check_free(L, 1)->conn, sql, len, n, params, err),
        err);
}

/* conn:send(sql, ...) starts one request; ... are its parameters. */
static int conn_send(lua_State *L)
{
    return send(L, 2);
}

/* conn:ask(shape, sql, ...): the same, and any answer of another shape than
** this (answer.h) is none. */
static int conn_ask(lua_State *L)
{
    const char *shape = luaL_checkstring(L, 2);
    const struct lconn *lc;

    luaL_argcheck(L, pgmig_answer_is_shape(shape), 2, "shape expected");
    (void)send(L, 3);
    lc = lconn_check(L, 1);
    pgmig_conn_expect(lc->conn, shape);
    lconn_keep(L, lc, LCONN_SHAPE, 2);
    return 0;
}

/* conn:finish() after the last step: raises the operation's error. */
static int conn_finish(lua_State *L)
{
    struct pgmig_error *err = lpgmig_error_new(L);
    struct lconn *lc = lconn_check_free(L, 1);

    return lconn_started(L, pgmig_conn_finish(lc->conn, err), err);
}

static void release_notice(void *notice)
{
    pgmig_notice_clear(notice);
}

/* conn:notice() --> the oldest notice, a table, or nil. It is taken off the
** connection's list into memory that Lua frees, so that it is not lost when Lua
** raises. */
static int conn_notice(lua_State *L)
{
    struct pgmig_notice *notice;

    if (!pgmig_conn_has_notice(lconn_check(L, 1)->conn))
        return 0; /* mostly: it is asked between any two steps */
    notice = lpgmig_own(L, sizeof *notice, release_notice);
    if (!pgmig_conn_notice(lconn_check(L, 1)->conn, notice))
        return 0;
    lua_newtable(L);
    lpgmig_set_string(L, "severity", notice->severity);
    lpgmig_set_string(L, "message", notice->message);
    lpgmig_set_string(L, "detail", notice->detail);
    lpgmig_set_string(L, "hint", notice->hint);
    lpgmig_set_string(L, "sqlstate", notice->sqlstate);
    lpgmig_set_integer(L, "index", (lua_Integer)notice->migration + 1);
    pgmig_notice_clear(notice);
    return 1;
}

/* ---- asking ---------------------------------------------------------- */

/* conn:transaction_status() --> "idle", "open", "failed" or "none". */
static int conn_transaction_status(lua_State *L)
{
    static const char *const names[] = {[PGMIG_TX_IDLE] = "idle",
                                        [PGMIG_TX_OPEN] = "open",
                                        [PGMIG_TX_FAILED] = "failed",
                                        [PGMIG_TX_NONE] = "none"};

    lua_pushstring(L, names[pgmig_conn_tx(lconn_check(L, 1)->conn)]);
    return 1;
}

/* conn:cancel() asks the server to stop the running statement, and does not
** wait for that. */
static int conn_cancel(lua_State *L)
{
    pgmig_conn_cancel(lconn_check(L, 1)->conn);
    return 0;
}

/* conn:cancelling() --> whether that is still on its way. */
static int conn_cancelling(lua_State *L)
{
    lua_pushboolean(L, pgmig_conn_cancelling(lconn_check(L, 1)->conn));
    return 1;
}

/* conn:abandon([reason]): no answer will come; step on to the end. Without a
** reason: none came in time. */
static int conn_abandon(lua_State *L)
{
    const char *reason = luaL_optstring(L, 2, NULL);

    pgmig_conn_abandon(lconn_check(L, 1)->conn, reason);
    return 0;
}

static int conn_tostring(lua_State *L)
{
    const struct lconn *lc = check_object(L, 1);

    if (lc->conn == NULL)
        lua_pushliteral(L, "pgmig connection (closed)");
    else
        lua_pushfstring(L, "pgmig connection (server process %d)",
                        pgmig_conn_backend_pid(lc->conn));
    return 1;
}

/* conn:is_open() --> false after close. */
static int conn_is_open(lua_State *L)
{
    const struct lconn *lc = check_object(L, 1);

    lua_pushboolean(L, lc->conn != NULL && !lc->closing);
    return 1;
}

/* conn:server_pid() --> the server process of the migration under way, 0 when
** it is not known. */
static int conn_server_pid(lua_State *L)
{
    lua_pushinteger(L, pgmig_conn_server_pid(lconn_check(L, 1)->conn));
    return 1;
}

/* conn:served_by(pid): pg_backend_pid() says this one; see pgmig.h. */
static int conn_served_by(lua_State *L)
{
    struct lconn *lc = lconn_check(L, 1);

    pgmig_conn_served_by(lc->conn, (int)luaL_checkinteger(L, 2));
    return 0;
}

static int push_session_tag(lua_State *L, struct lconn *lc)
{
    lua_pushstring(L, pgmig_conn_session_tag(lc->conn));
    return 1;
}

/* conn:session_tag() --> the application_name of its transactions behind a
** pooler. */
static int conn_session_tag(lua_State *L)
{
    return lconn_show(L, push_session_tag);
}

static int push_sent(lua_State *L, struct lconn *lc)
{
    const char *sent = pgmig_conn_sent(lc->conn);

    lua_pushstring(L, *sent ? sent : NULL);
    return 1;
}

/* conn:sent() --> how the last request begins; nil in a pipeline. */
static int conn_sent(lua_State *L)
{
    return lconn_show(L, push_sent);
}

static int push_peer(lua_State *L, struct lconn *lc)
{
    struct pgmig_peer peer;

    pgmig_conn_peer(lc->conn, &peer);
    lua_pushstring(L, peer.host);
    lua_pushstring(L, peer.address);
    lua_pushstring(L, peer.port);
    lua_pushstring(L, peer.user);
    lua_pushstring(L, peer.database);
    return 5;
}

/* conn:peer() --> host, address and port of the server, user, database; address
** "" for a socket's folder. */
static int conn_peer(lua_State *L)
{
    return lconn_show(L, push_peer);
}

struct variables {
    struct pgmig_variable *list;
};

static void release_variables(void *memory)
{
    struct variables *variables = memory;

    pgmig_variables_free(variables->list);
    variables->list = NULL;
}

/* conn:variables() --> what it was made with, as libpq's variables: values by
** name, passwords among them. */
static int conn_made_with(lua_State *L)
{
    struct variables *variables =
        lpgmig_own(L, sizeof *variables, release_variables);

    variables->list = pgmig_conn_variables(lconn_check(L, 1)->conn);
    if (variables->list == NULL)
        return luaL_error(L, "out of memory");
    lua_newtable(L);
    for (const struct pgmig_variable *v = variables->list; v->name; v++)
        lpgmig_set_string(L, v->name, v->value);
    release_variables(variables);
    return 1;
}

/* conn:traffic() --> pieces of data that went or came, bytes on their way */
static int conn_traffic(lua_State *L)
{
    size_t moved;
    int unsent;

    pgmig_conn_traffic(lconn_check(L, 1)->conn, &moved, &unsent);
    lua_pushinteger(L, (lua_Integer)moved);
    lua_pushinteger(L, unsent);
    return 2;
}

/* conn:is_lost() --> whether the connection is gone, or closed. */
static int conn_is_lost(lua_State *L)
{
    const struct lconn *lc = check_object(L, 1);

    lua_pushboolean(L, lc->conn == NULL || lc->closing ||
                           pgmig_conn_lost(lc->conn));
    return 1;
}

/* conn:backend_pid() --> the process that serves it. */
static int conn_backend_pid(lua_State *L)
{
    lua_pushinteger(L, pgmig_conn_backend_pid(lconn_check(L, 1)->conn));
    return 1;
}

/* conn:server_version() --> as 150004. */
static int conn_server_version(lua_State *L)
{
    lua_pushinteger(L, pgmig_conn_server_version(lconn_check(L, 1)->conn));
    return 1;
}

/* conn:connect_timeout() --> libpq's, in seconds; 0 for none. */
static int conn_connect_timeout(lua_State *L)
{
    lua_pushinteger(L, pgmig_conn_connect_timeout(lconn_check(L, 1)->conn));
    return 1;
}

/* A function of the core that quotes. */
typedef char *quote(struct pgmig_conn *conn, const char *s, size_t len,
                    struct pgmig_error *err);

/* Quoting depends on the encoding of the connection, so there must be one. */
static int push_quoted(lua_State *L, quote *make)
{
    size_t len;
    const char *s = luaL_checklstring(L, 2, &len);
    struct pgmig_error *err = lpgmig_error_new(L);
    char **quoted = lpgmig_own_text(L);
    struct lconn *lc = lconn_check(L, 1);

    luaL_argcheck(L, strlen(s) == len, 2, "text contains a NUL byte");
    *quoted = make(lc->conn, s, len, err);
    if (*quoted == NULL)
        return lpgmig_error_raise(L, err);
    return lpgmig_push_owned(L, quoted, strlen(*quoted));
}

/* conn:quote_literal(s) and conn:quote_ident(s) --> s quoted for SQL. */
static int conn_quote_literal(lua_State *L)
{
    return push_quoted(L, pgmig_conn_quote_literal);
}

static int conn_quote_ident(lua_State *L)
{
    return push_quoted(L, pgmig_conn_quote_ident);
}

/* One class out of two files: each call adds its methods to the same table.
 */
void lpgmig_open_conn(lua_State *L)
{
    static const luaL_Reg functions[] = {{"open", conn_open}, {NULL, NULL}};
    static const luaL_Reg methods[] = {
        {"step", conn_step},
        {"fd", conn_fd},
        {"send", conn_send},
        {"ask", conn_ask},
        {"finish", conn_finish},
        {"notice", conn_notice},
        {"transaction_status", conn_transaction_status},
        {"cancel", conn_cancel},
        {"cancelling", conn_cancelling},
        {"is_open", conn_is_open},
        {"server_pid", conn_server_pid},
        {"is_lost", conn_is_lost},
        {"served_by", conn_served_by},
        {"session_tag", conn_session_tag},
        {"sent", conn_sent},
        {"peer", conn_peer},
        {"variables", conn_made_with},
        {"traffic", conn_traffic},
        {"abandon", conn_abandon},
        {"backend_pid", conn_backend_pid},
        {"server_version", conn_server_version},
        {"connect_timeout", conn_connect_timeout},
        {"quote_literal", conn_quote_literal},
        {"quote_ident", conn_quote_ident},
        {"close", conn_close},
        {"__close", conn_close},
        {"__gc", conn_close},
        {"__tostring", conn_tostring},
        {NULL, NULL}};

    lpgmig_class(L, LPGMIG_CONN, methods);
    lpgmig_class(L, LPGMIG_CONN, lconn_result_methods);
    lpgmig_class(L, LPGMIG_CONN, lconn_syntax_methods);
    lpgmig_set(L, functions);
    lpgmig_set_string(L, "served_columns", PGMIG_ASK_SERVED);
    lpgmig_set_string(L, "served_shape", PGMIG_SERVED_SHAPE);
}
