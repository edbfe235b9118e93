/*
** liar.c -- stands between a client and a PostgreSQL server, and lies.
**
**     liar LISTEN SERVER SEED
**
** LISTEN and SERVER are paths of unix sockets. What a connection hears is said
** in the options of its startup packet:
**   pgmig.liar=rec.K   the truth, which is remembered as scenario K, all of its
**                      connections in their order
**   pgmig.liar=K.N     scenario K again, without the server, with lies
**   pgmig.liar=K.TI.L.W  the same with one lie, see lie() and say_anything():
**                      to the first connection, for the I-th message of type T
**   pgmig.liar=N       the server, with lies
** and without that, the server. SEED and N alone decide which connection of a
** variant hears lies, at which of the server's messages (PostgreSQL manual,
** "Message Formats"), and which ones. A connection that was lied to and falls
** silent is closed, so that nobody waits; some are left in silence.
** The liar ends with its standard input, and prints how many lies it has told.
*/
#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../support/unix_socket.h"

#define LINKS 64
#define CHUNK 65536
#define QUIET_MS 15 /* then a connection that was lied to is closed */
#define AGAIN_MS 3  /* the same in a scenario, where nobody has work to do */
#define STALL_MS 1000
#define SCENARIOS 100
#define CONNECTIONS 8 /* of a scenario */
#define FLOOD 2000    /* messages */
#define CANCEL_REQUEST 80877102U

enum side { CLIENT, SERVER };

struct bytes {
    unsigned char *data;
    size_t len, cap;
};

/* What a server has said, before the client had sent more. */
struct chunk {
    long points; /* messages of the client's that want an answer, before it */
    struct bytes said;
};

struct transcript {
    struct chunk *chunks;
    size_t count;
};

struct link {
    bool used;
    int fd[2];
    struct bytes in[2];       /* what a side has said, not looked at yet */
    struct bytes out[2];      /* what a side is to hear */
    bool started;             /* the startup packet is over */
    bool chosen;              /* lies are for this one */
    struct transcript *kept;  /* what is remembered of it */
    struct transcript *again; /* what is said to it, in place of a server */
    size_t next;              /* chunk of that */
    long points;
    bool owed;          /* the client waits */
    struct bytes heard; /* the client's message that begins */
    bool lied, stalled, closing;
    bool simple;  /* the client has sent a Query last */
    bool rows;    /* some are on their way to the client */
    long counted; /* messages that a lie might have met */
    long moved;   /* when data went or came; ms */
};

/* What is done in a variant. */
static struct {
    long number;
    int connections;     /* so far */
    int chosen;          /* the one that hears lies */
    char type;           /* of the messages that count; 0: all */
    long at;             /* the first one that is met */
    unsigned again;      /* 0: no other one; n: each n-th on average */
    unsigned lie, other; /* what is said instead of the truth */
    bool stalls;
} plan = {.number = -1};

static struct link links[LINKS];
static struct transcript scenarios[SCENARIOS][CONNECTIONS];
static int recorded = -1, recordings; /* the last scenario, its connections */
static uint64_t seed, state;
static long lies;

static long now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static unsigned any(unsigned below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)((state >> 11) % below);
}

/* ---- bytes ------------------------------------------------------------- */

static void add(struct bytes *b, const void *data, size_t len)
{
    if (b->len + len > b->cap) {
        b->cap = 2 * (b->len + len);
        b->data = realloc(b->data, b->cap);
        if (b->data == NULL)
            fail("memory");
    }
    if (len > 0)
        memcpy(b->data + b->len, data, len);
    b->len += len;
}

static void take_away(struct bytes *b, size_t len)
{
    b->len -= len;
    memmove(b->data, b->data + len, b->len);
}

static unsigned get(const unsigned char *b, int size)
{
    unsigned n = 0;

    for (int i = 0; i < size; i++)
        n = n << 8 | b[i];
    return n;
}

