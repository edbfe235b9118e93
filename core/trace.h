/* trace.h -- from a server's CONTEXT to the line of the file it speaks of. */
#ifndef PGMIG_TRACE_H
#define PGMIG_TRACE_H

#include "pgmig.h"

/*
** The offset of the line that the CONTEXT of an error names, where it speaks
** of a DO block, of a PL/pgSQL routine that this section creates, or of the
** COPY data of statement `index`; false when it does not.
*/
bool pgmig_trace(const struct pgmig_script *script,
                 const struct pgmig_section *section, size_t index,
                 const char *context, size_t *offset);

#endif
