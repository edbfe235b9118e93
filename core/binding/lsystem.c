/* lsystem.c -- what plain Lua lacks: poll(2), a clock, signals, terminals. */
#include <errno.h>
#include <math.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
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

/* wait_fd(fd, "r" | "w" | "rw", seconds) --> whether it is ready. Seconds
** may be a fraction of a millisecond. Keeps nothing: any thread may call it. */
static int system_wait_fd(lua_State *L)
{
    struct pollfd one = {.fd = (int)luaL_checkinteger(L, 1),
                         .events = events_of(luaL_checkstring(L, 2))};
    lua_Number seconds = fmin(fmax(luaL_checknumber(L, 3), 0), 2e6);
    struct timespec limit = {.tv_sec = (time_t)seconds};

    limit.tv_nsec = (long)((seconds - (lua_Number)limit.tv_sec) * 1e9);
    if (ppoll(&one, 1, &limit, NULL) < 0 && errno != EINTR)
        return luaL_error(L, "poll: %s", strerror(errno));
    lua_pushboolean(L, one.revents != 0);
    return 1;
}

#define ADDRESSES_MAX 16
#define ADDRESS_SIZE 80 /* IPv6, with the name of an interface */

/* The addresses of a name as text: how many, or -1 and why not. */
static int look_up(const char *name, char list[][ADDRESS_SIZE],
                   const char **why)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int status = getaddrinfo(name, NULL, &hints, &found);
    int n = 0;

    if (status != 0) {
        *why = gai_strerror(status);
        return -1;
    }
    for (struct addrinfo *a = found; a && n < ADDRESSES_MAX; a = a->ai_next)
        if (getnameinfo(a->ai_addr, a->ai_addrlen, list[n], ADDRESS_SIZE, NULL,
                        0, NI_NUMERICHOST) == 0)
            n++;
    freeaddrinfo(found);
    return n;
}

/*
** resolve(name) --> a list of numeric addresses, as the system's resolver
** gives them; or nil and why not. Waits; any thread may call it.
*/
static int system_resolve(lua_State *L)
{
    char list[ADDRESSES_MAX][ADDRESS_SIZE];
    const char *why;
    int n = look_up(luaL_checkstring(L, 1), list, &why);

    if (n < 0) {
        lua_pushnil(L);
        lua_pushstring(L, why);
        return 2;
    }
    lua_createtable(L, n, 0);
    for (int i = 0; i < n; i++) {
        lua_pushstring(L, list[i]);
        lua_rawseti(L, -2, i + 1);
    }
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

void lpgmig_open_system(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"now", system_now},
        {"poll", system_poll},
        {"wait_fd", system_wait_fd},
        {"resolve", system_resolve},
        {"interrupt_on_signals", system_interrupt_on_signals},
        {"interrupted", system_interrupted},
        {"isatty", system_isatty},
        {"terminal_width", system_terminal_width},
        {"file_stamp", system_file_stamp},
        {"hostname", system_hostname},
        {"token", system_token},
        {"random", system_random},
        {NULL, NULL}};

    lpgmig_set(L, functions);
}