static void set(unsigned char *b, unsigned n, int size)
{
    for (int i = size - 1; i >= 0; i--, n >>= 8)
        b[i] = (unsigned char)n;
}

/* ---- what is done in a variant ------------------------------------------ */

/* How many messages of a type a transcript has; 0: of any. */
static unsigned count_messages(const struct transcript *t, char type)
{
    unsigned n = 0;

    for (size_t i = 0; i < t->count; i++) {
        const struct bytes *said = &t->chunks[i].said;

        for (size_t at = 0; at + 5 <= said->len;
             at += get(said->data + at + 1, 4) + 1)
            n += type == 0 || said->data[at] == (unsigned char)type;
    }
    return n;
}

/* Choose a connection, and one of its messages. */
static void aim(const struct transcript *parts)
{
    static const char types[] = "\0\0\0\0TTTTDDDDDCCCCZZSEN12nGHcK";
    int connections = 0;
    unsigned count;

    while (connections < CONNECTIONS && parts[connections].count > 0)
        connections++;
    plan.chosen = any(10) < 7 || connections == 0 ? 0 : (int)any(connections);
    plan.type = types[any(sizeof types - 1)];
    count = count_messages(&parts[plan.chosen], plan.type);
    if (count == 0) {
        plan.type = 0;
        count = count_messages(&parts[plan.chosen], 0);
    }
    plan.at = (long)any(count > 0 ? count : 1U << any(7));
}

static void make_plan(const struct transcript *parts, long number)
{
    state = (seed * 1000003 + (uint64_t)number) * 0x9E3779B97F4A7C15ULL | 1;
    for (int i = 0; i < 8; i++)
        any(2);
    plan.number = number;
    plan.connections = 0;
    aim(parts);
    plan.again = any(10) < 6 ? 0 : 1 + any(3);
    plan.lie = any(1000);
    plan.other = any(1000);
    plan.stalls = any(200) == 0;
}

/* ---- messages ---------------------------------------------------------- */

static void say_head(struct link *l, char type, unsigned length)
{
    unsigned char head[5] = {(unsigned char)type};

    set(head + 1, length, 4);
    add(&l->out[CLIENT], head, sizeof head);
    if (strchr("TCEIZ", type) != NULL)
        l->rows = type == 'T';
}

/* libpq itself would lose a result that has not ended when a COPY begins, or a
** pipeline ends: that is not looked for here. */
static bool loses(const struct link *l, char type)
{
    return l->rows && (strchr("GHW", type) || (type == 'Z' && !l->simple));
}

static void say(struct link *l, char type, const void *body, size_t len)
{
    if (type != '\0' && loses(l, type)) {
        say_head(l, 'C', 4 + sizeof "SELECT 1");
        add(&l->out[CLIENT], "SELECT 1", sizeof "SELECT 1");
    }
    say_head(l, type, (unsigned)len + 4);
    add(&l->out[CLIENT], body, len);
}

#define TEXT(text) text, sizeof(text) - 1
#define SAY(l, type, text) say(l, type, text, sizeof(text) - 1)

