/* utf8.h -- text as UTF-8: checked, counted, and shown. */
#ifndef PGMIG_UTF8_H
#define PGMIG_UTF8_H

#include "base/base.h"

/* The offset of the first invalid sequence, or len when there is none. */
size_t pgmig_utf8_check(const char *text, size_t len);

/* The same, and a NUL is none: what a file of text may hold. */
size_t pgmig_utf8_check_text(const char *text, size_t len);

/* The number of characters in len bytes of valid text. */
size_t pgmig_utf8_count(const char *text, size_t len);

/* The number of line feeds in len bytes. */
size_t pgmig_count_newlines(const char *text, size_t len);

/* The byte offset of the n-th character (from 0), at most len. */
size_t pgmig_utf8_offset(const char *text, size_t len, size_t n);

/* Write the UTF-8 of a character, U+10FFFF at most: how many bytes that are, at
** most 4. */
size_t pgmig_utf8_encode(unsigned long character, char out[4]);

/*
** A copy (malloc) in which every character can be seen that would do something
** else to a terminal or a log than to be shown: control characters as \x1b,
** those beyond ASCII and marks of the writing direction as \u202e, bytes that
** are no UTF-8 as \xff. Tabs stay, and the ends of lines, unless `one_line`
** wants them as \n, too. NULL without memory.
*/
PGMIG_NODISCARD char *pgmig_visible(const char *text, size_t len, bool one_line,
                                    size_t *out_len);

/* Whether a text has printable ASCII only, and so is shown as it is. */
bool pgmig_visible_is_plain(const char *text, size_t len);

#endif
