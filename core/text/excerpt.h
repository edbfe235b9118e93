/* excerpt.h -- a part of a script's text, whether the script is held or not. */
#ifndef PGMIG_EXCERPT_H
#define PGMIG_EXCERPT_H

#include "text/stream.h"

struct pgmig_excerpt {
    struct pgmig_script script; /* the same, with the part as its text */
    struct pgmig_stream stream;
};

/* Have [start, end) and the lines around it, as e->script.text: offsets in it
** are those of the file. e->script lends all else of `script`. Close it when
** that worked. -1, kind "io", where a streamed file cannot be read any more. */
PGMIG_NODISCARD int pgmig_excerpt_open(struct pgmig_excerpt *e,
                                       const struct pgmig_script *script,
                                       size_t start, size_t end,
                                       struct pgmig_error *err);
/* Where the line `line` (from 1) of what begins at `start` stands; the last one
** where there are fewer. */
PGMIG_NODISCARD int pgmig_excerpt_line(const struct pgmig_script *script,
                                       size_t start, int line, size_t *offset,
                                       struct pgmig_error *err);
void pgmig_excerpt_close(struct pgmig_excerpt *e);

#endif
