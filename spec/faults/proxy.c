/*
** proxy.c -- stands between a client and a PostgreSQL server, counts the
** client's messages, and commits one fault at the K-th of them.
**
**     proxy LISTEN SERVER MODE K REPORT [PIDFILE]
**
** LISTEN and SERVER are paths of unix sockets. K may be several numbers, with
** commas between them. MODE is one of
**   none      no fault
**   slow      no fault, but the client's side is read SLOW_MS apart
**   before    both sides are closed, the message is not forwarded
**   after     it is forwarded, then both sides are closed
**   half      half of it is forwarded, then both sides are closed
**   orphan    it is forwarded, then only the client's side is closed
**   stall     nothing passes any more, both sides stay open
**   swallow   it is forwarded, no answer comes back
**   torn      it is forwarded, half of what the server then sends comes back,
**             and both sides are closed
**   late      it is forwarded more than a second later
**   kill      the process of PIDFILE gets SIGKILL, the message is not
**             forwarded; killed: the same, but it is
** The fault hits one connection; others pass. The proxy ends with its
** standard input, and writes to REPORT how many messages there were and the
** type of the one that met the fault.
**
** A message is a startup packet (no type, length, code) or has a type and a
** length (PostgreSQL manual, "Message Formats"). Cancel requests are passed
** on and not counted: they come from signals, at any time.
*/
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../support/unix_socket.h"

#define LINKS 128
#define FAULTS 8
#define LATE_MS 1100 /* about when the client has given up (1 s) ... */
#define LATER_MS 150 /* ... and up to three times so much later */
#define SLOW_MS 60
#define TICK_MS 20 /* while a message is held, or a side is slow */
#define CHUNK 65536
#define PROTOCOL_3 196608U
#define CANCEL_REQUEST 80877102U

enum side { CLIENT, SERVER };

enum action {
    NOTHING,
    SLOW,    /* no fault */
    CUT,     /* close both sides */
    ORPHAN,  /* close the client's side */
    STALL,   /* nothing passes */
    SWALLOW, /* no answer passes */
    TEAR,    /* half of the answer passes, then both sides are closed */
    DELAY,   /* nothing passes for a while */
    KILL     /* the client's process */
};

static const struct mode {
    const char *name;
    bool forward; /* the message */
    bool half;    /* of it only */
    enum action then;
} modes[] = {{"none", true, false, NOTHING}, {"slow", true, false, SLOW},
             {"before", false, false, CUT},  {"after", true, false, CUT},
             {"half", true, true, CUT},      {"orphan", true, false, ORPHAN},
             {"stall", false, false, STALL}, {"swallow", true, false, SWALLOW},
             {"torn", true, false, TEAR},    {"late", true, false, DELAY},
             {"kill", false, false, KILL},   {"killed", true, false, KILL}};

struct pending {
    char data[CHUNK + 16];
    size_t start, len;
};

struct link {
    bool used;
    int fd[2];             /* by side; -1: closed */
    struct pending out[2]; /* what is to be written to a side */
    unsigned char head[8]; /* of the client's message that begins */
    size_t head_len;
    size_t left;  /* bytes of it that are still forwarded */
    bool started; /* the startup packet is over */
    bool stalled, swallowing, tearing;
    long next_read;   /* of the client's side; ms */
    long held_until;  /* what is meant for the server waits; ms */
    enum action then; /* when all is forwarded */
};

static struct link links[LINKS];
static const struct mode *mode = modes;
static long fault_at[FAULTS];
static size_t faults;
static long messages;
static char fault_type = '-';
static const char *pid_file;

static long now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static bool held(const struct link *l)
{
    return l->held_until > now_ms();
}

static void close_side(struct link *l, enum side side)
{
    if (l->fd[side] >= 0)
        close(l->fd[side]);
    l->fd[side] = -1;
}

static void cut(struct link *l)
{
    close_side(l, CLIENT);
    close_side(l, SERVER);
    l->used = false;
}

static struct link *free_link(void)
{
    for (size_t i = 0; i < LINKS; i++)
        if (!links[i].used)
            return &links[i];
    return NULL;
}

