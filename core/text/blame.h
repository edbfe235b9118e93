/* blame.h -- an error of the server's, told in terms of the file. */
#ifndef PGMIG_BLAME_H
#define PGMIG_BLAME_H

#include "text/text.h"

/* Make an error point at statement `at` of a list: at the character `position`
** in it (from 1, 0: none; `bytes`: byte), or where the error's CONTEXT leads,
** or at its first character. The error also gets the statement's text, up to 4
** kB. Never fails: what cannot be found out stays unset. */
void pgmig_blame_place(struct pgmig_error *err,
                       const struct pgmig_script *script,
                       const struct pgmig_statement *list, size_t at,
                       size_t position, bool bytes);

/* Say what to do about it, where pgmig knows better than the server. */
void pgmig_blame_advise(struct pgmig_error *err,
                        const struct pgmig_section *section, size_t at);

#endif
