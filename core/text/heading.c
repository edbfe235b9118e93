/*
** heading.c -- a comment that names a direction.
**
** Three readings are tried, from the surest on: nothing but a direction; one in
** front, with what it is about behind it; one at the end. What reads like a
** sentence is none of them: comments speak of rollbacks all the time, and each
** false alarm refuses a good file. doubt.c decides what to make of a heading,
** by the SQL around it.
*/
#include "text/heading.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "text/phrase.h"

#define FEW 5   /* words that a heading may have beside the direction */
#define FEWER 3 /* ... in front of it */

/* ---- what they say ----------------------------------------------------- */

static bool is_filler(const struct pgmig_word *w)
{
    return w->role >= PGMIG_ROLE_FILLER && w->role <= PGMIG_ROLE_END;
}

static bool has_role(const struct pgmig_phrase *line, enum pgmig_role role)
{
    for (size_t i = 0; i < line->count; i++)
        if (line->words[i].role == role)
            return true;
    return false;
}

/* It makes a sentence of the words around it. */
static bool is_verb(const struct pgmig_word *w)
{
    return w->role == PGMIG_ROLE_SAYS || w->role == PGMIG_ROLE_NOT;
}

/* The roles are in an order for this one and the next: ALONE, a direction only
** where nothing else is said, stands in front of UP. */
static bool is_direction(const struct pgmig_word *w)
{
    return w->role >= PGMIG_ROLE_UP;
}

static bool is_direction_alone(const struct pgmig_word *w)
{
    return w->role >= PGMIG_ROLE_ALONE;
}

/* It tells the direction apart: capitals, where others have small letters. */
static bool in_capitals(const struct pgmig_phrase *line,
                        const struct pgmig_word *direction)
{
    bool others = false;

    for (size_t i = direction->start; i < direction->end; i++)
        if (islower((unsigned char)line->text[i]))
            return false;
    for (size_t i = 0; i < line->count; i++)
        for (size_t at = line->words[i].start; at < line->words[i].end; at++)
            others = others || islower((unsigned char)line->text[at]);
    return others;
}

/* Behind the end of what goes up is what goes down: "end of up". A word that
** backwards migrations share with ordinary changes ("revert") is `loose`. */
static struct pgmig_heading heading(const struct pgmig_phrase *line,
                                    const struct pgmig_word *direction,
                                    enum pgmig_heading_force force)
{
    bool up = direction->role == PGMIG_ROLE_UP;
    bool ends = up && has_role(line, PGMIG_ROLE_END);

    return (struct pgmig_heading){
        .force = force,
        .direction = up && !ends ? PGMIG_UP : PGMIG_DOWN,
        .mild = ends || direction->role == PGMIG_ROLE_ALONE,
        .capitals = in_capitals(line, direction),
        .loose = direction->role == PGMIG_ROLE_BACKWARD ||
                 direction->role == PGMIG_ROLE_ALONE};
}

static struct pgmig_heading nothing(void)
{
    return (struct pgmig_heading){.force = PGMIG_HEADING_NONE};
}

/* Both directions: "up and down" names none, "up above, down below" the one
** that is below. */
static struct pgmig_heading read_both(const struct pgmig_phrase *line,
                                      const struct pgmig_word *down)
{
    struct pgmig_heading found = heading(line, down, PGMIG_HEADING_BARE);

    found.mild = true;
    return has_role(line, PGMIG_ROLE_PLACE) || has_role(line, PGMIG_ROLE_END)
               ? found
               : nothing();
}

/* Nothing but a direction. */
static struct pgmig_heading read_bare(const struct pgmig_phrase *line)
{
    const struct pgmig_word *first = NULL;
    const struct pgmig_word *other = NULL;

    if (line->cut)
        return nothing();
    for (size_t i = 0; i < line->count; i++) {
        const struct pgmig_word *w = &line->words[i];

        if (!is_direction_alone(w) && !is_filler(w))
            return nothing();
        if (first != NULL && is_direction_alone(w) &&
            first->role == PGMIG_ROLE_UP && w->role != PGMIG_ROLE_UP)
            other = w;
        if (first == NULL && is_direction_alone(w))
            first = w;
    }
    if (other != NULL)
        return read_both(line, other);
    return first ? heading(line, first, PGMIG_HEADING_BARE) : nothing();
}

