/*
** script.h -- the statements of a section, one after the other: from a script
** that is held, or from its file, read again.
*/
#ifndef PGMIG_SCRIPT_H
#define PGMIG_SCRIPT_H

#include "text/parser.h"

struct pgmig_cursor {
    const struct pgmig_script *script;
    const struct pgmig_section *section;
    size_t next;    /* the index of the next statement */
    size_t data_at; /* where the data of the last COPY begins */
    bool data_done; /* it was handed out to its end */
    /* of a streamed script: */
    struct pgmig_script again;
    struct pgmig_parser parser;
    struct pgmig_seal seal;
    struct pgmig_hasher hasher;
    char checksum[65]; /* of the file; behind its last statement */
};

/* Begin; close it whatever is returned. */
PGMIG_NODISCARD int pgmig_cursor_open(struct pgmig_cursor *c,
                                      const struct pgmig_script *script,
                                      enum pgmig_direction section,
                                      struct pgmig_error *err);
void pgmig_cursor_close(struct pgmig_cursor *c);

/* The next statement, and its text, which stays until the next call: 1, 0
** behind the last one, -1 for an error: the file is not what it was when the
** script was read. */
PGMIG_NODISCARD int pgmig_cursor_next(struct pgmig_cursor *c,
                                      struct pgmig_statement *out,
                                      const char **sql,
                                      struct pgmig_error *err);

/* The next piece of the data of the last statement, a COPY: 1, 0, -1. */
PGMIG_NODISCARD int pgmig_cursor_data(struct pgmig_cursor *c, const char **data,
                                      size_t *len, struct pgmig_error *err);

#endif
