/* connfile.h -- the files that libpq reads for a connection. */
#ifndef PGMIG_CONNFILE_H
#define PGMIG_CONNFILE_H

#include "wire/wire.h"

/* Refuse what would keep libpq waiting, such as a FIFO. `name`: of the
** parameter or variable, which is said; `path`: its value, which is not; NULL:
** none. Kind "usage". */
PGMIG_NODISCARD int pgmig_connfile_check(const char *name, const char *path,
                                         struct pgmig_error *err);

/* The same of the service file that the environment names. */
PGMIG_NODISCARD int pgmig_connfile_check_service(struct pgmig_error *err);

/* Whether a parameter of libpq's names a file. */
bool pgmig_connfile_named(const char *keyword);

#endif
