/*
** phrase.h -- a line of comment as words, as far as they tell whether it names
** a direction.
*/
#ifndef PGMIG_PHRASE_H
#define PGMIG_PHRASE_H

#include <stdbool.h>
#include <stddef.h>

#define PGMIG_PHRASE_WORDS 32 /* a longer comment is prose */

enum pgmig_role {
    PGMIG_ROLE_PLAIN,
    PGMIG_ROLE_FILLER, /* says nothing of its own: "migration", "the" */
    PGMIG_ROLE_OF,     /* a filler in front of what it is about */
    PGMIG_ROLE_PLACE,  /* a filler that tells where: "below" */
    PGMIG_ROLE_END,
    PGMIG_ROLE_SAYS, /* makes a sentence: "is", "must" */
    PGMIG_ROLE_NOT,  /* denies */
    PGMIG_ROLE_ROLL, /* "roll back": a direction with the next one */
    PGMIG_ROLE_BACK,
    PGMIG_ROLE_OUT,   /* "back out": the same */
    PGMIG_ROLE_ALONE, /* "fallback": a direction where it says nothing else */
    PGMIG_ROLE_UP,
    PGMIG_ROLE_DOWN,
    PGMIG_ROLE_BACKWARD /* "revert": may be what goes up, too */
};

/* What stands between a word and the one before it. */
enum pgmig_gap {
    PGMIG_GAP_BLANK,
    PGMIG_GAP_JOINT, /* they are one: "undo-log", "down_payments" */
    PGMIG_GAP_BREAK  /* a colon, a dash, brackets */
};

struct pgmig_word {
    size_t start, end;
    enum pgmig_role role;
    enum pgmig_gap gap;
};

struct pgmig_phrase {
    const char *text;
    size_t end;
    struct pgmig_word words[PGMIG_PHRASE_WORDS];
    size_t count;
    bool cut; /* it has more words */
};

/* Split [start, end) of valid UTF-8, in one line. */
void pgmig_phrase_read(struct pgmig_phrase *phrase, const char *text,
                       size_t start, size_t end);

/* Whether there is a word or number at all. */
bool pgmig_phrase_any(const char *text, size_t start, size_t end);

#endif