/* The comment holds the statement itself: "Rollback: DROP TABLE users;".
** Nothing that follows it is its way back. */
static bool holds_statement(const struct pgmig_phrase *line, size_t first)
{
    static const char *const verbs[] = {
        "alter",  "begin", "call",   "comment", "create",  "delete",
        "do",     "drop",  "grant",  "insert",  "rename",  "revoke",
        "select", "set",   "update", "with",    "truncate"};
    const struct pgmig_word *w = &line->words[first];
    size_t end = line->end;

    while (end > w->start && isspace((unsigned char)line->text[end - 1]))
        end--;
    if (line->text[end - 1] != ';')
        return false;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strlen(verbs[i]) == w->end - w->start &&
            strncasecmp(verbs[i], line->text + w->start, w->end - w->start) ==
                0)
            return true;
    return false;
}

/* Words behind the direction make a sentence: a verb, or many of them. Behind
** one in capitals there may be a whole explanation. */
static bool is_sentence(const struct pgmig_phrase *line, size_t first,
                        bool capitals)
{
    size_t plain = 0;

    for (size_t i = first; i < line->count; i++) {
        enum pgmig_role role = line->words[i].role;

        if (role == PGMIG_ROLE_NOT ||
            (role == PGMIG_ROLE_SAYS && (i == first || !capitals)))
            return true;
        plain += role == PGMIG_ROLE_PLAIN;
    }
    return !capitals && (line->cut || plain > FEW);
}

/* A direction in front, and behind it whatever it is about. "down_payments" is
** one name, and no direction. */
static struct pgmig_heading read_front(const struct pgmig_phrase *line)
{
    const struct pgmig_word *words = line->words;
    struct pgmig_heading found;
    size_t direction = 0;
    size_t i;

    /* "The rollback of ...": fillers in front say nothing */
    while (direction < line->count && is_filler(&words[direction]))
        direction++;
    if (direction + 1 >= line->count || !is_direction(&words[direction]) ||
        words[direction].gap == PGMIG_GAP_JOINT ||
        words[direction + 1].gap == PGMIG_GAP_JOINT)
        return nothing();
    /* what it is about begins at the first word that says something, or behind
    ** a colon, dash or bracket */
    for (i = direction + 1; i < line->count && words[i].gap != PGMIG_GAP_BREAK;
         i++)
        if (!is_filler(&words[i]) && !is_direction(&words[i]))
            break;
    /* nothing else is said: that was read_bare's */
    if (i == line->count)
        return nothing();
    found = heading(line, &words[direction], PGMIG_HEADING_WORDED);
    if (words[i].gap != PGMIG_GAP_BREAK && is_sentence(line, i, found.capitals))
        return nothing();
    if (words[i].gap == PGMIG_GAP_BREAK || words[i - 1].role == PGMIG_ROLE_OF)
        found.force = PGMIG_HEADING_LABELLED;
    found.mild =
        found.mild || words[i].gap != PGMIG_GAP_BREAK || is_verb(&words[i]);
    return holds_statement(line, i) ? nothing() : found;
}

static bool is_number(const struct pgmig_phrase *line,
                      const struct pgmig_word *w)
{
    return isdigit((unsigned char)line->text[w->start]);
}

/* A direction that is joined to the word before it: whether they are a file's
** name, as in "002_users.down.sql". `at` becomes where that begins. */
static bool is_file_name(const struct pgmig_phrase *line, size_t *at)
{
    const struct pgmig_word *last = &line->words[line->count - 1];
    bool dot = line->text[line->words[*at].start - 1] == '.';
    bool sql = last->end - last->start == 3 && last->gap == PGMIG_GAP_JOINT &&
               strncasecmp(line->text + last->start, "sql", 3) == 0;

    while (*at > 0 && line->words[*at].gap == PGMIG_GAP_JOINT)
        (*at)--;
    return dot || sql || is_number(line, &line->words[*at]);
}

/* What stands before a direction leaves it one: nothing denies it ("no
** rollback") or names the other one, and it is no word of a sentence that is
** set apart. */
static bool leaves_it(const struct pgmig_phrase *line, size_t at, bool apart)
{
    for (size_t i = 0; i < at; i++) {
        const struct pgmig_word *w = &line->words[i];

        if (w->role == PGMIG_ROLE_NOT || is_direction(w) ||
            (apart && w->role == PGMIG_ROLE_SAYS))
            return false;
    }
    return true;
}

/* A direction at the end, and what it is about in front of it: "users table:
** rollback", "002_users.down.sql". Not set apart, only a few words may stand
** before it, or it is the end of a sentence. */
static struct pgmig_heading read_back(const struct pgmig_phrase *line)
{
    const struct pgmig_word *words = line->words;
    const struct pgmig_word *direction = NULL;
    size_t i = line->count;
    bool apart;

