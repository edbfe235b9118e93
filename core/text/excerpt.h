/* excerpt.h -- a part of a script's text, whether the script is held or not. */
#ifndef PGMIG_EXCERPT_H
#define PGMIG_EXCERPT_H

#include "text/stream.h"

struct pgmig_excerpt {
    struct pgmig_script script; /* the same, with the part as its text */
    struct pgmig_stream stream;
};

/* Have [start, end) and the lines around it. Close it when that worked. */
PGMIG_NODISCARD int pgmig_excerpt_open(struct pgmig_excerpt *e,
                                       const struct pgmig_script *script,
                                       size_t start, size_t end,
                                       struct pgmig_error *err);
/* Where the line `line` (from 1) of what begins at `start` stands. */
PGMIG_NODISCARD int pgmig_excerpt_line(const struct pgmig_script *script,
                                       size_t start, int line, size_t *offset,
                                       struct pgmig_error *err);
void pgmig_excerpt_close(struct pgmig_excerpt *e);

#endif
