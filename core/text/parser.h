/* parser.h -- a file while it is parsed: its items become sections. */
#ifndef PGMIG_PARSER_H
#define PGMIG_PARSER_H

#include "text/doubt.h"
#include "text/split.h"
#include "text/source.h"
#include "text/txcheck.h"
#include "text/vocabulary.h"

#define PGMIG_NOWHERE ((size_t)-1)

struct pgmig_parser {
    struct pgmig_script *script;
    const struct pgmig_vocabulary *words;
    struct pgmig_splitter splitter;
    struct pgmig_section *section; /* the current one; UP before a marker */
    struct pgmig_item marker;      /* has ended a statement; comes next */
    size_t cut;                    /* where such a one stands */
    bool suspected;                /* the file was warned of a placeholder */
    size_t
        opening; /* of the next that may be one; what is before it was seen */
    struct pgmig_doubts doubts;
    struct pgmig_lo_watch lo;
    struct pgmig_error *err;
};

/* Begin; the script has its source. */
void pgmig_parser_init(struct pgmig_parser *p, struct pgmig_script *script,
                       const struct pgmig_vocabulary *words,
                       struct pgmig_error *err);

/* The text at an offset, which is there: of an item until the next one. */
const char *pgmig_parser_at(const struct pgmig_parser *p, size_t offset);

/* Let p->err point at an offset. Returns -1. */
int pgmig_parser_point(const struct pgmig_parser *p, size_t offset);

/* Note for the script's author what stands at an offset. -1 only without
** memory. */
PGMIG_NODISCARD int pgmig_parser_warn(struct pgmig_parser *p, size_t offset,
                                      const char *message);

/* Go on: true with a statement, or a piece of COPY data, of p->section; false
** at the end, and for an error. */
bool pgmig_parser_next(struct pgmig_parser *p, struct pgmig_item *item);

#endif