    if (line->cut)
        return nothing();
    /* backwards over directions and fillers, to where a gap sets them apart */
    while (i > 0 && (is_filler(&words[i - 1]) || is_direction(&words[i - 1]))) {
        if (is_direction(&words[--i]))
            direction = &words[i];
        if (direction != NULL && words[i].gap != PGMIG_GAP_BLANK)
            break;
    }
    if (direction == NULL || i == 0)
        return nothing();
    apart = words[i].gap == PGMIG_GAP_BREAK;
    if (words[i].gap == PGMIG_GAP_JOINT) {
        apart = is_file_name(line, &i);
        if (!apart)
            return nothing();
    }
    if (!leaves_it(line, i, apart) || (!apart && i > FEWER))
        return nothing();
    return heading(line, direction,
                   apart ? PGMIG_HEADING_LABELLED : PGMIG_HEADING_WORDED);
}

static bool has(const char *text, size_t start, size_t end, const char *part)
{
    return memmem(text + start, end - start, part, strlen(part)) != NULL;
}

/* What pg_dump writes above each object (pg_backup_archiver.c, _printTocEntry),
** with names that are anybody's: "Name: rollback; Type: TABLE; Schema: public;
** Owner: down". */
static bool is_of_dump(const char *text, size_t start, size_t end)
{
    static const char *const begins[] = {
        " Name: ", " Data for Name: ", " Statistics for Name: "};

    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++)
        if (end - start > strlen(begins[i]) &&
            memcmp(text + start, begins[i], strlen(begins[i])) == 0)
            return has(text, start, end, "; Type: ") &&
                   has(text, start, end, "; Schema: ") &&
                   has(text, start, end, "; Owner: ");
    return false;
}

struct pgmig_heading pgmig_heading_read(const char *text, size_t start,
                                        size_t end)
{
    struct pgmig_heading found;
    struct pgmig_phrase line;

    if (is_of_dump(text, start, end))
        return nothing();
    pgmig_phrase_read(&line, text, start, end);
    found = read_bare(&line);
    if (found.force == PGMIG_HEADING_NONE)
        found = read_front(&line);
    if (found.force == PGMIG_HEADING_NONE)
        found = read_back(&line);
    return found;
}

/* ---- misspelt markers -------------------------------------------------- */

static char small(char c)
{
    return (char)tolower((unsigned char)c);
}

/* Whether a becomes b by at most k letters more, less, other or exchanged.
** Equal beginnings are passed over, and k is 2 at most: few branches are
** left. */
static bool is_within(const char *a, size_t n, const char *b, size_t m, int k)
{
    while (n > 0 && m > 0 && small(*a) == small(*b)) {
        a++, n--;
        b++, m--;
    }
    if (n == 0 || m == 0)
        return n + m <= (size_t)k;
    if (k == 0)
        return false;
    return is_within(a + 1, n - 1, b + 1, m - 1, k - 1) ||
           is_within(a + 1, n - 1, b, m, k - 1) ||
           is_within(a, n, b + 1, m - 1, k - 1) ||
           (n > 1 && m > 1 && small(a[0]) == small(b[1]) &&
            small(a[1]) == small(b[0]) &&
            is_within(a + 2, n - 2, b + 2, m - 2, k - 1));
}

/* The first letter or digit, small; NUL: there is none. */
static char first_letter(const char *text, size_t start, size_t end)
{
    while (start < end && !isalnum((unsigned char)text[start]))
        start++;
    return start < end ? small(text[start]) : '\0';
}

/* Short words have many neighbours ("up" is near "us"): of two letters all must
** be right, of up to six all but one, and the first one always. */
static bool resembles(const struct pgmig_phrase *have,
                      const struct pgmig_phrase *want, size_t i)
{
    const char *a = have->text + have->words[i].start;
    const char *b = want->text + want->words[i].start;
    size_t n = have->words[i].end - have->words[i].start;
    size_t m = want->words[i].end - want->words[i].start;

    return small(*a) == small(*b) && is_within(a, n, b, m,
                                               m < 3   ? 0
                                               : m < 7 ? 1
                                                       : 2);
}

/* A marker of one word must be all of the comment: behind longer ones there may
** be more, as behind the marker itself. */
bool pgmig_heading_resembles(const char *text, size_t start, size_t end,
                             const char *marker)
{
    struct pgmig_phrase have;
    struct pgmig_phrase want;

    if (first_letter(text, start, end) !=
        first_letter(marker, 0, strlen(marker)))
        return false; /* most are not: that is all to be looked at */
    pgmig_phrase_read(&want, marker, 0, strlen(marker));
    pgmig_phrase_read(&have, text, start, end);
    if (have.count < want.count || (want.count == 1 && have.count > 1))
        return false;
    for (size_t i = 0; i < want.count; i++)
        if (!resembles(&have, &want, i))
            return false;
    return want.count > 0;
}
