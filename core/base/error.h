/* error.h -- filling a struct pgmig_error. */
#ifndef PGMIG_ERROR_H
#define PGMIG_ERROR_H

#include "base/base.h"

/* Clear the error, then set its kind and message. Returns -1, so that a
** function can return it. No argument may point into `err`, which is cleared
** before they are read. */
int pgmig_error_set(struct pgmig_error *err, enum pgmig_error_kind kind,
                    const char *fmt, ...) PGMIG_PRINTF(3, 4);

/* Set the hint of an error, in place of the one it has. Returns -1. No argument
** may point into that one. */
int pgmig_error_hint(struct pgmig_error *err, const char *fmt, ...)
    PGMIG_PRINTF(2, 3);

/* Out of memory. Returns -1. */
int pgmig_error_memory(struct pgmig_error *err);

/* The system refused to do something with a file: errno says why. `what` is the
** end of "cannot ...". Kind PGMIG_E_IO. Returns -1. */
int pgmig_error_file(struct pgmig_error *err, const char *what,
                     const char *path);

/* Replace one string of an error by a copy of `value` (NULL stays NULL). */
void pgmig_error_field(char **field, const char *value);

#endif
