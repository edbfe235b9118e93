/*
** lapply.c -- migrations under way.
**
** The connection owns the run, which ends with it at the latest, and keeps the
** jobs: the core copies a job but not what it points to (pgmig_apply_start),
** and a run takes many steps, between which Lua does what it likes. So the
** tables that the caller gives are copied first, strings and all. The object
** speaks for the run, and keeps the connection until the run has ended.
*/
#include "binding/lconn.h"
#include "engine/listing.h"

struct lapply {
    struct lconn *lc; /* that it runs on; NULL: it has ended */
    int anchor;       /* keeps that, in the registry */
};

static struct lapply *check_object(lua_State *L)
{
    return luaL_checkudata(L, 1, LPGMIG_APPLY);
}

/* The connection of a run that has not ended, with the run. */
static struct lconn *check(lua_State *L)
{
    struct lconn *lc = check_object(L)->lc;

    if (lc == NULL)
        lpgmig_error_usage(L, "the migration has ended");
    lconn_demand_open(L, lc);
    return lc;
}

/* The same, for a method that changes something. */
static struct lconn *check_free(lua_State *L)
{
    struct lconn *lc = check(L);

    lconn_demand_free(L, lc);
    return lc;
}

/* The run; NULL when it has ended, or its connection is closed. */
static struct pgmig_apply *under_way(lua_State *L)
{
    const struct lconn *lc = check_object(L)->lc;

    return lc ? lc->apply : NULL;
}

/* A new object that keeps the connection at `arg`; its run has not begun. */
static struct lapply *new_apply(lua_State *L, int arg)
{
    struct lapply *la = lua_newuserdata(L, sizeof *la);

    *la = (struct lapply){.anchor = LUA_NOREF};
    luaL_getmetatable(L, LPGMIG_APPLY);
    lua_setmetatable(L, -2);
    lua_pushvalue(L, arg);
    la->anchor = luaL_ref(L, LUA_REGISTRYINDEX);
    return la;
}

static void let_go(lua_State *L, struct lapply *la)
{
    luaL_unref(L, LUA_REGISTRYINDEX, la->anchor);
    *la = (struct lapply){.anchor = LUA_NOREF};
}

static int apply_gc(lua_State *L)
{
    let_go(L, check_object(L));
    return 0;
}

static int apply_tostring(lua_State *L)
{
    const struct pgmig_apply *apply = under_way(L);

    if (apply == NULL)
        lua_pushliteral(L, "pgmig apply (ended)");
    else
        lua_pushfstring(L, "pgmig apply (%d committed)",
                        (int)pgmig_apply_committed(apply));
    return 1;
}

/* ---- jobs ------------------------------------------------------------ */

static const struct {
    const char *name;
    enum pgmig_pause point;
} pauses[] = {{"opened", PGMIG_PAUSE_OPENED},
              {"before", PGMIG_PAUSE_BEFORE},
              {"after", PGMIG_PAUSE_AFTER},
              {"closing", PGMIG_PAUSE_CLOSING}};

#define PAUSES (sizeof pauses / sizeof *pauses)

