/*
** buf.c -- growable memory.
**
** Who builds a text adds to it as often as it likes and asks `failed` once, at
** the end. After the first failure nothing is added any more, so that no text
** ever comes out with a hole in it; what was there stays and has to be freed.
*/
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Doubling keeps the cost of a text that is built byte by byte linear in its
** length. */
bool pgmig_buf_reserve(struct pgmig_buf *buf, size_t more)
{
    size_t need = buf->len + more + 1;
    size_t cap = buf->cap ? buf->cap : 64;
    char *data;

    if (buf->failed)
        return false;
    if (need <= buf->cap)
        return true;
    while (cap < need)
        cap *= 2;
    data = realloc(buf->data, cap);
    if (data == NULL) {
        buf->failed = true;
        return false;
    }
    buf->data = data;
    buf->cap = cap;
    return true;
}

/* Adding nothing still writes the NUL: an empty text gets its data that way. */
void pgmig_buf_add(struct pgmig_buf *buf, const char *data, size_t len)
{
    if (!pgmig_buf_reserve(buf, len))
        return;
    if (len > 0)
        memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
}

void pgmig_buf_adds(struct pgmig_buf *buf, const char *s)
{
    pgmig_buf_add(buf, s, strlen(s));
}

void pgmig_buf_addf(struct pgmig_buf *buf, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0 || !pgmig_buf_reserve(buf, (size_t)n))
        return;
    /* vsnprintf has used up the first ap */
    va_start(ap, fmt);
    vsnprintf(buf->data + buf->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    buf->len += (size_t)n;
}

void pgmig_buf_free(struct pgmig_buf *buf)
{
    free(buf->data);
    *buf = (struct pgmig_buf){0};
}

/* No capacity is kept beside the array: it is the next power of two, and all
** that use this have one field fewer to keep in step. */
void *pgmig_grow(void *array, size_t count, size_t size)
{
    if (array != NULL && (count & (count - 1)) != 0)
        return array; /* only a power of two can be full */
    return realloc(array, (count ? count * 2 : 1) * size);
}

char *pgmig_strndup(const char *s, size_t len)
{
    char *copy = malloc(len + 1);

    if (copy == NULL)
        return NULL;
    if (len > 0)
        memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}
