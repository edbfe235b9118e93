/*
** lapply.c -- operations of the ledger, and migrations.
**
** The core copies a job but not what it points to (pgmig_apply_start), and a
** migration runs over many steps, between which Lua does what it likes. So the
** tables that the caller gives are copied first, strings and all, and the copy
** is kept with the connection until the migration has ended: the core's
** pointers are into strings that nobody can let go of. What an operation of the
** ledger is given, is used up when it has started.
*/
#include <string.h>

#include "binding/lconn.h"

#define COUNT_MAX 2147483647

/* Replace the table at `arg` with a copy, and what it holds so many levels
** deep: the caller's own may change, and lose its strings, at any moment. By
** lua_next and raw access, so that no metamethod runs meanwhile. */
static void snapshot(lua_State *L, int arg, int levels)
{
    luaL_checktype(L, arg, LUA_TTABLE);
    luaL_checkstack(L, 8, "tables too deep");
    lua_newtable(L);
    lua_pushnil(L);
    while (lua_next(L, arg) != 0) {
        if (levels > 1 && lua_istable(L, -1))
            snapshot(L, lua_gettop(L), levels - 1);
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -4);
    }
    lua_replace(L, arg);
}

/* The operation on the ledger at argument 2 has started, or has not. If so, the
** connection keeps the ledger until it has ended. */
static int ledger_started(lua_State *L, struct lconn *lc, int status,
                          struct pgmig_error *err)
{
    if (status != 0)
        return lpgmig_error_raise(L, err);
    lconn_keep(L, lc, LCONN_LEDGER, 2);
    lc->ledger = lpgmig_check_ledger(L, 2);
    return 0;
}

/*
** conn:ledger(ledger, "probe" | "prepare" | "widen" | "list" | "marks" |
** "history" | "journal" | "elsewhere" | "read" | "trust" [, argument]) starts
** an operation on the tables.
*/
static int conn_ledger(lua_State *L)
{
    static const char *const names[] = {[PGMIG_LEDGER_PROBE] = "probe",
                                        [PGMIG_LEDGER_PREPARE] = "prepare",
                                        [PGMIG_LEDGER_ADVANCE] = "advance",
                                        [PGMIG_LEDGER_WIDEN] = "widen",
                                        [PGMIG_LEDGER_LIST] = "list",
                                        [PGMIG_LEDGER_MARKS] = "marks",
                                        [PGMIG_LEDGER_HISTORY] = "history",
                                        [PGMIG_LEDGER_JOURNAL] = "journal",
                                        [PGMIG_LEDGER_ELSEWHERE] = "elsewhere",
                                        [PGMIG_LEDGER_READ] = "read",
                                        [PGMIG_LEDGER_TRUST] = "trust",
                                        NULL};
    struct pgmig_ledger *ledger = lpgmig_check_ledger(L, 2);
    int op = luaL_checkoption(L, 3, NULL, names);
    const char *argument = luaL_optstring(L, 4, NULL);
    struct pgmig_error *err = lpgmig_error_new(L);
    struct lconn *lc = lconn_check_free(L);

    luaL_argcheck(L, argument != NULL || op != PGMIG_LEDGER_WIDEN, 4,
                  "version expected");
    return ledger_started(L, lc,
                          pgmig_ledger_start(ledger, lc->conn,
                                             (enum pgmig_ledger_op)op, argument,
                                             err),
                          err);
}

/* conn:finish_ledger() after the last step: raises its error. */
static int conn_finish_ledger(lua_State *L)
{
    struct pgmig_error *err = lpgmig_error_new(L);
    struct lconn *lc = lconn_check_free(L);
    int status;

    if (lc->ledger == NULL || !pgmig_conn_ended(lc->conn))
        return lpgmig_error_usage(L, "no ledger operation has ended");
    status = pgmig_ledger_finish(lc->ledger, lc->conn, err);
    /* before anything can be raised: it has ended, well or not */
    lc->ledger = NULL;
    lconn_forget(L, lc, LCONN_LEDGER);
    return lconn_started(L, status, err);
}

/* A string field of the table at `arg`; the table keeps it alive. */
static const char *field(lua_State *L, int arg, const char *key)
{
    const char *s;

    lpgmig_get_field(L, arg, key);
    if (!lua_isnil(L, -1) && lua_type(L, -1) != LUA_TSTRING)
        luaL_error(L, "field %s: string expected", key);
    s = lua_tostring(L, -1);
    lua_pop(L, 1);
    return s;
}

