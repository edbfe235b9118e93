/* copydata.h -- the data behind COPY ... FROM STDIN in a file. */
#ifndef PGMIG_COPYDATA_H
#define PGMIG_COPYDATA_H

#include "text/lexer.h"

enum pgmig_found {
    PGMIG_FOUND_SOME,
    PGMIG_FOUND_END,  /* and nothing behind it */
    PGMIG_FOUND_MORE, /* the text that is there does not tell */
    PGMIG_FOUND_ERROR
};

/* A COPY that is not ended by a semicolon has no data. Returns -1. */
int pgmig_copydata_missing(struct pgmig_error *err);

/* The lexer stands behind the semicolon of a COPY: move it to the next line,
** where the data begins (PGMIG_FOUND_SOME). */
enum pgmig_found pgmig_copydata_begin(struct pgmig_lexer *lx,
                                      struct pgmig_error *err);

/* The whole lines of data that are there; behind the last ones, the line \\.
** is passed over (PGMIG_FOUND_END; there may be none left). */
enum pgmig_found pgmig_copydata_next(struct pgmig_lexer *lx, size_t *start,
                                     size_t *end, struct pgmig_error *err);

#endif