/* Words that a server may say in any place. */
static void say_anything(struct link *l, unsigned which)
{
    static const struct {
        char type;
        const char *text;
        size_t len;
    } words[] = {
        {'G', TEXT("\0\0\1\0\0")},
        {'H', TEXT("\0\0\1\0\0")},
        {'W', TEXT("\0\0\1\0\0")},
        {'I', TEXT("")},
        {'E', TEXT("SERROR\0VERROR\0C42601\0Mno\0\0")},
        {'E', TEXT("\0")},
        {'E', TEXT("SFATAL\0VFATAL\0C57P01\0Mbye\0\0")},
        {'E', TEXT("C23505\0P99999999999\0q7\0p-1\0\0")},
        {'E', TEXT("VERROR\0C22012\0Mdivision by zero\0P999999\0\0")},
        {'N', TEXT("\0")},
        {'N', TEXT("VWARNING\0C25P01\0\0")},
        {'N', TEXT("M\0Hhint\0Dd\0\0")},
        {'Z', TEXT("I")},
        {'Z', TEXT("T")},
        {'Z', TEXT("?")},
        {'C', TEXT("COMMIT\0")},
        {'C', TEXT("\0")},
        {'C', TEXT("SELECT 999999999999999999999999\0")},
        {'C', TEXT("ROLLBACK\0")},
        {'T', TEXT("\0\0")},
        {'T', TEXT("\0\1a\0\0\0\0\0\0\0\0\0\0\x17\0\4\xff\xff\xff\xff\0\0")},
        {'D', TEXT("\0\0")},
        {'D', TEXT("\0\1\0\0\0\1x")},
        {'D', TEXT("\0\1\xff\xff\xff\xff")},
        {'1', TEXT("")},
        {'2', TEXT("")},
        {'n', TEXT("")},
        {'s', TEXT("")},
        {'S', TEXT("client_encoding\0SJIS\0")},
        {'S', TEXT("server_version\0from the moon\0")},
        {'S', TEXT("standard_conforming_strings\0off\0")},
        {'A', TEXT("\0\0\0\1channel\0payload\0")},
        {'c', TEXT("")},
    };
    enum { WORDS = sizeof words / sizeof *words };
    unsigned at = which % (WORDS + 1);

    if (at < WORDS)
        say(l, words[at].type, words[at].text, words[at].len);
    else
        SAY(l, (char)(which % 256), "what is this\0");
}

/* A DataRow with one value that is another one, or none. */
static void say_other_value(struct link *l, const unsigned char *body,
                            size_t len, unsigned which)
{
    static const char *const values[] = {
        "", "x", "t", "-1", "0", "99999999999999999999", "\xff\xfe", "a b c"};
    const char *value = values[which / 8 % 8];
    struct bytes row = {0};
    unsigned columns = len >= 2 ? get(body, 2) : 0;
    unsigned target = columns > 0 ? any(columns) : 0;
    size_t at = 2;

    add(&row, body, len < 2 ? len : 2);
    for (unsigned i = 0; i < columns && at + 4 <= len; i++) {
        unsigned size = get(body + at, 4);
        size_t value_len = size == 0xffffffffU ? 0 : size;
        unsigned char head[4];

        if (at + 4 + value_len > len)
            break;
        if (i != target) {
            add(&row, body + at, 4 + value_len);
        } else if (which % 3 == 0) {
            add(&row, "\xff\xff\xff\xff", 4);
        } else {
            set(head, (unsigned)strlen(value), 4);
            add(&row, head, 4);
            add(&row, value, strlen(value));
        }
        at += 4 + value_len;
    }
    say(l, 'D', row.data, row.len);
    free(row.data);
}

/* A RowDescription with another type, format or name of one column. */
static void say_other_column(struct link *l, unsigned char *body, size_t len,
                             unsigned which)
{
    static const unsigned types[] = {16, 20, 23, 25, 26, 701, 17, 4294967295U};
    unsigned columns = len >= 2 ? get(body, 2) : 0;
    unsigned target = columns > 0 ? any(columns) : 0;
    size_t at = 2;

    for (unsigned i = 0; i < columns && at < len; i++) {
        size_t name = strnlen((char *)body + at, len - at) + 1;

        if (at + name + 18 > len)
            break;
        if (i == target && which % 3 == 0)
            body[at] = 'Q';
        else if (i == target && which % 3 == 1)
            set(body + at + name + 6, types[which / 3 % 8], 4);
        else if (i == target)
            set(body + at + name + 16, 1, 2);
        at += name + 18;
    }
    say(l, 'T', body, len);
}

/* The message as it is but for its count of columns. */
static void say_other_count(struct link *l, char type, unsigned char *body,
                            size_t len, unsigned which)
{
    static const unsigned counts[] = {0, 1, 2, 65535, 32767, 1600};

    if (len >= 2)
        set(body,
            which % 2 ? get(body, 2) + (which % 4 == 1 ? 1U : ~0U)
                      : counts[which / 2 % 6],
            2);
    say(l, type, body, len);
}