static const char *needed_field(lua_State *L, int arg, const char *key)
{
    const char *s = field(L, arg, key);

    if (s == NULL)
        luaL_error(L, "field %s: string expected", key);
    return s;
}

static enum pgmig_direction direction_field(lua_State *L, int arg,
                                            const char *key)
{
    const char *s = needed_field(L, arg, key);

    return strcmp(s, lpgmig_directions[PGMIG_DOWN]) == 0 ? PGMIG_DOWN
                                                         : PGMIG_UP;
}

static const struct {
    const char *name;
    enum pgmig_pause point;
} pauses[] = {{"opened", PGMIG_PAUSE_OPENED},
              {"before", PGMIG_PAUSE_BEFORE},
              {"after", PGMIG_PAUSE_AFTER},
              {"closing", PGMIG_PAUSE_CLOSING}};

#define PAUSES (sizeof pauses / sizeof *pauses)

/* The field `pauses`: { before = true, ... } */
static unsigned pauses_field(lua_State *L, int arg)
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

/* A number field of the table at `arg`; 0 where it is missing. */
static lua_Number number_field(lua_State *L, int arg, const char *key)
{
    lua_Number n;

    lpgmig_get_field(L, arg, key);
    n = lua_tonumber(L, -1);
    lua_pop(L, 1);
    return n;
}

/* A count, 0 where it is missing. */
static lua_Number count_field(lua_State *L, int arg, const char *key)
{
    lua_Number n = number_field(L, arg, key);

    if (!(n >= 0 && n <= COUNT_MAX))
        luaL_error(L, "field %s: count expected", key);
    return n;
}

/* The entry at `arg`: { event, version, name, checksum, host, program, run,
** message, seconds, applied_at, key, digest, owner, revision, sqlstate, detail,
** file, line, column }. */
static struct pgmig_entry entry_at(lua_State *L, int arg)
{
    luaL_checktype(L, arg, LUA_TTABLE);
    return (struct pgmig_entry){
        .event = field(L, arg, "event"),
        .version = field(L, arg, "version"),
        .name = needed_field(L, arg, "name"),
        .checksum = field(L, arg, "checksum"),
        .host = field(L, arg, "host"),
        .program = field(L, arg, "program"),
        .run = field(L, arg, "run"),
        .message = field(L, arg, "message"),
        .applied_at = field(L, arg, "applied_at"),
        .key = field(L, arg, "key"),
        .digest = field(L, arg, "digest"),
        .sqlstate = field(L, arg, "sqlstate"),
        .detail = field(L, arg, "detail"),
        .file = field(L, arg, "file"),
        .line = (int64_t)number_field(L, arg, "line"),
        .column = (int64_t)number_field(L, arg, "column"),
        .seconds = number_field(L, arg, "seconds"),
        .owner = field(L, arg, "owner"),
        .revision = (long)number_field(L, arg, "revision")};
}

/*
** conn:record(ledger, change, entry) starts to record an event, and its change:
** "none", "name", "row", "done", "redo" or "restart"; finish_ledger() ends it.
*/
static int conn_record(lua_State *L)
{
    static const char *const changes[] = {[PGMIG_CHANGE_NONE] = "none",
                                          [PGMIG_CHANGE_NAME] = "name",
                                          [PGMIG_CHANGE_ROW] = "row",
                                          [PGMIG_CHANGE_DONE] = "done",
                                          [PGMIG_CHANGE_REDO] = "redo",
                                          [PGMIG_CHANGE_RESTART] = "restart",
                                          NULL};
    struct pgmig_ledger *ledger = lpgmig_check_ledger(L, 2);
    int change = luaL_checkoption(L, 3, NULL, changes);
    struct pgmig_entry entry = (snapshot(L, 4, 1), entry_at(L, 4));
    struct pgmig_error *err = lpgmig_error_new(L);
    struct lconn *lc = lconn_check_free(L);

    return ledger_started(L, lc,
                          pgmig_ledger_record(ledger, lc->conn,
                                              (enum pgmig_ledger_change)change,
                                              &entry, err),
                          err);
}

