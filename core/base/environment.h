/*
** environment.h -- variables that only libpq sees. It reads the process's
** environment whenever it likes; these are in it while libpq is called, where
** the process has none of that name, and nobody else meets them.
*/
#ifndef PGMIG_ENVIRONMENT_H
#define PGMIG_ENVIRONMENT_H

#include "base/base.h"

struct pgmig_environment;

/* Copy a list of names and values in turn, with a NULL behind; NULL: an empty
** one. NULL without memory. */
PGMIG_NODISCARD struct pgmig_environment *
pgmig_environment_new(const char *const *list);
void pgmig_environment_free(struct pgmig_environment *environment);

/* Set the variables, and take them away again. Between the two the process's
** other threads must not look at the environment. -1: no memory, and none is
** set. */
PGMIG_NODISCARD int
pgmig_environment_enter(struct pgmig_environment *environment);
void pgmig_environment_leave(struct pgmig_environment *environment);

#endif
