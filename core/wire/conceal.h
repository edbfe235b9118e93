/* conceal.h -- what libpq and servers repeat of a connection's parameters. */
#ifndef PGMIG_CONCEAL_H
#define PGMIG_CONCEAL_H

#include <libpq-fe.h>

#include "wire/wire.h"

/* A copy (malloc) of a text about a connection in which the values of its
** parameters, in quotes, are replaced by the parameters' names: a password may
** have come into any of them. Host, port, user and database stay, as nobody
** could find a mistake otherwise. NULL without memory. */
PGMIG_NODISCARD char *pgmig_conceal(PGconn *pg, const char *text);

#endif
