/*
** connfile.c -- the files that libpq reads for a connection.
**
** libpq opens them without O_NONBLOCK: a FIFO, or a device that says nothing,
** would keep the program waiting for ever, past every time-out. /dev/null is
** how people say "no file".
*/
#include "wire/connfile.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"

/* A path that cannot be looked at is libpq's to complain of. */
int pgmig_connfile_check(const char *name, const char *path,
                         struct pgmig_error *err)
{
    const char *kind = path != NULL ? pgmig_file_kind(path) : NULL;

    if (kind == NULL || strcmp(kind, PGMIG_NULL_DEVICE) == 0)
        return 0;
    return pgmig_error_set(err, PGMIG_E_USAGE,
                           "%s names %s, not a regular file", name, kind);
}

int pgmig_connfile_check_service(struct pgmig_error *err)
{
    return pgmig_connfile_check("PGSERVICEFILE", getenv("PGSERVICEFILE"), err);
}

/* Of one file each. sslcrldir is a folder, and its files have names of their
** own. */
bool pgmig_connfile_named(const char *keyword)
{
    static const char *const names[] = {"passfile",    "sslcert", "sslkey",
                                        "sslrootcert", "sslcrl",  NULL};
    size_t i = 0;

    while (names[i] != NULL && strcmp(names[i], keyword) != 0)
        i++;
    return names[i] != NULL;
}