/*
** conn:take(ledger, entry, owner) starts to take over the journal's row of
** entry.owner; finish_ledger() ends it, rows() has the row, or none.
*/
static int conn_take(lua_State *L)
{
    struct pgmig_ledger *ledger = lpgmig_check_ledger(L, 2);
    struct pgmig_entry entry = (snapshot(L, 3, 1), entry_at(L, 3));
    const char *by = luaL_checkstring(L, 4);
    struct pgmig_error *err = lpgmig_error_new(L);
    struct lconn *lc = lconn_check_free(L);

    luaL_argcheck(L, entry.owner != NULL, 3, "owner expected");
    return ledger_started(
        L, lc, pgmig_ledger_take(ledger, lc->conn, &entry, by, err), err);
}

/*
** conn:set_aside(ledger, entry, { role, oid, name, set_aside }) starts to
** rename an INVALID index, for entry.owner; finish_ledger() ends it.
*/
static int conn_set_aside(lua_State *L)
{
    struct pgmig_ledger *ledger = lpgmig_check_ledger(L, 2);
    struct pgmig_entry entry = (snapshot(L, 3, 1), entry_at(L, 3));
    struct pgmig_debris index = {.role = field(L, 4, "role"),
                                 .oid = needed_field(L, 4, "oid"),
                                 .name = needed_field(L, 4, "name"),
                                 .set_aside = needed_field(L, 4, "set_aside")};
    struct pgmig_error *err = lpgmig_error_new(L);
    struct lconn *lc = lconn_check_free(L);

    luaL_argcheck(L, entry.owner != NULL, 3, "owner expected");
    return ledger_started(
        L, lc, pgmig_ledger_set_aside(ledger, lc->conn, &entry, &index, err),
        err);
}

/* conn:begin_run(ledger, entry, plan) starts to note that a run begins: the
** entry's run, host, program, and direction as event; plan: a text.
** finish_ledger() ends it. */
static int conn_begin_run(lua_State *L)
{
    struct pgmig_ledger *ledger = lpgmig_check_ledger(L, 2);
    struct pgmig_entry entry = (snapshot(L, 3, 1), entry_at(L, 3));
    const char *plan = luaL_checkstring(L, 4);
    struct pgmig_error *err = lpgmig_error_new(L);
    struct lconn *lc = lconn_check_free(L);

    return ledger_started(
        L, lc, pgmig_ledger_begin_run(ledger, lc->conn, &entry, plan, err),
        err);
}

/* conn:end_run(ledger, run) starts to note that it has ended; finish_ledger()
** ends it. */
static int conn_end_run(lua_State *L)
{
    struct pgmig_ledger *ledger = lpgmig_check_ledger(L, 2);
    const char *run = luaL_checkstring(L, 3);
    struct pgmig_error *err = lpgmig_error_new(L);
    struct lconn *lc = lconn_check_free(L);

    return ledger_started(
        L, lc, pgmig_ledger_end_run(ledger, lc->conn, run, err), err);
}

/* The entries of the list at `arg`, in memory of Lua's on the stack: it goes
** with the call, whichever way that ends. */
static struct pgmig_entry *entries_at(lua_State *L, int arg, size_t *count)
{
    struct pgmig_entry *list;

    *count = lpgmig_length(L, arg);
    list = lua_newuserdata(L, (*count + 1) * sizeof *list);
    for (size_t i = 0; i < *count; i++) {
        lua_rawgeti(L, arg, (int)i + 1);
        list[i] = entry_at(L, lua_gettop(L));
        lua_pop(L, 1);
    }
    return list;
}

/*
** conn:adopt(ledger, entries) starts to record what another tool has applied;
** finish_ledger() ends it.
*/
static int conn_adopt(lua_State *L)
{
    struct pgmig_ledger *ledger = lpgmig_check_ledger(L, 2);
    size_t count;
    const struct pgmig_entry *entries =
        (snapshot(L, 3, 2), entries_at(L, 3, &count));
    struct pgmig_error *err = lpgmig_error_new(L);
    struct lconn *lc = lconn_check_free(L);

    return ledger_started(
        L, lc, pgmig_ledger_adopt(ledger, lc->conn, entries, count, err), err);
}

/* A value that is true or not, in the table at `arg`. */
static bool boolean_field(lua_State *L, int arg, const char *key)
{
    bool set;

    lpgmig_get_field(L, arg, key);
    set = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return set;
}

