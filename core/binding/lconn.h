/* lconn.h -- the userdata of a connection, for the files about it. */
#ifndef LCONN_H
#define LCONN_H

#include "lpgmig.h"

struct lconn {
    struct pgmig_conn *conn;   /* NULL: closed */
    struct pgmig_apply *apply; /* the migration under way */
    struct pgmig_job job;
    struct pgmig_ledger *ledger; /* the ledger operation under way */
    int anchor;                  /* what must live as long as the operation */
};

/* The connection at argument 1; raises kind "usage" when it is closed. */
struct lconn *lconn_check(lua_State *L);

/* Let go what the operation under way needed. */
void lconn_release(lua_State *L, struct lconn *lc);

/* Return nothing, or raise the error of an operation that did not start. */
int lconn_started(lua_State *L, int status, struct pgmig_error *err);

/* Methods about results, COPY, and the ledger with its migrations. */
extern const luaL_Reg lconn_result_methods[];
extern const luaL_Reg lconn_copy_methods[];
extern const luaL_Reg lconn_apply_methods[];

#endif