static void accept_client(int listener, const char *server)
{
    struct link *l = free_link();
    int fd[2];

    if (l == NULL || !accept_pair(listener, server, fd))
        return;
    memset(l, 0, sizeof *l);
    l->used = true;
    l->fd[CLIENT] = fd[0];
    l->fd[SERVER] = fd[1];
}

/* ---- the client's messages ------------------------------------------- */

static void put(struct pending *p, const void *data, size_t len)
{
    memcpy(p->data + p->start + p->len, data, len);
    p->len += len;
}

static unsigned be32(const unsigned char *b)
{
    return (unsigned)b[0] << 24 | (unsigned)b[1] << 16 | (unsigned)b[2] << 8 |
           b[3];
}

static void kill_client(void)
{
    FILE *file = fopen(pid_file ? pid_file : "", "r");
    int pid;

    if (file == NULL)
        return;
    if (fscanf(file, "%d", &pid) == 1)
        kill(pid, SIGKILL);
    fclose(file);
}

/* What the fault is, once what it lets pass has passed. */
static void act(struct link *l)
{
    enum action then = l->then;

    l->then = NOTHING;
    if (then == KILL)
        kill_client();
    if (then == CUT || then == KILL)
        cut(l);
    else if (then == ORPHAN)
        close_side(l, CLIENT);
    l->stalled = l->stalled || then == STALL || then == ORPHAN;
    l->swallowing = l->swallowing || then == SWALLOW;
    l->tearing = l->tearing || then == TEAR;
}

static bool is_cancel(const struct link *l)
{
    return !l->started && be32(l->head + 4) == CANCEL_REQUEST;
}

/* Whether a message meets the fault. */
static bool is_met(long message)
{
    for (size_t i = 0; i < faults; i++)
        if (fault_at[i] == message)
            return true;
    return false;
}

/* How much of a message of this length passes. */
static size_t passing(struct link *l, size_t length)
{
    if (is_cancel(l) || !is_met(++messages) || mode->then == SLOW)
        return length;
    fault_type = l->started ? (char)l->head[0] : 'S';
    l->then = mode->then;
    if (mode->then == DELAY)
        l->held_until = now_ms() + LATE_MS + messages % 4 * LATER_MS;
    if (!mode->forward)
        return 0;
    return mode->half ? length / 2 : length;
}

/* The header is complete. */
static void begin_message(struct link *l)
{
    size_t length =
        l->started ? 1 + (size_t)be32(l->head + 1) : (size_t)be32(l->head);
    size_t pass = passing(l, length);
    size_t now = pass < l->head_len ? pass : l->head_len;

    put(&l->out[SERVER], l->head, now);
    l->left = pass - now;
    if (!l->started && be32(l->head + 4) == PROTOCOL_3)
        l->started = true;
    l->head_len = 0;
}

static void take(struct link *l, const char *data, size_t len)
{
    while (len > 0 && l->then == NOTHING) {
        size_t wanted = l->started ? 5 : 8;
        size_t n;

        if (l->left == 0) {
            n = wanted - l->head_len < len ? wanted - l->head_len : len;
            memcpy(l->head + l->head_len, data, n);
            l->head_len += n;
            if (l->head_len == wanted)
                begin_message(l);
        } else {
            n = l->left < len ? l->left : len;
            put(&l->out[SERVER], data, n);
            l->left -= n;
        }
        data += n;
        len -= n;
    }
    /* the rest of the message that met the fault */
    if (len > 0 && l->left > 0) {
        size_t n = l->left < len ? l->left : len;

        put(&l->out[SERVER], data, n);
        l->left -= n;
    }
}

/* ---- moving bytes ---------------------------------------------------- */

static void flush(struct link *l, enum side side)
{
    struct pending *p = &l->out[side];
    ssize_t n;

    if (p->len == 0 || l->fd[side] < 0 || held(l))
        return;
    n = send(l->fd[side], p->data + p->start, p->len, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        cut(l);
        return;
    }
    if (n > 0) {
        p->start += (size_t)n;
        p->len -= (size_t)n;
    }
    if (p->len == 0)
        p->start = 0;
}

