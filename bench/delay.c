/*
** delay.c -- a link with latency: a proxy that hands on what comes after a
** fixed time, each way, and counts round trips.
**
**     delay LISTEN SERVER MILLISECONDS REPORT
**
** LISTEN and SERVER are paths of unix sockets. Bandwidth is not limited: what
** comes is read at once and waits with its time in a queue of its direction.
** Connecting is not delayed, as it would be with TCP, by a round trip.
**
** A round trip is an answer to what the client sent while nothing was under
** way on its connection, in either direction: then somebody has waited for the
** link. What a client sends while answers still come counts nothing, and so
** does what gets no answer. The proxy ends with its standard input and writes
** to REPORT how many connections and how many round trips there were.
*/
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "../spec/support/unix_socket.h"

#define LINKS 128UL
#define CHUNK 65536
#define QUEUE_MAX (64UL << 20) /* bytes on their way, in one direction */
#define NS 1000000000L

enum side { CLIENT, SERVER };

struct chunk {
    struct chunk *next;
    long due; /* ns */
    size_t start, len;
    bool end; /* the sender has closed its side */
    char data[];
};

struct queue {
    struct chunk *first, *last;
    size_t bytes;
};

struct link {
    struct queue to[2]; /* what is on its way to a side */
    int fd[2];
    bool used;
    bool ended[2]; /* a side says nothing more */
    bool told[2];  /* a side has been told so of the other one */
    bool asked;    /* by the client, when nothing was under way */
};

static struct link links[LINKS];
static long delay; /* ns */
static long connections, round_trips;

static long now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * NS + ts.tv_nsec;
}

static enum side other(enum side side)
{
    return side == CLIENT ? SERVER : CLIENT;
}

/* ---- queues ---------------------------------------------------------- */

static void put(struct queue *q, const char *data, size_t len, bool end)
{
    struct chunk *c = malloc(sizeof *c + len);

    if (c == NULL)
        fail("malloc");
    *c = (struct chunk){.due = now_ns() + delay, .len = len, .end = end};
    if (len > 0)
        memcpy(c->data, data, len);
    if (q->first == NULL)
        q->first = c;
    else
        q->last->next = c;
    q->last = c;
    q->bytes += len;
}

static void drop_first(struct queue *q)
{
    struct chunk *c = q->first;

    q->first = c->next;
    free(c);
}

static bool is_due(const struct queue *q)
{
    return q->first != NULL && q->first->due <= now_ns();
}

/* ---- one connection -------------------------------------------------- */

static void cut(struct link *l)
{
    for (int side = CLIENT; side <= SERVER; side++) {
        close(l->fd[side]);
        while (l->to[side].first != NULL)
            drop_first(&l->to[side]);
    }
    l->used = false;
}

static bool is_silent(const struct link *l)
{
    return l->to[CLIENT].first == NULL && l->to[SERVER].first == NULL;
}

static void count(struct link *l, enum side from)
{
    if (from == CLIENT && is_silent(l))
        l->asked = true;
    if (from == SERVER && l->asked) {
        l->asked = false;
        round_trips++;
    }
}

static void receive(struct link *l, enum side side)
{
    static char chunk[CHUNK];
    ssize_t n = recv(l->fd[side], chunk, sizeof chunk, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0) {
        count(l, side);
    } else {
        l->ended[side] = true;
        n = 0;
    }
    put(&l->to[other(side)], chunk, (size_t)n, n == 0);
}

/* Hands on the first chunk, or a part of it; false when there is no more to
   do now. */
static bool hand_on(struct link *l, enum side side)
{
    struct queue *q = &l->to[side];
    struct chunk *c = q->first;
    ssize_t n;

    if (!is_due(q))
        return false;
    if (c->end) {
        shutdown(l->fd[side], SHUT_WR);
        l->told[side] = true;
        drop_first(q);
        return false;
    }
    n = send(l->fd[side], c->data + c->start, c->len, MSG_NOSIGNAL);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            cut(l);
        return false;
    }
    c->start += (size_t)n;
    c->len -= (size_t)n;
    q->bytes -= (size_t)n;
    if (c->len == 0)
        drop_first(q);
    return true;
}

static void serve(struct link *l, enum side side, short revents)
{
    if (l->used && !l->ended[side] && (revents & (POLLIN | POLLHUP | POLLERR)))
        receive(l, side);
    while (l->used && hand_on(l, side))
        ;
    if (l->used && l->told[CLIENT] && l->told[SERVER])
        cut(l);
}

static short events_of(const struct link *l, enum side side)
{
    short events = 0;

    if (!l->ended[side] && l->to[other(side)].bytes < QUEUE_MAX)
        events |= POLLIN;
    if (is_due(&l->to[side]))
        events |= POLLOUT;
    return events;
}

/* ---- the loop -------------------------------------------------------- */

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
    connections++;
    *l = (struct link){.used = true, .fd = {fd[CLIENT], fd[SERVER]}};
}

/* Until the next chunk is due; NULL: there is none that waits for its time. */
static const struct timespec *patience(void)
{
    static struct timespec wait;
    long now = now_ns();
    long next = 0;

    for (size_t i = 0; i < 2 * LINKS; i++) {
        const struct link *l = &links[i / 2];
        const struct chunk *c = l->used ? l->to[i % 2].first : NULL;

        if (c != NULL && c->due > now && (next == 0 || c->due < next))
            next = c->due;
    }
    if (next == 0)
        return NULL;
    wait = (struct timespec){(next - now) / NS, (next - now) % NS};
    return &wait;
}

static void loop(int listener, const char *server)
{
    static struct pollfd set[2 + 2 * LINKS];

    for (;;) {
        const struct timespec *wait = patience();

        set[0] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
        set[1] = (struct pollfd){.fd = free_link() != NULL ? listener : -1,
                                 .events = POLLIN};
        for (size_t i = 0; i < 2 * LINKS; i++) {
            const struct link *l = &links[i / 2];
            short events = l->used ? events_of(l, (enum side)(i % 2)) : 0;

            set[2 + i] = (struct pollfd){.fd = events ? l->fd[i % 2] : -1,
                                         .events = events};
        }
        if (ppoll(set, 2 + 2 * LINKS, wait, NULL) < 0 && errno != EINTR)
            fail("ppoll");
        if (set[0].revents != 0)
            return;
        for (size_t i = 0; i < 2 * LINKS; i++)
            serve(&links[i / 2], (enum side)(i % 2), set[2 + i].revents);
        if (set[1].revents != 0)
            accept_client(listener, server);
    }
}

static void report(const char *path)
{
    FILE *file = fopen(path, "w");

    if (file == NULL)
        fail(path);
    fprintf(file, "%ld %ld\n", connections, round_trips);
    fclose(file);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "delay LISTEN SERVER MILLISECONDS REPORT\n");
        return 2;
    }
    delay = (long)(strtod(argv[3], NULL) * 1e6);
    loop(listen_on(argv[1], LINKS), argv[2]);
    report(argv[4]);
    unlink(argv[1]);
    return 0;
}
