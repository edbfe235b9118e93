/* modules.h -- the Lua modules in the executable, compiled: embed.lua writes
** modules.c. */
#ifndef PGMIG_SINGLE_MODULES_H
#define PGMIG_SINGLE_MODULES_H

#include <stddef.h>

struct pgmig_single_module {
    const char *name;
    const char *code;
    size_t size;
};

/* In the order of their names, byte by byte. */
extern const struct pgmig_single_module pgmig_single_modules[];
extern const size_t pgmig_single_module_count;

#endif
