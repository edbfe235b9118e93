/*
** classify.h -- what a statement is, as far as the engine must know: all that
** is read of its text is read here, once.
*/
#ifndef PGMIG_CLASSIFY_H
#define PGMIG_CLASSIFY_H

#include "text/text.h"

/* Fill in what a statement's text says, from `kind` to `index`. How strings are
** read is known where the statement stands. */
void pgmig_classify(struct pgmig_statement *st, const char *sql, size_t len,
                    bool standard_strings);

#endif
