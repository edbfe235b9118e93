/*
** doubt.h -- comments that name a direction and are no marker: what stands
** behind one of them may be a way back that would run as UP.
*/
#ifndef PGMIG_DOUBT_H
#define PGMIG_DOUBT_H

#include "text/heading.h"
#include "text/split.h"
#include "text/vocabulary.h"

/* A line of comment, and what was seen around it. */
struct pgmig_doubt {
    size_t at;     /* for messages */
    size_t behind; /* the whole comment's end */
    size_t start, end;
    enum pgmig_meaning meaning; /* NEARLY, MISSPELT, FOREIGN: `marker` */
    const struct pgmig_marker *marker;
    struct pgmig_heading heading;
    bool alone;     /* on its line */
    bool inside;    /* a statement has begun above it */
    bool below;     /* its section has SQL above it */
    bool title;     /* it is the file's first comment */
    bool sectioned; /* a section's marker or heading stands above it */
    bool told;      /* another comment with words follows */
    bool held;      /* ... and holds a statement: the way back, in comments */
};

struct pgmig_doubts {
    struct pgmig_doubt open; /* whose SQL has not come yet; end 0: none */
    /* The first that counts in a file without markers, in one without DOWN,
    ** and in any; end 0: none. */
    struct pgmig_doubt unmarked, without_down, always;
    bool worked;   /* the section has a statement */
    bool spoken;   /* the file has a comment with words */
    bool up_named; /* a heading that is no marker named UP */
};

struct pgmig_parser;

/* A comment that is no marker. */
void pgmig_doubt_comment(struct pgmig_parser *p, const struct pgmig_item *item,
                         const struct pgmig_comment *comment);

/* A statement, of which the comments so far stood above or inside. */
void pgmig_doubt_statement(struct pgmig_parser *p,
                           const struct pgmig_statement *st);

/* A section begins. */
void pgmig_doubt_section(struct pgmig_parser *p);

/* The end of the file: refuse what would run in the wrong direction. */
PGMIG_NODISCARD int pgmig_doubt_check(struct pgmig_parser *p);

#endif
