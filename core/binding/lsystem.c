/* lsystem.c -- what plain Lua lacks: poll(2), a clock, signals, terminals. */
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "lpgmig.h"

/* now() --> seconds of a clock that never jumps; only differences count. */
static int system_now(lua_State *L)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    lua_pushnumber(L, (lua_Number)ts.tv_sec + (lua_Number)ts.tv_nsec / 1e9);
    return 1;
}

static short events_of(const char *want)
{
    short events = 0;

    if (strchr(want, 'r') != NULL)
        events |= POLLIN;
    if (strchr(want, 'w') != NULL)
        events |= POLLOUT;
    return events;
}

/* Seconds to whole milliseconds, never less than asked; < 0: no limit. */
static int milliseconds(lua_Number seconds)
{
    if (seconds < 0)
        return -1;
    return seconds > 2e6 ? 2000000000 : (int)ceil(seconds * 1000);
}

/*
** poll(fds, wants, seconds) --> a list of booleans, which are ready.
** Two lists of the same length; seconds < 0 waits without limit. A signal
** ends the wait early.
*/
static int system_poll(lua_State *L)
{
    lua_Number seconds = luaL_checknumber(L, 3);
    struct pollfd *set;
    int n;

    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, 2, LUA_TTABLE);
    n = (int)lpgmig_length(L, 1);
    set = lua_newuserdata(L, ((size_t)n + 1) * sizeof *set);
    for (int i = 0; i < n; i++) {
        lua_rawgeti(L, 1, i + 1);
        lua_rawgeti(L, 2, i + 1);
        set[i].fd = (int)luaL_checkinteger(L, -2);
        set[i].events = events_of(luaL_checkstring(L, -1));
        set[i].revents = 0;
        lua_pop(L, 2);
    }
    if (poll(set, (nfds_t)n, milliseconds(seconds)) < 0 && errno != EINTR)
        return luaL_error(L, "poll: %s", strerror(errno));
    lua_createtable(L, n, 0);
    for (int i = 0; i < n; i++) {
        lua_pushboolean(L, set[i].revents != 0);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* wait_fd(fd, "r" | "w" | "rw", seconds) --> whether it is ready. */
static int system_wait_fd(lua_State *L)
{
    struct pollfd one = {.fd = (int)luaL_checkinteger(L, 1),
                         .events = events_of(luaL_checkstring(L, 2))};

    if (poll(&one, 1, milliseconds(luaL_checknumber(L, 3))) < 0 &&
        errno != EINTR)
        return luaL_error(L, "poll: %s", strerror(errno));
    lua_pushboolean(L, one.revents != 0);
    return 1;
}

/* A signal is remembered for the process: handlers get no other argument. */
static volatile sig_atomic_t interrupted;

static void remember(int signo)
{
    interrupted = signo;
}

/* interrupt_on_signals(): SIGINT and SIGTERM are remembered from now on. */
static int system_interrupt_on_signals(lua_State *L)
{
    struct sigaction action = {.sa_handler = remember};

    (void)L;
    sigemptyset(&action.sa_mask); /* no SA_RESTART: poll must return */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
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

void lpgmig_open_system(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"now", system_now},
        {"poll", system_poll},
        {"wait_fd", system_wait_fd},
        {"interrupt_on_signals", system_interrupt_on_signals},
        {"interrupted", system_interrupted},
        {"isatty", system_isatty},
        {"terminal_width", system_terminal_width},
        {"hostname", system_hostname},
        {"token", system_token},
        {"random", system_random},
        {NULL, NULL}};

    lpgmig_set(L, functions);
}