/* The field `reset` of the session at `arg`: a list of commands, which its
** table keeps alive; NULL without it. */
static const char *const *commands_field(lua_State *L, int arg)
{
    const char **list;
    size_t count;

    lpgmig_get_field(L, arg, "reset");
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        return NULL;
    }
    list = lpgmig_check_strings(L, lua_gettop(L), &count);
    lua_setfield(L, arg, "commands"); /* keeps it alive */
    lua_pop(L, 1);
    return list;
}

/* The field `session`: { user, role, reset, keeps_locks, names }; without it
** defaults. */
static struct pgmig_session session_field(lua_State *L, int arg)
{
    struct pgmig_session session = {0};

    lpgmig_get_field(L, arg, "session");
    if (lua_istable(L, -1))
        session = (struct pgmig_session){
            .user = field(L, -1, "user"),
            .role = field(L, -1, "role"),
            .reset = commands_field(L, lua_gettop(L)),
            .keeps_locks = boolean_field(L, lua_gettop(L), "keeps_locks"),
            .names = field(L, -1, "names")};
    lua_pop(L, 1);
    return session;
}

#define JOBS_LEVELS 4 /* a list, its jobs, their session, its commands */

/* The job on the top of the stack, which is popped: its list keeps it alive. */
static struct pgmig_job take_job(lua_State *L)
{
    int job = lua_gettop(L);
    struct pgmig_job out;

    luaL_checktype(L, job, LUA_TTABLE);
    lpgmig_get_field(L, job, "script");
    lpgmig_get_field(L, job, "entry");
    out = (struct pgmig_job){.script = lpgmig_check_script(L, job + 1),
                             .direction = direction_field(L, job, "direction"),
                             .section = direction_field(L, job, "section"),
                             .entry = entry_at(L, job + 2),
                             .lock_timeout = field(L, job, "lock_timeout"),
                             .pauses = pauses_field(L, job),
                             .session = session_field(L, job),
                             .plain = boolean_field(L, job, "plain"),
                             .watched = boolean_field(L, job, "watched"),
                             .ends_run = field(L, job, "ends_run"),
                             .owner = needed_field(L, job, "owner"),
                             .revision = (long)count_field(L, job, "revision"),
                             .done = (size_t)count_field(L, job, "done")};
    lua_settop(L, job - 1);
    return out;
}

/*
** conn:apply(ledger, jobs) starts migrations, one behind the other. A job = {
** script, entry, direction = "up" | "down", section = the same, mostly,
** lock_timeout = nil: the server's, plain = true: each request waits, watched =
** true: our tables may have triggers, pauses = { opened, before, after, closing
** = true }, and for transaction=off owner, revision, done }. Several need to be
** without pauses, transaction=off, plain.
*/
static int conn_apply(lua_State *L)
{
    struct pgmig_ledger *ledger = lpgmig_check_ledger(L, 2);
    struct pgmig_error *err;
    struct pgmig_job *jobs;
    struct lconn *lc;
    size_t count;

    snapshot(L, 3, JOBS_LEVELS);
    count = lpgmig_length(L, 3);
    luaL_argcheck(L, count > 0, 3, "list of jobs expected");
    jobs = lua_newuserdata(L, count * sizeof *jobs);
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, 3, (int)i + 1);
        jobs[i] = take_job(L);
    }
    err = lpgmig_error_new(L);
    /* last: what was called before may have closed the connection */
    lc = lconn_check_free(L);
    if (lc->apply != NULL)
        return lpgmig_error_usage(
            L, "a migration is in progress on this connection");
    lc->apply = pgmig_apply_start(lc->conn, ledger, jobs, count, err);
    if (lc->apply == NULL)
        return lpgmig_error_raise(L, err);
    /* asks for no memory, so nothing can be raised in between */
    lconn_keep(L, lc, LCONN_JOBS, 3);
    return 0;
}

static struct pgmig_apply *check_apply(lua_State *L, const struct lconn *lc)
{
    if (lc->apply == NULL)
        lpgmig_error_usage(L, "no migration was started");
    return lc->apply;
}

/*
** conn:paused() after the last step --> "opened", "before", "after" or
** "closing", and the statement's number from 1; nil: the migration has ended.
*/
static int conn_paused(lua_State *L)
{
    struct lconn *lc = lconn_check(L);
    size_t statement;
    enum pgmig_pause point = pgmig_apply_paused(check_apply(L, lc), &statement);

    for (size_t i = 0; i < PAUSES; i++) {
        if (pauses[i].point != point)
            continue;
        lua_pushstring(L, pauses[i].name);
        lua_pushinteger(L, (lua_Integer)statement + 1);
        return 2;
    }
    return 0;
}