/* The field `pauses` of the job at `arg`: { before = true, ... } */
static unsigned read_pauses(lua_State *L, int arg)
{
    unsigned set = 0;

    lpgmig_get_field(L, arg, "pauses");
    for (size_t i = 0; lua_istable(L, -1) && i < PAUSES; i++) {
        lpgmig_get_field(L, -1, pauses[i].name);
        if (lua_toboolean(L, -1))
            set |= (unsigned)pauses[i].point;
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return set;
}

/* The field `key` of the table at `arg`: a list of commands, which the table
** keeps alive; NULL without it. */
static const char *const *read_commands(lua_State *L, int arg, const char *key)
{
    const char **list = NULL;
    size_t count;

    lpgmig_get_field(L, arg, key);
    if (!lua_isnil(L, -1)) {
        list = lpgmig_check_strings(L, lua_gettop(L), &count);
        lua_setfield(L, arg, "commands"); /* keeps it alive */
    }
    lua_pop(L, 1);
    return list;
}

/* The field `session` of the job at `arg`; without it, defaults. */
static void read_session(lua_State *L, int arg, struct pgmig_session *session)
{
    static const struct lpgmig_field fields[] = {
        {"user", LPGMIG_TEXT, offsetof(struct pgmig_session, user)},
        {"role", LPGMIG_TEXT, offsetof(struct pgmig_session, role)},
        {"keeps_locks", LPGMIG_FLAG,
         offsetof(struct pgmig_session, keeps_locks)},
        {"names", LPGMIG_TEXT, offsetof(struct pgmig_session, names)},
        {NULL, LPGMIG_TEXT, 0}};

    lpgmig_get_field(L, arg, "session");
    if (lua_istable(L, -1)) {
        lpgmig_read(L, lua_gettop(L), "session", fields, session);
        session->reset = read_commands(L, lua_gettop(L), "reset");
    }
    lua_pop(L, 1);
}

static enum pgmig_direction read_direction(lua_State *L, int arg,
                                           const char *key)
{
    return (enum pgmig_direction)lpgmig_read_choice(L, arg, "job", key,
                                                    lpgmig_directions, -1);
}

/* Read the job on the top of the stack, and pop it: its list keeps it alive. */
static void take_job(lua_State *L, struct pgmig_job *job)
{
    static const struct lpgmig_field fields[] = {
        {"lock_timeout", LPGMIG_TEXT, offsetof(struct pgmig_job, lock_timeout)},
        {"plain", LPGMIG_FLAG, offsetof(struct pgmig_job, plain)},
        {"watched", LPGMIG_FLAG, offsetof(struct pgmig_job, watched)},
        {"ends_run", LPGMIG_TEXT, offsetof(struct pgmig_job, ends_run)},
        {"owner", LPGMIG_NEEDED, offsetof(struct pgmig_job, owner)},
        {"revision", LPGMIG_LONG, offsetof(struct pgmig_job, revision)},
        {"done", LPGMIG_SIZE, offsetof(struct pgmig_job, done)},
        {NULL, LPGMIG_TEXT, 0}};
    int at = lua_gettop(L);

    lpgmig_read(L, at, "job", fields, job);
    job->direction = read_direction(L, at, "direction");
    job->section = read_direction(L, at, "section");
    job->pauses = read_pauses(L, at);
    job->along = read_commands(L, at, "along");
    read_session(L, at, &job->session);
    lpgmig_get_field(L, at, "script");
    job->script = lpgmig_check_script(L, at + 1);
    lpgmig_get_field(L, at, "entry");
    lpgmig_read_entry(L, at + 2, &job->entry);
    lua_settop(L, at - 1);
}

#define JOBS_LEVELS 4 /* a list, its jobs, their session, its commands */

/* The list of jobs at `arg`, of which a copy takes its place. */
static struct pgmig_job *check_jobs(lua_State *L, int arg, size_t *count)
{
    struct pgmig_job *jobs;

    lpgmig_snapshot(L, arg, JOBS_LEVELS);
    *count = lpgmig_length(L, arg);
    luaL_argcheck(L, *count > 0, arg, "list of jobs expected");
    jobs = lua_newuserdata(L, *count * sizeof *jobs);
    for (size_t i = 0; i < *count; i++) {
        jobs[i] = (struct pgmig_job){0};
        lua_rawgeti(L, arg, (int)i + 1);
        take_job(L, &jobs[i]);
    }
    return jobs;
}

/*
** apply(conn, ledger, jobs) --> apply: starts migrations, one behind the other.
** A job = { script, entry, direction = "up" | "down", section = the same,
** mostly, lock_timeout = nil: the server's, plain = true: each request waits,
** watched = true: our tables may have triggers, pauses = { opened, before,
** after, closing = true }, along = commands that commit with the tracking row,
** and for transaction=off owner, revision, done }.
** Several need to be without pauses, transaction=off, plain.
*/
static int apply_new(lua_State *L)
{
    struct pgmig_ledger *ledger = lpgmig_check_ledger(L, 2);
    size_t count;
    const struct pgmig_job *jobs = check_jobs(L, 3, &count);
    struct pgmig_error *err = lpgmig_error_new(L);
    struct lapply *la = new_apply(L, 1);
    /* last: what was called before may have closed the connection */
    struct lconn *lc = lconn_check_free(L, 1);

    if (lc->apply != NULL)
        return lpgmig_error_usage(
            L, "a migration is in progress on this connection");
    lc->apply = pgmig_apply_start(lc->conn, ledger, jobs, count, err);
    if (lc->apply == NULL)
        return lpgmig_error_raise(L, err);
    /* asks for no memory, so nothing can be raised in between */
    lconn_keep(L, lc, LCONN_JOBS, 3);
    la->lc = lc;
    return 1;
}

/* listing(conn, ledger, jobs) --> the first job as a script for psql; nothing
** is sent. */
static int apply_listing(lua_State *L)
{
    struct pgmig_ledger *ledger = lpgmig_check_ledger(L, 2);
    size_t count;
    const struct pgmig_job *jobs = check_jobs(L, 3, &count);
    struct pgmig_error *err = lpgmig_error_new(L);
    struct pgmig_buf *out = lpgmig_own_buf(L);
    struct lconn *lc = lconn_check_free(L, 1);

    if (pgmig_listing_add(out, lc->conn, ledger, jobs, err) != 0)
        return lpgmig_error_raise(L, err);
    return lpgmig_push_buf(L, out);
}

/* ---- the run --------------------------------------------------------- */

/*
** apply:paused() after the last step --> "opened", "before", "after" or
** "closing", and the statement's number from 1; nil: the migration has ended.
*/
static int apply_paused(lua_State *L)
{
    size_t statement;
    enum pgmig_pause point = pgmig_apply_paused(check(L)->apply, &statement);

    for (size_t i = 0; i < PAUSES; i++) {
        if (pauses[i].point != point)
            continue;
        lua_pushstring(L, pauses[i].name);
        lua_pushinteger(L, (lua_Integer)statement + 1);
        return 2;
    }
    return 0;
}

/*
** apply:resume("go_on" | "skip" | "replace" | "give_up" [, sql]) starts going
** on from a pause.
*/
static int apply_resume(lua_State *L)
{
    static const char *const ways[] = {[PGMIG_GO_ON] = "go_on",
                                       [PGMIG_SKIP] = "skip",
                                       [PGMIG_REPLACE] = "replace",
                                       [PGMIG_GIVE_UP] = "give_up",
                                       NULL};
    enum pgmig_resume how =
        (enum pgmig_resume)luaL_checkoption(L, 2, NULL, ways);
    const char *sql = how == PGMIG_REPLACE ? luaL_checkstring(L, 3) : NULL;
    struct pgmig_error *err = lpgmig_error_new(L);

    return lconn_started(
        L, pgmig_apply_resume(check_free(L)->apply, how, sql, err), err);
}

static int push_transaction(lua_State *L, struct lconn *lc)
{
    lua_pushstring(L, pgmig_apply_transaction(lc->apply));
    return 1;
}

/* apply:transaction_id() --> that of the migration under way (txid_current());
** nil: it runs without one. */
static int apply_transaction_id(lua_State *L)
{
    return lconn_hold(L, check(L), push_transaction);
}

static int push_progress(lua_State *L, struct lconn *lc)
{
    struct pgmig_progress progress;

    pgmig_apply_progress(lc->apply, &progress);
    lua_pushinteger(L, (lua_Integer)progress.bytes);
    lua_pushinteger(L, (lua_Integer)progress.size);
    lua_pushinteger(L, (lua_Integer)progress.done);
    lua_pushstring(L, progress.kind);
    return 4;
}

/*
** apply:progress() --> bytes of the section that are done or on their way, its
** size, statements done, and the kind of the one under way (nil: none).
** Nothing when it has ended.
*/
static int apply_progress(lua_State *L)
{
    if (under_way(L) == NULL)
        return 0;
    return lconn_hold(L, check(L), push_progress);
}

/* apply:committed() --> how many migrations of the run are, and how many may
** be: their COMMIT is on its way. */
static int apply_committed(lua_State *L)
{
    const struct pgmig_apply *apply = check(L)->apply;

    lua_pushinteger(L, (lua_Integer)pgmig_apply_committed(apply));
    lua_pushinteger(L, (lua_Integer)pgmig_apply_committing(apply));
    return 2;
}

/* apply:seconds(index) --> how long a migration that is committed has taken, by
** the server's clock; index from 1; nil: not known. */
static int apply_seconds(lua_State *L)
{
    size_t index = (size_t)luaL_checkinteger(L, 2) - 1;
    double seconds = pgmig_apply_seconds(check(L)->apply, index);

    if (seconds < 0)
        return 0;
    lua_pushnumber(L, seconds);
    return 1;
}

/* apply:stop() lets it begin no further migration. */
static int apply_stop(lua_State *L)
{
    struct pgmig_apply *apply = under_way(L);

    if (apply != NULL)
        pgmig_apply_stop(apply);
    return 0;
}

/* apply:finish() after the last step --> "done", "raced" or "given_up"; raises
** what made the migration fail. */
static int apply_finish(lua_State *L)
{
    static const char *const names[] = {[PGMIG_DONE] = "done",
                                        [PGMIG_RACED] = "raced",
                                        [PGMIG_GIVEN_UP] = "given_up"};
    struct pgmig_error *err = lpgmig_error_new(L);
    struct lconn *lc = check_free(L);
    enum pgmig_outcome outcome;

    if (!pgmig_apply_ended(lc->apply))
        return lpgmig_error_usage(L, "the migration has not ended");
    outcome = pgmig_apply_finish(lc->apply, err);
    /* pgmig_apply_finish has freed it: nobody may free it again */
    lc->apply = NULL;
    lconn_forget(L, lc, LCONN_JOBS);
    let_go(L, check_object(L));
    if (outcome == PGMIG_FAILED)
        return lpgmig_error_raise(L, err);
    lua_pushstring(L, names[outcome]);
    return 1;
}

void lpgmig_open_apply(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"apply", apply_new}, {"listing", apply_listing}, {NULL, NULL}};
    static const luaL_Reg methods[] = {{"paused", apply_paused},
                                       {"resume", apply_resume},
                                       {"transaction_id", apply_transaction_id},
                                       {"progress", apply_progress},
                                       {"committed", apply_committed},
                                       {"seconds", apply_seconds},
                                       {"stop", apply_stop},
                                       {"finish", apply_finish},
                                       {"__gc", apply_gc},
                                       {"__tostring", apply_tostring},
                                       {NULL, NULL}};

    lpgmig_class(L, LPGMIG_APPLY, methods);
    lpgmig_set(L, functions);
}
