/*
** lsystem.c -- what plain Lua lacks: poll(2), a clock, signals, terminals.
**
** Nothing here knows of migrations or servers. The functions that wait do so in
** ppoll, so that a signal which was remembered ends the wait also when it has
** come just before. Signals are the process's: what is remembered of them is
** the only state that is not Lua's.
*/
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "binding/lpgmig.h"

/* now() --> seconds of a clock that never jumps; only differences count. */
static int system_now(lua_State *L)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    lua_pushnumber(L, (lua_Number)ts.tv_sec + (lua_Number)ts.tv_nsec / 1e9);
    return 1;
}

/* POLLERR and POLLHUP are always told: who waits learns of a lost
** connection. */
static short events_of(const char *want)
{
    short events = 0;

    if (strchr(want, 'r') != NULL)
        events |= POLLIN;
    if (strchr(want, 'w') != NULL)
        events |= POLLOUT;
    return events;
}

static const struct timespec at_once;
static const struct timespec grace = {.tv_sec = 2};

/* Bounded: a time_t need not hold what a double does. 2e6 seconds are 23
** days. */
static struct timespec timespec_of(lua_Number seconds)
{
    lua_Number most = fmin(fmax(seconds, 0), 2e6);
    struct timespec ts = {.tv_sec = (time_t)most};

    ts.tv_nsec = (long)((most - (lua_Number)ts.tv_sec) * 1e9);
    return ts;
}

/* ---- signals --------------------------------------------------------- */

/* A signal is remembered for the process: handlers get no other argument. */
static volatile sig_atomic_t interrupted;
static bool remembering;

/* All that a handler may do: set a sig_atomic_t (C11, 7.14.1.1). */
static void remember(int signo)
{
    interrupted = signo;
}

static void pass_over(int signo)
{
    (void)signo;
}