static void say_other_length(struct link *l, char type,
                             const unsigned char *body, size_t len,
                             unsigned which)
{
    static const unsigned lengths[] = {
        0, 3, 4, 5, 0x7fffffff, 0xffffffff, 0x20000000, 100000};

    say_head(l, type, lengths[which % 8]);
    add(&l->out[CLIENT], body, len);
}

static void flood(struct link *l, char type, const unsigned char *body,
                  size_t len, unsigned which)
{
    for (int i = 0; i < FLOOD && l->out[CLIENT].len < 4000000; i++) {
        if (which % 2)
            say(l, type, body, len);
        else
            say_anything(l, which / 2);
    }
}

static void lie(struct link *l, char type, unsigned char *body, size_t len)
{
    unsigned which = plan.other;

    l->lied = true;
    lies++;
    switch (plan.lie % 16) {
    case 0: /* nothing is said */
        return;
    case 1:
        say(l, type, body, len);
        say(l, type, body, len);
        return;
    case 2:
    case 3:
        say_anything(l, which);
        return;
    case 4:
    case 5:
        say_anything(l, which);
        say(l, type, body, len);
        return;
    case 6:
        say(l, type, body, len);
        say_anything(l, which);
        return;
    case 7:
        say_other_count(l, type, body, len, which);
        return;
    case 8:
        say_other_length(l, type, body, len, which);
        return;
    case 9: /* the end is missing */
        say(l, type, body, len > 0 ? any((unsigned)len) : 0);
        return;
    case 10:
        for (unsigned i = 0; len > 0 && i <= which % 4; i++)
            body[any((unsigned)len)] ^= (unsigned char)(1U << any(8));
        say(l, type, body, len);
        return;
    case 11:
        if (which % 20 == 0)
            flood(l, type, body, len, which / 20);
        say_anything(l, any(1000));
        return;
    case 12: /* an answer that ends early */
        say_anything(l, which);
        SAY(l, 'Z', "I");
        return;
    default:
        if (type == 'D')
            say_other_value(l, body, len, which);
        else if (type == 'T')
            say_other_column(l, body, len, which);
        else
            say_anything(l, which);
    }
}

static bool meets(struct link *l, char type)
{
    long n;

    if (!l->chosen || (plan.type != 0 && plan.type != type))
        return false;
    n = l->counted++;
    return n == plan.at ||
           (n > plan.at && plan.again > 0 && any(plan.again) == 0);
}

/* Look at what the server has said. */
static void relay(struct link *l)
{
    struct bytes *in = &l->in[SERVER];
    size_t at = 0;

    while (in->len - at >= 5) {
        size_t len = get(in->data + at + 1, 4);
        char type = (char)in->data[at];

        if (in->len - at < len + 1)
            break;
        if (meets(l, type)) {
            lie(l, type, in->data + at + 5, len - 4);
            l->stalled = plan.stalls;
        } else if (!l->stalled) {
            say(l, type, in->data + at + 5, len - 4);
        }
        at += len + 1;
    }
    take_away(in, at);
}

/* ---- the client -------------------------------------------------------- */

/* A connection of a scenario; the last one stands for all behind it. */
static struct transcript *part(struct transcript *parts, int connection)
{
    while (connection > 0 &&
           (connection >= CONNECTIONS || parts[connection].count == 0))
        connection--;
    return &parts[connection];
}

static void begin_variant(struct link *l, const struct transcript *parts,
                          long number)
{
    if (number != plan.number)
        make_plan(parts, number);
    l->chosen = plan.connections++ == plan.chosen;
}

/* One lie, as "T2.3.4", to the first connection that asks for it. */
static void begin_lie(struct link *l, const char *text)
{
    static char last[64];

    if (strncmp(last, text, sizeof last - 1) != 0) {
        snprintf(last, sizeof last, "%s", text);
        plan.number = -1;
        plan.again = plan.at = 0;
        plan.connections = 0;
        plan.stalls = false;
        (void)sscanf(text, "%c%ld.%u.%u", &plan.type, &plan.at, &plan.lie,
                     &plan.other);
    }
    l->chosen = plan.connections++ == 0;
}

