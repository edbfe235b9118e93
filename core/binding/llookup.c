/*
** llookup.c -- where a connection would go: its parameters, as libpq takes
*them,
** and the names of its hosts. Looking those up waits: here, or in a thread.
**
** getaddrinfo knows no time-out, and libpq would call it while it connects. So
** a thread calls it, and tells by a pipe that it is over: the loop waits for
** that as for any descriptor, with a deadline. The thread touches nothing of
** Lua's, and nothing that the other side frees: what both use is counted
** (struct task).
*/
#include <fcntl.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "binding/lpgmig.h"
#include "base/thread.h"

/* ---- parameters ------------------------------------------------------ */

/* The list of variables' names and values at `arg`, NULL for none. */
static const char **environment(lua_State *L, int arg)
{
    size_t n;
    const char **list;

    if (lua_isnoneornil(L, arg))
        return NULL;
    list = lpgmig_check_strings(L, arg, &n);
    luaL_argcheck(L, n % 2 == 0, arg, "alternating names and values expected");
    return list;
}

struct lpgmig_parameters lpgmig_check_parameters(lua_State *L)
{
    struct lpgmig_parameters to;
    size_t nk;
    size_t nv;

    lua_settop(L, 3);
    to.keywords = lpgmig_check_strings(L, 1, &nk);
    to.values = lpgmig_check_strings(L, 2, &nv);
    to.environment = environment(L, 3);
    luaL_argcheck(L, nk == nv, 2, "as many values as keywords expected");
    return to;
}

/* Freed here or, if Lua raises before, by the owner's finalizer. */
static void release_hosts(void *hosts)
{
    pgmig_hosts_free(hosts);
}

/*
** hosts(keywords, values, environment) --> host, hostaddr, port, dbname, user,
** options as libpq takes them from these lists, environment and service file;
** nil for what is not set.
*/
static int lookup_hosts(lua_State *L)
{
    struct lpgmig_parameters to = lpgmig_check_parameters(L);
    struct pgmig_error *err = lpgmig_error_new(L);
    struct pgmig_hosts *hosts = lpgmig_own(L, sizeof *hosts, release_hosts);

    if (pgmig_hosts_read(to.environment, to.keywords, to.values, hosts, err) !=
        0)
        return lpgmig_error_raise(L, err);
    lua_pushstring(L, hosts->host);
    lua_pushstring(L, hosts->hostaddr);
    lua_pushstring(L, hosts->port);
    lua_pushstring(L, hosts->database);
    lua_pushstring(L, hosts->user);
    lua_pushstring(L, hosts->options);
    lua_pushstring(L, hosts->connect_timeout);
    pgmig_hosts_free(hosts);
    return 7;
}

#define PARAMETERS_MAX 100

/*
** connection_parameters(text) --> what a URL or key words set, by name:
** "shown", or "secret" of what nobody may see; nil where it would be refused.
*/
static int lookup_parameters(lua_State *L)
{
    struct pgmig_parameter list[PARAMETERS_MAX];
    struct pgmig_error *err = lpgmig_error_new(L);
    int n = pgmig_connstring_parameters(luaL_checkstring(L, 1), list,
                                        PARAMETERS_MAX, err);

    if (n < 0)
        return 0;
    lua_createtable(L, 0, n);
    for (int i = 0; i < n; i++) {
        lua_pushstring(L, list[i].secret ? "secret" : "shown");
        lua_setfield(L, -2, list[i].name);
    }
    return 1;
}

#define VARIABLES_MAX 100

/* libpq_variables() --> a set of the names of variables that libpq reads. */
static int lookup_variables(lua_State *L)
{
    const char *names[VARIABLES_MAX];
    size_t n = pgmig_libpq_variables(names, VARIABLES_MAX);

    lua_newtable(L);
    for (size_t i = 0; i < n; i++) {
        lua_pushboolean(L, 1);
        lua_setfield(L, -2, names[i]);
    }
    return 1;
}

/* ---- names ------------------------------------------------------------ */

#define LPGMIG_LOOKUP "pgmig.lookup"
#define ADDRESSES_MAX 16
#define ADDRESS_SIZE 80 /* IPv6, with the name of an interface */

struct addresses {
    int count;
    char list[ADDRESSES_MAX][ADDRESS_SIZE];
    const char *why; /* there are none */
};

/* In the resolver's order; each address once, since the type of socket is
** given. Numeric, with its interface, so that libpq looks nothing up. */
static void look_up(const char *name, struct addresses *out)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int status = getaddrinfo(name, NULL, &hints, &found);

    out->count = 0;
    out->why = status != 0 ? gai_strerror(status) : NULL;
    if (status != 0)
        return;
    for (struct addrinfo *a = found; a && out->count < ADDRESSES_MAX;
         a = a->ai_next)
        if (getnameinfo(a->ai_addr, a->ai_addrlen, out->list[out->count],
                        ADDRESS_SIZE, NULL, 0, NI_NUMERICHOST) == 0)
            out->count++;
    freeaddrinfo(found);
}

