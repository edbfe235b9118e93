/*
** source.h -- a file's text, of which a part is there: a window.
**
** Offsets are those of the file. A text that is held is a window that has all
** of it and never moves; the window of a file that is read piece by piece moves
** forwards. What stands outside of it is read from the file again, for as long
** as it takes to look at it.
*/
#ifndef PGMIG_SOURCE_H
#define PGMIG_SOURCE_H

#include "text/text.h"

/* Bytes of a line that an error carries: nobody reads a longer one on a
** terminal. */
#ifndef PGMIG_LINE_SHOWN
#define PGMIG_LINE_SHOWN 4096
#endif

/* Hold a text: `len` bytes with a NUL behind them, from malloc, which are the
** source's from now on, also on failure. Refuses what is no text. Close it
** whatever is returned; `path` must stay valid, and so must `origin`, the file
** that it was made of (NULL: it is the file's text). */
PGMIG_NODISCARD int pgmig_source_hold(struct pgmig_source *s, const char *path,
                                      char *text, size_t len,
                                      const struct pgmig_origin *origin,
                                      struct pgmig_error *err);

/* Open a file to read it piece by piece: nothing of it is there yet. The same
** counts for closing and `path`. */
PGMIG_NODISCARD int pgmig_source_open(struct pgmig_source *s, const char *path,
                                      struct pgmig_error *err);

/* Let go of the text. Places can still be shown: from the file. */
void pgmig_source_close(struct pgmig_source *s);

/* Read more of the file. What stands before `keep` is let go, but for its line
** where that is short enough to be shown. Refuses what is no text. */
PGMIG_NODISCARD int pgmig_source_more(struct pgmig_source *s, size_t keep,
                                      struct pgmig_error *err);

/* How many bytes at the window's start are a byte order mark: 3 or 0. */
size_t pgmig_source_bom(const struct pgmig_source *s);

/* Have [start, end) and the lines around it there, in `out`, which lends what
** is there already. Close that when it worked. -1, kind "io", where the file
** cannot be read any more. */
PGMIG_NODISCARD int pgmig_source_show(const struct pgmig_source *s,
                                      size_t start, size_t end,
                                      struct pgmig_source *out,
                                      struct pgmig_error *err);

/* Where the line `line` (from 1) of what begins at `start` stands; the last one
** where there are fewer. */
PGMIG_NODISCARD int pgmig_source_line(const struct pgmig_source *s,
                                      size_t start, int line, size_t *offset,
                                      struct pgmig_error *err);

/* Let an error point into the file: file, line, column, and the line's text.
** Its kind and message stay. Returns -1, so that a function can return it. */
int pgmig_source_point(const struct pgmig_source *s, size_t offset,
                       struct pgmig_error *err);

#endif
