/* utf8.h -- PostgreSQL's idea of valid UTF-8, and counting characters. */
#ifndef PGMIG_UTF8_H
#define PGMIG_UTF8_H

#include <stddef.h>

/* The offset of the first invalid sequence, or len when there is none. */
size_t pgmig_utf8_check(const char *text, size_t len);

/* The same, and a NUL is none: what a file of text may hold. */
size_t pgmig_utf8_check_text(const char *text, size_t len);

/* The number of characters in len bytes of valid text. */
size_t pgmig_utf8_count(const char *text, size_t len);

/* The byte offset of the n-th character (from 0), at most len. */
size_t pgmig_utf8_offset(const char *text, size_t len, size_t n);

/* Write the UTF-8 of a character, U+10FFFF at most: how many bytes that are, at
** most 4. */
size_t pgmig_utf8_encode(unsigned long character, char out[4]);

#endif
