/* visible.h -- text for terminals and logs. */
#ifndef PGMIG_VISIBLE_H
#define PGMIG_VISIBLE_H

#include "base/base.h"

/*
** A copy (malloc) in which every character can be seen that would do something
** else to a terminal or a log than to be shown: control characters as \x1b,
** those beyond ASCII and marks of the writing direction as \u202e, bytes that
** are no UTF-8 as \xff. Tabs stay, and the ends of lines, unless `one_line`
** wants them as \n, too. NULL without memory.
*/
PGMIG_NODISCARD char *pgmig_visible(const char *text, size_t len, bool one_line,
                                    size_t *out_len);

/* Whether a text has printable ASCII only, and so is shown as it is. */
bool pgmig_visible_is_plain(const char *text, size_t len);

#endif
