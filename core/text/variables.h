/*
** variables.h -- psql's variables in a text: :name, :'name', :"name" and
** :{?name}, replaced where psql replaces them.
*/
#ifndef PGMIG_VARIABLES_H
#define PGMIG_VARIABLES_H

#include "base/buf.h"
#include "text/text.h"

struct pgmig_psql_value {
    const char *name;
    const char *value;
};

/*
** Add the text to `out` with the variables that have values, as psql sends it;
** COPY data stays as it is. What was replaced goes into `edits`, from malloc.
** One without a value is refused with its place (PGMIG_E_PARSE): `path` names
** the file. Free `out` and `edits` whatever is returned.
*/
PGMIG_NODISCARD int
pgmig_variables_fill(const char *path, const char *text, size_t len,
                     const struct pgmig_psql_value *values, size_t value_count,
                     struct pgmig_buf *out, struct pgmig_edits *edits,
                     struct pgmig_error *err);

#endif
