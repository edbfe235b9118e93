/* connurl.h -- URLs of databases, and what was meant to be one. */
#ifndef PGMIG_CONNURL_H
#define PGMIG_CONNURL_H

#include "wire/wire.h"

/* Whether libpq takes it for a URL. */
bool pgmig_connurl_is(const char *s);

/* Refuse a URL that libpq cannot read, or would read in another way than it was
** meant. Kind "usage", as below. */
PGMIG_NODISCARD int pgmig_connurl_check(const char *s, struct pgmig_error *err);

/* Refuse what has "://" in it, and is no URL for libpq. Returns -1. */
int pgmig_connurl_refuse_other(const char *s, struct pgmig_error *err);

/* Refuse quotes, spaces and the like before or behind, and control characters.
 */
PGMIG_NODISCARD int pgmig_connurl_check_start(const char *s,
                                              struct pgmig_error *err);
PGMIG_NODISCARD int pgmig_connurl_check_end(const char *s,
                                            struct pgmig_error *err);

/* Refuse with the form of a URL as the hint. Returns -1. */
int pgmig_connurl_refuse(struct pgmig_error *err, const char *what);

#endif
