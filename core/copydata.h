/* copydata.h -- the data behind COPY ... FROM STDIN in a file. */
#ifndef PGMIG_COPYDATA_H
#define PGMIG_COPYDATA_H

#include "lexer.h"

/*
** Find the data of a COPY that has just ended, with a semicolon or without:
** the lines behind it, up to one that holds only \. (as psql reads them).
** Sets copy_start and copy_end and moves the lexer behind the data.
*/
PGMIG_NODISCARD int pgmig_copydata_find(struct pgmig_lexer *lx,
                                        struct pgmig_statement *st,
                                        bool semicolon,
                                        struct pgmig_error *err);

#endif