/* Handle a signal, unless whoever started this program had it ignored, as a
** shell without job control does for what runs in the background: it is to stay
** so. */
static void handle(int signo, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    struct sigaction before;

    sigemptyset(&action.sa_mask); /* no SA_RESTART: poll must return */
    if (sigaction(signo, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
        sigaction(signo, &action, NULL);
}

/*
** interrupt_on_signals(ignore): SIGINT and SIGTERM are remembered from now on,
** but SIGINT is ignored where that is true; and
** SIGPIPE ends nothing: a run does not depend on who reads its output. It is
** not ignored, so that programs which are started from here meet it as usual.
*/
static int system_interrupt_on_signals(lua_State *L)
{
    if (lua_toboolean(L, 1))
        signal(SIGINT, SIG_IGN);
    handle(SIGINT, remember);
    handle(SIGTERM, remember);
    handle(SIGPIPE, pass_over);
    remembering = true;
    return 0;
}

/* The Lua that SIGINT interrupts. */
static lua_State *interruptible;

static void raise_interrupted(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    lua_sethook(L, NULL, 0, 0);
    luaL_error(L, "interrupted!");
}

/* As Lua's own interpreter does: the next instruction raises an error, and a
** second signal ends the program. */
static void interrupt_lua(int signo)
{
    signal(signo, SIG_DFL);
    lua_sethook(interruptible, raise_interrupted,
                LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

/* leave_signals_to_lua(): from now on they do what they do to a script that
** Lua's own interpreter runs. */
static int system_leave_signals_to_lua(lua_State *L)
{
    interruptible = L;
    remembering = false;
    handle(SIGINT, interrupt_lua);
    handle(SIGTERM, SIG_DFL);
    handle(SIGPIPE, SIG_DFL);
    return 0;
}

/* interrupted() --> the signal's number that came, or nil; forgets it. */
static int system_interrupted(lua_State *L)
{
    if (interrupted == 0)
        return 0;
    lua_pushinteger(L, interrupted);
    interrupted = 0;
    return 1;
}

/* Wait in poll(2), which a signal ends. `late` is the limit once one has come
** that nobody has looked at. Both signals are blocked while that is looked up,
** and let in by ppoll itself: one that comes between is not slept over. */
static int wait_for(struct pollfd *set, nfds_t n, const struct timespec *limit,
                    const struct timespec *late)
{
    sigset_t block;
    sigset_t before;
    int ready;

    if (!remembering)
        return ppoll(set, n, limit, NULL);
    sigemptyset(&block);
    sigaddset(&block, SIGINT);
    sigaddset(&block, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &block,
                    &before); /* none between look and wait */
    ready = ppoll(set, n, interrupted ? late : limit, &before);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ready;
}

/* ---- waiting --------------------------------------------------------- */

/*
** poll(fds, wants, seconds) --> a list of booleans, which are ready.
** Two lists of the same length; seconds < 0 waits without limit. A signal
** ends the wait early.
*/
static int system_poll(lua_State *L)
{
    lua_Number seconds = luaL_checknumber(L, 3);
    struct timespec limit = timespec_of(seconds);
    struct pollfd *set;
    int n;

    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, 2, LUA_TTABLE);
    n = (int)lpgmig_length(L, 1);
    /* Lua's memory: a wrong value in the lists raises below */
    set = lua_newuserdata(L, ((size_t)n + 1) * sizeof *set);
    for (int i = 0; i < n; i++) {
        lua_rawgeti(L, 1, i + 1);
        lua_rawgeti(L, 2, i + 1);
        set[i].fd = (int)luaL_checkinteger(L, -2);
        set[i].events = events_of(luaL_checkstring(L, -1));
        set[i].revents = 0;
        lua_pop(L, 2);
    }
    if (wait_for(set, (nfds_t)n, seconds < 0 ? NULL : &limit, &at_once) < 0 &&
        errno != EINTR)
        return luaL_error(L, "poll: %s", strerror(errno));
    lua_createtable(L, n, 0);
    for (int i = 0; i < n; i++) {
        lua_pushboolean(L, set[i].revents != 0);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* wait_fd(fd, "r" | "w" | "rw", seconds) --> whether it is ready. Seconds
** may be a fraction of a millisecond. Keeps nothing: any thread may call it. */
static int system_wait_fd(lua_State *L)
{
    struct pollfd one = {.fd = (int)luaL_checkinteger(L, 1),
                         .events = events_of(luaL_checkstring(L, 2))};
    struct timespec limit = timespec_of(luaL_checknumber(L, 3));

    if (wait_for(&one, 1, &limit, &at_once) < 0 && errno != EINTR)
        return luaL_error(L, "poll: %s", strerror(errno));
    lua_pushboolean(L, one.revents != 0);
    return 1;
}

/* Wait until a descriptor takes output: 0, or an error's number. */
static int wait_for_output(int fd)
{
    struct pollfd one = {.fd = fd, .events = POLLOUT};
    int ready = wait_for(&one, 1, NULL, &grace);

    if (ready == 0)
        return ETIMEDOUT;
    return ready < 0 && errno != EINTR ? errno : 0;
}

/* So much fits at once where poll(2) says that there is room in a pipe: with
** more, a descriptor that blocks would wait in write (pipe(7), PIPE_BUF). */
static size_t write_piece(int fd, const char *s, size_t len, int *problem)
{
    ssize_t n = write(fd, s, len < PIPE_BUF ? len : PIPE_BUF);

    if (n >= 0)
        return (size_t)n;
    if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
        *problem = errno;
    return 0;
}

/*
** write(fd, text) --> true; or nil, why and an error's number. Writes all of
** it, also where the descriptor does not block: it waits for the reader, after
** a signal for 2 seconds at a time.
*/
static int system_write(lua_State *L)
{
    int fd = (int)luaL_checkinteger(L, 1);
    size_t len;
    const char *s = luaL_checklstring(L, 2, &len);
    int problem = 0;

    while (len > 0 && problem == 0) {
        size_t n = 0;

        problem = wait_for_output(fd);
        if (problem == 0)
            n = write_piece(fd, s, len, &problem);
        s += n;
        len -= n;
    }
    if (problem == 0) {
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, strerror(problem));
    lua_pushinteger(L, problem);
    return 3;
}

/* isatty(fd) --> whether a descriptor is a terminal. */
static int system_isatty(lua_State *L)
{
    lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
    return 1;
}

/* terminal_width(fd) --> columns of a terminal; nil where it does not say. */
static int system_terminal_width(lua_State *L)
{
    struct winsize size = {0};

    if (ioctl((int)luaL_checkinteger(L, 1), TIOCGWINSZ, &size) != 0 ||
        size.ws_col == 0)
        return 0;
    lua_pushinteger(L, size.ws_col);
    return 1;
}

/* file_stamp(path) --> what changes when a file is replaced or written to, by
** size, time and place on the disk; nil where there is none. */
static int system_file_stamp(lua_State *L)
{
    struct stat st;
    char text[128];

    if (stat(lpgmig_check_name(L, 1), &st) != 0)
        return 0;
    snprintf(text, sizeof text, "%jd %ju %jd.%09ld", (intmax_t)st.st_size,
             (uintmax_t)st.st_ino, (intmax_t)st.st_mtim.tv_sec,
             st.st_mtim.tv_nsec);
    lua_pushstring(L, text);
    return 1;
}

/* hostname() --> this machine's name. */
static int system_hostname(lua_State *L)
{
    char name[256] = "";

    (void)gethostname(name, sizeof name - 1); /* then it has none */
    lua_pushstring(L, name);
    return 1;
}

/* token() --> 16 random hexadecimal digits. */
static int system_token(lua_State *L)
{
    unsigned char random[8];
    char text[2 * sizeof random + 1];

    if (getentropy(random, sizeof random) != 0)
        return luaL_error(L, "getentropy: %s", strerror(errno));
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(text + 2 * i, 3, "%02x", random[i]);
    lua_pushstring(L, text);
    return 1;
}

/* random() --> a number from 0 to below 1, not for secrets. */
static int system_random(lua_State *L)
{
    unsigned int bits;

    if (getentropy(&bits, sizeof bits) != 0)
        return luaL_error(L, "getentropy: %s", strerror(errno));
    lua_pushnumber(L, (lua_Number)bits / 4294967296.0);
    return 1;
}

/* A descriptor 0, 1 or 2 that is closed would be a file's or a connection's
** soon, and what is written to standard output would go there. */
static void open_standard_streams(lua_State *L)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            luaL_error(L,
                       "descriptor %d is closed, and /dev/null cannot be "
                       "opened in its place",
                       fd);
}

void lpgmig_open_system(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"now", system_now},
        {"poll", system_poll},
        {"wait_fd", system_wait_fd},
        {"write", system_write},
        {"interrupt_on_signals", system_interrupt_on_signals},
        {"leave_signals_to_lua", system_leave_signals_to_lua},
        {"interrupted", system_interrupted},
        {"isatty", system_isatty},
        {"terminal_width", system_terminal_width},
        {"file_stamp", system_file_stamp},
        {"hostname", system_hostname},
        {"token", system_token},
        {"random", system_random},
        {NULL, NULL}};

    open_standard_streams(L);

    lpgmig_set(L, functions);
}