/* What the connection is to hear. */
static void choose(struct link *l, const char *value)
{
    char *end;
    long number;

    if (strncmp(value, "rec.", 4) == 0) {
        number = strtol(value + 4, NULL, 10);
        recordings = number == recorded ? recordings + 1 : 0;
        recorded = (int)number;
        if (number < SCENARIOS && recordings < CONNECTIONS)
            l->kept = &scenarios[number][recordings];
        return;
    }
    number = strtol(value, &end, 10);
    if (*end != '.' || number < 0 || number >= SCENARIOS) {
        begin_variant(l, scenarios[0], number);
        return;
    }
    if (strchr(end, '.') != strrchr(end, '.'))
        begin_lie(l, end + 1);
    else
        begin_variant(l, scenarios[number], strtol(end + 1, NULL, 10));
    l->again = part(scenarios[number], plan.connections - 1);
}

/* The startup packet, when all of it has come. */
static void start(struct link *l, const char *server)
{
    static const char option[] = "pgmig.liar=";
    struct bytes *in = &l->in[CLIENT];
    const char *found;

    if (in->len < 8 || in->len < get(in->data, 4))
        return;
    l->started = true;
    l->points = 1;
    add(in, "", 1);
    in->len--;
    found = get(in->data + 4, 4) == CANCEL_REQUEST
                ? NULL
                : memmem(in->data, in->len, option, strlen(option));
    if (found != NULL)
        choose(l, found + strlen(option));
    if (l->again != NULL) {
        in->len = 0;
        return;
    }
    l->fd[SERVER] = connect_to(server);
    l->closing = l->fd[SERVER] < 0;
}

/* Count the client's messages that want an answer. */
static void listen_to(struct link *l)
{
    struct bytes *heard = &l->heard;
    size_t at = 0;

    add(heard, l->in[CLIENT].data, l->in[CLIENT].len);
    while (heard->len - at >= 5 &&
           heard->len - at >= get(heard->data + at + 1, 4) + 1) {
        if (strchr("QSHcf", heard->data[at]) != NULL)
            l->owed = ++l->points > 0;
        if (heard->data[at] == 'Q' || heard->data[at] == 'P')
            l->simple = heard->data[at] == 'Q';
        l->closing = l->closing || heard->data[at] == 'X';
        at += get(heard->data + at + 1, 4) + 1;
    }
    take_away(heard, at);
}

/* ---- scenarios --------------------------------------------------------- */

static void remember(struct link *l, const void *data, size_t len)
{
    struct transcript *t = l->kept;

    if (t->count == 0 || t->chunks[t->count - 1].points != l->points) {
        t->chunks = realloc(t->chunks, (t->count + 1) * sizeof *t->chunks);
        if (t->chunks == NULL)
            fail("memory");
        t->chunks[t->count++] = (struct chunk){.points = l->points};
    }
    add(&t->chunks[t->count - 1].said, data, len);
}

/* Say again what was said at this point. */
static void repeat(struct link *l)
{
    while (l->next < l->again->count &&
           l->again->chunks[l->next].points <= l->points) {
        const struct bytes *said = &l->again->chunks[l->next++].said;

        l->owed = false;
        add(&l->in[SERVER], said->data, said->len);
        relay(l);
    }
}

/* ---- moving bytes ------------------------------------------------------ */

static void cut(struct link *l)
{
    for (int side = CLIENT; side <= SERVER; side++) {
        if (l->fd[side] >= 0)
            close(l->fd[side]);
        free(l->in[side].data);
        free(l->out[side].data);
    }
    free(l->heard.data);
    memset(l, 0, sizeof *l);
}

