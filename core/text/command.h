/* command.h -- psql's backslash commands: which of them change nothing of what
** the server gets. */
#ifndef PGMIG_COMMAND_H
#define PGMIG_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

/* Whether a line that begins with a backslash command can be passed over: it
** only says how psql reports, or asks for what holds here anyway. `len` bytes
** without the line's end. */
bool pgmig_command_is_harmless(const char *line, size_t len);

#endif
