/* lconn.h -- the userdata of a connection, for the files about it. */
#ifndef LCONN_H
#define LCONN_H

#include "binding/lpgmig.h"
#include "engine/syntax.h"

/*
** Whatever asks Lua for memory may run a finalizer, which may do anything, such
** as close the connection: a method checks its arguments first, and the
** connection last.
*/
struct lconn {
    struct pgmig_conn *conn;     /* NULL: closed */
    struct pgmig_apply *apply;   /* the migration under way */
    struct pgmig_ledger *ledger; /* the ledger operation under way */
    struct pgmig_syntax *syntax; /* the last check of statements */
    int kept;     /* what these need, and a shape: a list in the registry */
    int held;     /* how many methods look at what it holds */
    bool closing; /* it is closed behind them */
};

/* Raise kind "usage" for a connection that is closed; and, where something is
** to be changed, while a method looks at what it holds. */
void lconn_demand_open(lua_State *L, const struct lconn *lc);
void lconn_demand_free(lua_State *L, const struct lconn *lc);

/* The connection at `arg`, open, or free as well. */
struct lconn *lconn_check(lua_State *L, int arg);
struct lconn *lconn_check_free(lua_State *L, int arg);

/* Pushes something that the connection holds, and returns how many values. */
typedef int lconn_look(lua_State *L, struct lconn *lc);

/* Call it, and return what it returns: the connection stays until then, also
** when it is closed meanwhile. */
int lconn_hold(lua_State *L, struct lconn *lc, lconn_look *look);

/* The same of the connection at 1. */
int lconn_show(lua_State *L, lconn_look *look);

/* Keep the value at `arg` alive in a place of the connection's; forget it. */
enum lconn_place {
    LCONN_LEDGER = 1,
    LCONN_JOBS = 2,
    LCONN_SHAPE = 3,
    LCONN_PASSAGES = 4
};
void lconn_keep(lua_State *L, const struct lconn *lc, enum lconn_place place,
                int arg);
void lconn_forget(lua_State *L, const struct lconn *lc, enum lconn_place place);

/* Return nothing, or raise the error of an operation that did not start. */
int lconn_started(lua_State *L, int status, struct pgmig_error *err);

/* Methods about results and COPY. */
extern const luaL_Reg lconn_result_methods[];

/* Methods about statements that are only parsed. */
extern const luaL_Reg lconn_syntax_methods[];

#endif
