/* script.h -- a migration file, for the files about it. */
#ifndef PGMIG_SCRIPT_H
#define PGMIG_SCRIPT_H

#include "text/text.h"

/* What txcheck.c looks at: all about transactions. */
#define PGMIG_T_NOTABLE                                      \
    (PGMIG_T_TX_BEGIN | PGMIG_T_TX_COMMIT | PGMIG_T_TX_SET | \
     PGMIG_T_TX_REFUSED | PGMIG_T_NO_BLOCK)

/* Free what parsing has made of a script: statements, directives, warnings.
** Neither its text nor its path, nor the script. */
void pgmig_script_clear(struct pgmig_script *script);

/* Let an error point into the file: file, line, column, and the line's text.
** Its kind and message stay. Returns -1, so that a function can return it. */
int pgmig_script_point(const struct pgmig_script *script, size_t offset,
                       struct pgmig_error *err);

#endif
