/*
** heading.h -- a comment that names a direction, as the heading of a section
** does: "DOWN (rollback)", "@UNDO", "Rollback script", "002_users: down".
*/
#ifndef PGMIG_HEADING_H
#define PGMIG_HEADING_H

#include "text/text.h"

/* How much a comment says so, the least first. */
enum pgmig_heading_force {
    PGMIG_HEADING_NONE,     /* no heading, or prose */
    PGMIG_HEADING_WORDED,   /* words with a direction among them */
    PGMIG_HEADING_LABELLED, /* a direction, set apart from what else it says */
    PGMIG_HEADING_BARE      /* a direction, and nothing else */
};

struct pgmig_heading {
    enum pgmig_heading_force force;
    enum pgmig_direction direction;
    bool capitals; /* the direction alone is written in capitals */
    bool loose;    /* "revert", "reverse": as often what goes up does */
    bool mild;     /* of something, or that there is none of it */
};

/* What one line of comment names; [start, end) is its text. */
struct pgmig_heading pgmig_heading_read(const char *text, size_t start,
                                        size_t end);

/* Whether a line of comment is a marker, misspelt: its text word for word, but
** for a letter or two. */
bool pgmig_heading_resembles(const char *text, size_t start, size_t end,
                             const char *marker);

#endif