static void accept_client(int listener)
{
    for (size_t i = 0; i < LINKS; i++) {
        struct link *l = &links[i];

        if (l->used)
            continue;
        l->fd[CLIENT] =
            accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        l->fd[SERVER] = -1;
        l->used = l->fd[CLIENT] >= 0;
        l->moved = now_ms();
        return;
    }
}

static void take_client(struct link *l, const char *server)
{
    bool first = !l->started;

    if (first)
        start(l, server);
    if (!l->started)
        return;
    if (!first)
        listen_to(l);
    if (l->again != NULL)
        repeat(l);
    else
        add(&l->out[SERVER], l->in[CLIENT].data, l->in[CLIENT].len);
    l->in[CLIENT].len = 0;
}

static void receive(struct link *l, enum side side, const char *server)
{
    static char chunk[CHUNK];
    ssize_t n = recv(l->fd[side], chunk, sizeof chunk, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        l->closing = true;
        return;
    }
    l->moved = now_ms();
    add(&l->in[side], chunk, (size_t)n);
    if (side == CLIENT) {
        take_client(l, server);
        return;
    }
    if (l->kept != NULL)
        remember(l, chunk, (size_t)n);
    relay(l);
}

static void flush(struct link *l, enum side side)
{
    struct bytes *out = &l->out[side];
    ssize_t n = 0;

    if (out->len > 0)
        n = send(l->fd[side], out->data, out->len, MSG_NOSIGNAL);
    if (n > 0) {
        l->moved = now_ms();
        take_away(out, (size_t)n);
    } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
        l->closing = true;
        out->len = 0;
    }
}

/* Whether nothing more is to be expected of it. */
static bool is_silent(const struct link *l)
{
    return l->lied || (l->again != NULL && l->owed);
}

/* What both sides do next. */
static void serve(struct link *l, const struct pollfd *set, const char *server)
{
    long quiet = l->stalled ? STALL_MS : l->again != NULL ? AGAIN_MS : QUIET_MS;

    for (int side = CLIENT; side <= SERVER; side++)
        if (set[side].revents & (POLLIN | POLLHUP | POLLERR))
            receive(l, (enum side)side, server);
    if (l->fd[SERVER] >= 0)
        flush(l, SERVER);
    flush(l, CLIENT);
    if (l->closing && l->out[CLIENT].len == 0)
        cut(l);
    else if (is_silent(l) && now_ms() - l->moved > quiet)
        cut(l);
}

static void watch(struct link *l, struct pollfd *set)
{
    for (int side = CLIENT; side <= SERVER; side++) {
        set[side] = (struct pollfd){.fd = l->used ? l->fd[side] : -1};
        if (!l->closing && l->out[1 - side].len < 4 * CHUNK)
            set[side].events |= POLLIN;
        if (l->out[side].len > 0)
            set[side].events |= POLLOUT;
    }
}

static int patience(void)
{
    for (size_t i = 0; i < LINKS; i++)
        if (links[i].used && (is_silent(&links[i]) || links[i].closing))
            return 1;
    return -1;
}

int main(int argc, char **argv)
{
    static struct pollfd set[2 + 2 * LINKS];
    int listener;

    if (argc != 4)
        return 2;
    seed = strtoull(argv[3], NULL, 10);
    listener = listen_on(argv[1], LINKS);
    for (;;) {
        set[0] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
        set[1] = (struct pollfd){.fd = listener, .events = POLLIN};
        for (size_t i = 0; i < LINKS; i++)
            watch(&links[i], &set[2 + 2 * i]);
        if (poll(set, 2 + 2 * LINKS, patience()) < 0 && errno != EINTR)
            fail("poll");
        if (set[0].revents != 0)
            break;
        for (size_t i = 0; i < LINKS; i++)
            if (links[i].used)
                serve(&links[i], &set[2 + 2 * i], argv[2]);
        if (set[1].revents != 0)
            accept_client(listener);
    }
    printf("%ld\n", lies);
    unlink(argv[1]);
    return 0;
}
