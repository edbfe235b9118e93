/* connparam.h -- libpq's parameters by name, what others call them, and the
** files that they name. */
#ifndef PGMIG_CONNPARAM_H
#define PGMIG_CONNPARAM_H

#include "wire/wire.h"

/*
** Refuse a name that libpq does not know, with what is meant. `number`: its
** place in a connection string, where it is only said when it is one that
** other programs use, as it may be a piece of a password; 0: it is the
** caller's own word.
*/
PGMIG_NODISCARD int pgmig_connparam_check(const char *name, size_t len,
                                          int number, struct pgmig_error *err);

/* The same of all of the caller's keywords; a NULL ends them. */
PGMIG_NODISCARD int pgmig_connparam_check_all(const char *const *keywords,
                                              struct pgmig_error *err);

/* Refuse a connection string: what is wrong with it, as a sentence about "it",
** and what to do. Returns -1. */
int pgmig_connparam_invalid(struct pgmig_error *err, const char *what,
                            const char *hint);

/* The parameter of libpq's that a text names, NULL: none. A constant. */
const char *pgmig_connparam_in(const char *text);

/* The values that a parameter takes, for people; NULL: not listed. */
const char *pgmig_connparam_values(const char *name);

/* Refuse what would keep libpq waiting, such as a FIFO. `name`: of the
** parameter or variable, which is said; `path`: its value, which is not; NULL:
** none. Kind "usage". */
PGMIG_NODISCARD int pgmig_connparam_check_file(const char *name,
                                               const char *path,
                                               struct pgmig_error *err);

/* The same of the service file that the environment names. */
PGMIG_NODISCARD int pgmig_connparam_check_service(struct pgmig_error *err);

#endif