/* Push a list of the addresses; or nil and why there are none. */
static int push(lua_State *L, const struct addresses *a)
{
    if (a->why != NULL) {
        lua_pushnil(L);
        lua_pushstring(L, a->why);
        return 2;
    }
    lua_createtable(L, a->count, 0);
    for (int i = 0; i < a->count; i++) {
        lua_pushstring(L, a->list[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/*
** resolve(name) --> a list of numeric addresses, as the system's resolver
** gives them; or nil and why not. Waits; any thread may call it.
*/
static int lookup_resolve(lua_State *L)
{
    struct addresses found;

    look_up(luaL_checkstring(L, 1), &found);
    return push(L, &found);
}

/* ---- in a thread ----------------------------------------------------- */

/* What the thread works on; it lives until both sides have let go of it. */
struct task {
    atomic_int users;
    atomic_bool over;
    int told; /* the thread writes here when it is over */
    char *name;
    struct addresses found;
};

struct lookup {
    struct task *task; /* NULL: closed */
    int fd;            /* readable when it is over */
};

/* Who is last frees it, the pipe's end included: else the thread could write to
** a descriptor that is somebody else's by then. */
static void let_go(struct task *task)
{
    if (atomic_fetch_sub(&task->users, 1) > 1)
        return;
    close(task->told);
    free(task->name);
    free(task);
}

/* `over` before the byte: who is woken by it finds the answer. */
static void *run(void *arg)
{
    struct task *task = arg;

    look_up(task->name, &task->found);
    atomic_store(&task->over, true);
    (void)!write(task->told, "", 1); /* perhaps nobody waits any more */
    let_go(task);
    return NULL;
}

/* Both users are counted before the thread can be over. */
static struct task *new_task(const char *name, int told)
{
    struct task *task = calloc(1, sizeof *task);

    if (task == NULL)
        return NULL;
    atomic_init(&task->users, 2);
    atomic_init(&task->over, false);
    task->told = told;
    task->name = strdup(name);
    if (task->name != NULL && pgmig_thread_start(run, task) == 0)
        return task;
    free(task->name);
    free(task);
    return NULL;
}

static struct lookup *check(lua_State *L)
{
    return luaL_checkudata(L, 1, LPGMIG_LOOKUP);
}

/* lookup(name) --> a look-up under way in a thread. */
static int lookup_new(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    struct lookup *lookup = lua_newuserdata(L, sizeof *lookup);
    int fd[2];

    *lookup = (struct lookup){.fd = -1};
    luaL_getmetatable(L, LPGMIG_LOOKUP);
    lua_setmetatable(L, -2);
    /* the thread must never wait for a reader */
    if (pipe2(fd, O_CLOEXEC | O_NONBLOCK) != 0)
        return luaL_error(L, "could not create a pipe for the host lookup");
    lookup->fd = fd[0];
    lookup->task = new_task(name, fd[1]);
    if (lookup->task != NULL)
        return 1;
    close(fd[1]);
    return luaL_error(L, "could not create a thread for the host lookup");
}

/* lookup:fd() --> readable when it is over. */
static int lookup_fd(lua_State *L)
{
    lua_pushinteger(L, check(L)->fd);
    return 1;
}

/* lookup:is_over() --> whether it is. */
static int lookup_is_over(lua_State *L)
{
    const struct lookup *lookup = check(L);

    lua_pushboolean(L,
                    lookup->task == NULL || atomic_load(&lookup->task->over));
    return 1;
}

/* lookup:addresses() --> when it is over, as resolve. */
static int lookup_addresses(lua_State *L)
{
    const struct lookup *lookup = check(L);

    if (lookup->task == NULL || !atomic_load(&lookup->task->over))
        return luaL_error(L, "the host lookup has not ended");
    return push(L, &lookup->task->found);
}

/* lookup:close(): what is under way goes on by itself. */
static int lookup_close(lua_State *L)
{
    struct lookup *lookup = check(L);

    if (lookup->task != NULL)
        let_go(lookup->task);
    if (lookup->fd >= 0)
        close(lookup->fd);
    *lookup = (struct lookup){.fd = -1};
    return 0;
}

void lpgmig_open_lookup(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"hosts", lookup_hosts},
        {"connection_parameters", lookup_parameters},
        {"libpq_variables", lookup_variables},
        {"resolve", lookup_resolve},
        {"lookup", lookup_new},
        {NULL, NULL}};
    static const luaL_Reg methods[] = {{"fd", lookup_fd},
                                       {"is_over", lookup_is_over},
                                       {"addresses", lookup_addresses},
                                       {"close", lookup_close},
                                       {"__gc", lookup_close},
                                       {NULL, NULL}};

    lpgmig_class(L, LPGMIG_LOOKUP, methods);
    lpgmig_set(L, functions);
}
