/* locate.h -- from a byte offset to line, column and the line's text. */
#ifndef PGMIG_LOCATE_H
#define PGMIG_LOCATE_H

#include "text/text.h"

/* Bytes of a line that an error carries: nobody reads a longer one on a
** terminal. */
#ifndef PGMIG_LINE_SHOWN
#define PGMIG_LINE_SHOWN 4096
#endif

/* Find `offset` in a text, from line 1 (`place` zeroed) or from an answer for a
** smaller offset on. pgmig_locate always begins at line 1. */
void pgmig_locate_from(const char *text, size_t len, size_t offset,
                       struct pgmig_place *place);
struct pgmig_place pgmig_locate(const char *text, size_t len, size_t offset);

/* The offset at which line `line` (from 1) of a range starts. */
size_t pgmig_locate_line(const char *text, size_t start, size_t end, int line);

/* Make an error point at an offset: file, line, column, the line's text. The
** text is there from the line `origin` on; NULL: from its start. */
void pgmig_locate_error(struct pgmig_error *err, const char *path,
                        const char *text, size_t len, size_t offset,
                        const struct pgmig_place *origin);

/* Refuse the byte at an offset, which is no text. Returns -1. */
int pgmig_locate_no_text(struct pgmig_error *err, const char *path,
                         const char *text, size_t len, size_t offset,
                         const struct pgmig_place *origin);

#endif
