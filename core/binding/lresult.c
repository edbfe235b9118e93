/*
** lresult.c -- what a request gave: rows, tag, and the data of a COPY.
**
** Values become what Lua has for them, by the type that the server names; text
** where Lua has nothing that holds the value exactly. All of this builds tables
** and strings while it reads the connection's result: so it is done while that
** is held (lconn_hold).
*/
#include <stdlib.h>

#include "binding/lconn.h"

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

/* What all rows have in common, and room for one of them. */
struct heading {
    int rows;  /* of the result */
    int count; /* of the columns */
    int names; /* where the first one's is on the stack */
    struct pgmig_column *columns;
    struct pgmig_cell *values;
};

/* Push the columns' names, once for all rows. There is room on the stack for
** as many values again. */
static struct heading push_heading(lua_State *L, const struct pgmig_conn *conn)
{
    struct heading h;
    size_t room;

    pgmig_conn_size(conn, &h.rows, &h.count);
    room = (size_t)h.count + 1;
    luaL_checkstack(L, 2 * h.count + 8, "too many columns");
    h.columns = lua_newuserdata(L, room * sizeof *h.columns);
    h.values = lua_newuserdata(L, room * sizeof *h.values);
    pgmig_conn_heading(conn, h.columns);
    h.names = lua_gettop(L) + 1;
    for (int i = 0; i < h.count; i++)
        lua_pushstring(L, h.columns[i].name);
    return h;
}

static void push_row(lua_State *L, const struct pgmig_conn *conn,
                     const struct heading *h, int row)
{
    pgmig_conn_row(conn, row, h->values);
    lua_createtable(L, 0, h->count);
    for (int i = 0; i < h->count; i++) {
        const struct pgmig_cell *value = &h->values[i];

        if (value->text == NULL)
            continue; /* NULL is nil */
        lua_pushvalue(L, h->names + i);
        push_value(L, value->text, value->len, h->columns[i].type);
        lua_rawset(L, -3);
    }
}

static int push_rows(lua_State *L, struct lconn *lc)
{
    struct heading h = push_heading(L, lc->conn);

    lua_createtable(L, h.rows, 0);
    for (int i = 0; i < h.rows; i++) {
        push_row(L, lc->conn, &h, i);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* conn:rows() --> the last result's rows, tables by column name. */
static int conn_rows(lua_State *L)
{
    return lconn_show(L, push_rows);
}

/* Add a row's values to the columns, lists that begin at `lists` on the stack.
 */
static void add_row(lua_State *L, const struct heading *h, int lists, int row)
{
    for (int i = 0; i < h->count; i++) {
        const struct pgmig_cell *value = &h->values[i];

        if (value->text == NULL)
            continue; /* NULL is nil */
        push_value(L, value->text, value->len, h->columns[i].type);
        lua_rawseti(L, lists + i, row + 1);
    }
}

static int push_columns(lua_State *L, struct lconn *lc)
{
    struct heading h = push_heading(L, lc->conn);
    int lists = lua_gettop(L) + 1;

    for (int i = 0; i < h.count; i++)
        lua_createtable(L, h.rows, 0);
    for (int row = 0; row < h.rows; row++) {
        pgmig_conn_row(lc->conn, row, h.values);
        add_row(L, &h, lists, row);
    }
    lua_pushinteger(L, h.rows);
    lua_createtable(L, 0, h.count);
    for (int i = 0; i < h.count; i++) {
        lua_pushvalue(L, h.names + i);
        lua_pushvalue(L, lists + i);
        lua_rawset(L, -3);
    }
    return 2;
}

/* conn:columns() --> how many rows the last result has, and its columns by
** name, each a table of values by row; NULL is nil. */
static int conn_columns(lua_State *L)
{
    return lconn_show(L, push_columns);
}

static int push_next(lua_State *L, struct lconn *lc)
{
    lua_pushboolean(L, pgmig_conn_next_result(lc->conn));
    return 1;
}

/* conn:next_result() --> whether there is another one of an operation that has
** several, which now is the last result. */
static int conn_next_result(lua_State *L)
{
    return lconn_show(L, push_next);
}

static int push_tag(lua_State *L, struct lconn *lc)
{
    lua_pushstring(L, pgmig_conn_tag(lc->conn));
    return 1;
}

/* conn:tag() --> the last result's command tag, as "INSERT 0 1". */
static int conn_tag(lua_State *L)
{
    return lconn_show(L, push_tag);
}

/* ---- COPY ------------------------------------------------------------ */

/* conn:copying() --> "in", "out" or false. */
static int conn_copying(lua_State *L)
{
    switch (pgmig_conn_copying(lconn_check(L, 1)->conn)) {
    case PGMIG_COPY_IN:
        lua_pushliteral(L, "in");
        break;
    case PGMIG_COPY_OUT:
        lua_pushliteral(L, "out");
        break;
    default:
        lua_pushboolean(L, 0);
    }
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

static int push_copy_data(lua_State *L, struct lconn *lc)
{
    size_t len;
    const char *data = pgmig_conn_copy_data(lc->conn, &len);

    lua_pushlstring(L, data ? data : "", len);
    return 1;
}

/* conn:copy_data() --> what was received. */
static int conn_copy_data(lua_State *L)
{
    return lconn_show(L, push_copy_data);
}

const luaL_Reg lconn_result_methods[] = {{"rows", conn_rows},
                                         {"columns", conn_columns},
                                         {"tag", conn_tag},
                                         {"next_result", conn_next_result},
                                         {"copying", conn_copying},
                                         {"copy_put", conn_copy_put},
                                         {"copy_end", conn_copy_end},
                                         {"copy_get", conn_copy_get},
                                         {"copy_data", conn_copy_data},
                                         {NULL, NULL}};
