/* lconn.h -- the userdata of a connection, for the files about it. */
#ifndef LCONN_H
#define LCONN_H

#include "lpgmig.h"

struct lconn {
    struct pgmig_conn *conn;     /* NULL: closed */
    struct pgmig_apply *apply;   /* the migration under way */
    struct pgmig_ledger *ledger; /* the ledger operation under way */
    int anchor;       /* keeps the ledger of the operation under way */
    int apply_anchor; /* keeps what the migration under way needs */
};

/* The connection at argument 1; raises kind "usage" when it is closed. */
struct lconn *lconn_check(lua_State *L);

/* Let go what a registry reference of the connection keeps alive. */
void lconn_release(lua_State *L, int *anchor);

/* Return nothing, or raise the error of an operation that did not start. */
int lconn_started(lua_State *L, int status, struct pgmig_error *err);

/* Methods about results, COPY, and the ledger with its migrations. */
extern const luaL_Reg lconn_result_methods[];
extern const luaL_Reg lconn_copy_methods[];
extern const luaL_Reg lconn_apply_methods[];

#endif