/* conn:transaction_id() --> that of the migration under way (txid_current());
** nil: it runs without one. */
static int conn_transaction_id(lua_State *L)
{
    lua_pushstring(L, pgmig_apply_transaction(check_apply(L, lconn_check(L))));
    return 1;
}

static int push_progress(lua_State *L)
{
    struct lconn *lc = lconn_check(L);
    struct pgmig_progress progress;

    if (lc->apply == NULL)
        return 0;
    pgmig_apply_progress(lc->apply, &progress);
    lua_pushinteger(L, (lua_Integer)progress.bytes);
    lua_pushinteger(L, (lua_Integer)progress.size);
    lua_pushinteger(L, (lua_Integer)progress.done);
    lua_pushstring(L, progress.kind);
    return 4;
}

/*
** conn:progress() --> bytes of the section that are done or on their way, its
** size, statements done, and the kind of the one under way (nil: none).
** Nothing when no migration is under way.
*/
static int conn_progress(lua_State *L)
{
    return lconn_hold(L, push_progress);
}

/*
** conn:resume("go_on" | "skip" | "replace" | "give_up" [, sql]) starts going on
** from a pause.
*/
static int conn_resume(lua_State *L)
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
    struct lconn *lc = lconn_check_free(L);

    return lconn_started(
        L, pgmig_apply_resume(check_apply(L, lc), how, sql, err), err);
}

/* conn:committed() --> how many migrations of the run under way are, and how
** many may be: their COMMIT is on its way. */
static int conn_committed(lua_State *L)
{
    const struct pgmig_apply *apply = check_apply(L, lconn_check(L));

    lua_pushinteger(L, (lua_Integer)pgmig_apply_committed(apply));
    lua_pushinteger(L, (lua_Integer)pgmig_apply_committing(apply));
    return 2;
}

/* conn:seconds(index) --> how long a migration that is committed has taken, by
** the server's clock; index from 1; nil: not known. */
static int conn_seconds(lua_State *L)
{
    const struct pgmig_apply *apply = check_apply(L, lconn_check(L));
    double seconds =
        pgmig_apply_seconds(apply, (size_t)luaL_checkinteger(L, 2) - 1);

    if (seconds < 0)
        return 0;
    lua_pushnumber(L, seconds);
    return 1;
}

/* conn:stop() lets a run that is under way begin no further migration. */
static int conn_stop(lua_State *L)
{
    struct lconn *lc = lconn_check(L);

    if (lc->apply != NULL)
        pgmig_apply_stop(lc->apply);
    return 0;
}

/* conn:outcome() after the last step --> "done", "raced" or "given_up";
** raises what made the migration fail. */
static int conn_outcome(lua_State *L)
{
    static const char *const names[] = {[PGMIG_DONE] = "done",
                                        [PGMIG_RACED] = "raced",
                                        [PGMIG_GIVEN_UP] = "given_up"};
    struct pgmig_error *err = lpgmig_error_new(L);
    struct lconn *lc = lconn_check_free(L);
    enum pgmig_outcome outcome;

    if (!pgmig_apply_ended(check_apply(L, lc)))
        return lpgmig_error_usage(L, "the migration has not ended");
    outcome = pgmig_apply_finish(lc->apply, err);
    /* pgmig_apply_finish has freed it: nobody may free it again */
    lc->apply = NULL;
    lconn_forget(L, lc, LCONN_JOBS);
    if (outcome == PGMIG_FAILED)
        return lpgmig_error_raise(L, err);
    lua_pushstring(L, names[outcome]);
    return 1;
}

const luaL_Reg lconn_apply_methods[] = {{"ledger", conn_ledger},
                                        {"finish_ledger", conn_finish_ledger},
                                        {"record", conn_record},
                                        {"adopt", conn_adopt},
                                        {"take", conn_take},
                                        {"set_aside", conn_set_aside},
                                        {"apply", conn_apply},
                                        {"paused", conn_paused},
                                        {"resume", conn_resume},
                                        {"progress", conn_progress},
                                        {"outcome", conn_outcome},
                                        {"committed", conn_committed},
                                        {"seconds", conn_seconds},
                                        {"begin_run", conn_begin_run},
                                        {"end_run", conn_end_run},
                                        {"stop", conn_stop},
                                        {"transaction_id", conn_transaction_id},
                                        {NULL, NULL}};
