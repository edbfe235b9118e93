/* file.h -- regular files. */
#ifndef PGMIG_FILE_H
#define PGMIG_FILE_H

#include <sys/types.h>

#include "base/base.h"

/* A descriptor to read a regular file from, and its size at that moment; -1 and
** an error that names the file, and what it is where it is none. */
PGMIG_NODISCARD int pgmig_file_open(const char *path, off_t *size,
                                    struct pgmig_error *err);

/* As pgmig_file_read, but no more than `most` bytes. */
PGMIG_NODISCARD int pgmig_file_head(const char *path, size_t most, char **text,
                                    size_t *len, struct pgmig_error *err);

/* What some put in the place of a file that is not to count. */
#define PGMIG_NULL_DEVICE "the null device"

/* What is there instead of a regular file: "a FIFO"; NULL: one, or nothing. */
const char *pgmig_file_kind(const char *path);

/* Whether something is there, whatever it is. */
bool pgmig_file_exists(const char *path);

#endif
