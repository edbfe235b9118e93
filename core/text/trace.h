/* trace.h -- from a server's CONTEXT to the line of the file it speaks of. */
#ifndef PGMIG_TRACE_H
#define PGMIG_TRACE_H

#include "text/text.h"

/*
** The line that the CONTEXT of an error names in COPY data; 0 when it speaks
** of none.
*/
int pgmig_trace_copy(const char *context);

/*
** The offset of the line that the CONTEXT of an error names, where it speaks
** of a DO block, or of a routine that statement `index` of a list, or one
** before it, creates; false when it does not, or more than one could be meant.
** The list's text is there.
*/
bool pgmig_trace(const struct pgmig_source *source,
                 const struct pgmig_statement *list, size_t index,
                 const struct pgmig_error *err, size_t *offset);

#endif