static void receive(struct link *l, enum side side)
{
    static char chunk[CHUNK];
    enum side other = side == CLIENT ? SERVER : CLIENT;
    ssize_t n = recv(l->fd[side], chunk, sizeof chunk, 0);

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        cut(l);
        return;
    }
    if (n < 0)
        return;
    if (side == CLIENT) {
        take(l, chunk, (size_t)n);
        l->next_read = mode->then == SLOW ? now_ms() + SLOW_MS : 0;
    } else if (!l->swallowing)
        put(&l->out[other], chunk, (size_t)(l->tearing ? n / 2 : n));
    if (side == SERVER && l->tearing) {
        flush(l, CLIENT);
        cut(l);
    }
}

/* Whether a side may be read: what it says has a place to go. */
static bool readable(const struct link *l, enum side side)
{
    enum side other = side == CLIENT ? SERVER : CLIENT;

    if (l->stalled || held(l) || l->fd[side] < 0)
        return false;
    if (side == CLIENT && l->next_read > now_ms())
        return false;
    return l->out[other].len == 0 &&
           (side == SERVER || l->then == NOTHING || l->left > 0);
}

static short events_of(const struct link *l, enum side side)
{
    short events = 0;

    if (readable(l, side))
        events |= POLLIN;
    if (l->out[side].len > 0 && !held(l))
        events |= POLLOUT;
    return events;
}

static void serve(struct link *l, enum side side, short revents)
{
    if (l->used && l->fd[side] >= 0 && (revents & POLLOUT))
        flush(l, side);
    if (l->used && l->fd[side] >= 0 && (revents & (POLLIN | POLLHUP)) &&
        readable(l, side))
        receive(l, side);
    if (l->used)
        flush(l, SERVER);
    if (l->used && l->then != NOTHING && l->left == 0 &&
        l->out[SERVER].len == 0)
        act(l);
}

/* ---- the loop -------------------------------------------------------- */

static void report(const char *path)
{
    FILE *file = fopen(path, "w");

    if (file == NULL)
        fail(path);
    fprintf(file, "%ld %c\n", messages, fault_type);
    fclose(file);
}

static int patience(void)
{
    for (size_t i = 0; i < LINKS; i++)
        if (links[i].used && (held(&links[i]) || mode->then == SLOW))
            return TICK_MS;
    return -1;
}

static void loop(int listener, const char *server)
{
    static struct pollfd set[2 + 2 * LINKS];

    for (;;) {
        set[0] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
        set[1] = (struct pollfd){.fd = free_link() != NULL ? listener : -1,
                                 .events = POLLIN};
        for (size_t i = 0; i < 2 * LINKS; i++) {
            const struct link *l = &links[i / 2];
            short events = l->used ? events_of(l, (enum side)(i % 2)) : 0;

            set[2 + i] = (struct pollfd){.fd = events ? l->fd[i % 2] : -1,
                                         .events = events};
        }
        if (poll(set, 2 + 2 * LINKS, patience()) < 0 && errno != EINTR)
            fail("poll");
        if (set[0].revents != 0)
            return;
        for (size_t i = 0; i < 2 * LINKS; i++)
            if (set[2 + i].revents != 0)
                serve(&links[i / 2], (enum side)(i % 2), set[2 + i].revents);
        if (set[1].revents != 0)
            accept_client(listener, server);
    }
}

static const struct mode *find_mode(const char *name)
{
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (strcmp(modes[i].name, name) == 0)
            return &modes[i];
    fprintf(stderr, "unknown mode %s\n", name);
    exit(2);
}

static void read_faults(const char *list)
{
    for (char *end; faults < FAULTS && *list != '\0'; list = end) {
        fault_at[faults++] = strtol(list, &end, 10);
        if (*end == ',')
            end++;
    }
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        fprintf(stderr, "proxy LISTEN SERVER MODE K REPORT [PIDFILE]\n");
        return 2;
    }
    mode = find_mode(argv[3]);
    read_faults(argv[4]);
    pid_file = argv[6];
    loop(listen_on(argv[1], LINKS), argv[2]);
    report(argv[5]);
    unlink(argv[1]);
    return 0;
}
