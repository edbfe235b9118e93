/*
** error.c -- one failure, with everything that helps to mend it.
**
** All of it works without memory, too: a text for which there is none stays
** NULL, and the kind, which always gets through, says enough.
*/
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

/* Formatted text, malloc; NULL without memory. `ap` is used up. */
static char *format(const char *fmt, va_list ap)
{
    va_list again;
    char *s;
    int n;

    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (n < 0)
        return NULL;
    s = malloc((size_t)n + 1);
    if (s != NULL)
        vsnprintf(s, (size_t)n + 1, fmt, ap);
    return s;
}

void pgmig_error_clear(struct pgmig_error *err)
{
    free(err->message);
    free(err->file);
    free(err->text);
    free(err->detail);
    free(err->hint);
    free(err->context);
    free(err->statement);
    free(err->query);
    *err = (struct pgmig_error){0};
}

int pgmig_error_set(struct pgmig_error *err, enum pgmig_error_kind kind,
                    const char *fmt, ...)
{
    va_list ap;

    pgmig_error_clear(err);
    err->kind = kind;
    va_start(ap, fmt);
    err->message = format(fmt, ap);
    va_end(ap);
    return -1;
}

int pgmig_error_hint(struct pgmig_error *err, const char *fmt, ...)
{
    va_list ap;

    free(err->hint);
    va_start(ap, fmt);
    err->hint = format(fmt, ap);
    va_end(ap);
    return -1;
}

/* No message: the kind is all there is room for, and whoever shows it knows
** what to say. */
int pgmig_error_memory(struct pgmig_error *err)
{
    pgmig_error_clear(err);
    err->kind = PGMIG_E_MEMORY;
    return -1;
}

/* Without memory the field becomes NULL: half an error is still one. */
void pgmig_error_field(char **field, const char *value)
{
    free(*field);
    *field = value ? pgmig_strndup(value, strlen(value)) : NULL;
}

const char *pgmig_error_kind_name(enum pgmig_error_kind kind)
{
    static const char *const names[] = {
        [PGMIG_E_NONE] = "none",     [PGMIG_E_USAGE] = "usage",
        [PGMIG_E_PARSE] = "parse",   [PGMIG_E_NAMING] = "naming",
        [PGMIG_E_PLAN] = "plan",     [PGMIG_E_CONNECT] = "connect",
        [PGMIG_E_SQL] = "sql",       [PGMIG_E_LOCK] = "lock",
        [PGMIG_E_IO] = "io",         [PGMIG_E_UNKNOWN] = "unknown",
        [PGMIG_E_MEMORY] = "memory",
    };

    return names[kind];
}

/* errno becomes text while the arguments are evaluated: pgmig_error_set frees
** the old texts first, and free() may change it. */
int pgmig_error_file(struct pgmig_error *err, const char *what,
                     const char *path)
{
    pgmig_error_set(err, PGMIG_E_IO, "cannot %s: %s", what, strerror(errno));
    pgmig_error_field(&err->file, path);
    return -1;
}
