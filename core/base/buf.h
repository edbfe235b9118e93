/* buf.h -- a growable byte buffer that remembers running out of memory. */
#ifndef PGMIG_BUF_H
#define PGMIG_BUF_H

#include "base/base.h"

struct pgmig_buf {
    char *data; /* NUL behind len bytes once anything was added */
    size_t len;
    size_t cap;
    bool failed; /* sticky: an addition found no memory */
};

/* Add len bytes, a string, formatted text. Nothing is returned: look at
** `failed` when all has been added. What is added must not be part of the
** buffer itself, which may move. */
void pgmig_buf_add(struct pgmig_buf *buf, const char *data, size_t len);
void pgmig_buf_adds(struct pgmig_buf *buf, const char *s);
void pgmig_buf_addf(struct pgmig_buf *buf, const char *fmt, ...)
    PGMIG_PRINTF(2, 3);
/* Have room for `more` bytes and a NUL behind them: false, as ever after, where
** there is no memory. */
bool pgmig_buf_reserve(struct pgmig_buf *buf, size_t more);
/* Free the data and zero the buffer, which may be used again; a zeroed one may
** be freed. */
void pgmig_buf_free(struct pgmig_buf *buf);

/* Room for one more element in an array that holds `count` of them, of `size`
** bytes each; NULL starts one. Returns where the array is now, or NULL without
** memory: the old one is still there then, and still the caller's. */
PGMIG_NODISCARD void *pgmig_grow(void *array, size_t count, size_t size);

/* A copy of len bytes with a NUL behind them; NULL without memory. */
PGMIG_NODISCARD char *pgmig_strndup(const char *s, size_t len);

#endif
