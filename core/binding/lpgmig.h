/*
** lpgmig.h -- what the files of the binding share.
**
** Only calls that Lua 5.1, LuaJIT and Lua 5.4 all have are used. A function
** checks its arguments, creates its userdata empty, sets the metatable, and
** only then acquires: nothing is lost when Lua raises in between.
*/
#ifndef LPGMIG_H
#define LPGMIG_H

#include <lauxlib.h>
#include <lua.h>
#include <stddef.h>

#include "ledger/tables.h"
#include "wire/wire.h"

#define LPGMIG_CONN "pgmig.conn"
#define LPGMIG_APPLY "pgmig.apply"
#define LPGMIG_SCRIPT "pgmig.script"
#define LPGMIG_LEDGER "pgmig.ledger"
#define LPGMIG_VOCABULARY "pgmig.vocabulary"
#define LPGMIG_ERROR "pgmig.error"

/* Memory for what a function acquires, all zeros: `release` gets it whatever
** happens, perhaps twice. Pushes one value. */
void *lpgmig_own(lua_State *L, size_t size, void (*release)(void *));

/* The same for a text of the core's: where its address goes. */
char **lpgmig_own_text(lua_State *L);

/* An empty buffer; push what is in it, and free it: returns 1. */
struct pgmig_buf *lpgmig_own_buf(lua_State *L);
int lpgmig_push_buf(lua_State *L, struct pgmig_buf *buf);

/* Push such a text, `len` bytes of it, and free it: one value. */
int lpgmig_push_owned(lua_State *L, char **text, size_t len);

/* An empty error that is freed whatever happens; pushes one value. */
struct pgmig_error *lpgmig_error_new(lua_State *L);

/* Raise the error as a table of LPGMIG_ERROR. */
int lpgmig_error_raise(lua_State *L, struct pgmig_error *err);

/* Raise an error of kind "usage". */
int lpgmig_error_usage(lua_State *L, const char *message);

/* The argument, a name or path: kind "usage" for one with a NUL byte. */
const char *lpgmig_check_name(lua_State *L, int arg);

/* The length of the list at `arg`. */
size_t lpgmig_length(lua_State *L, int arg);

/* The strings of the list at `arg`, with a NULL behind, in a new userdata. */
const char **lpgmig_check_strings(lua_State *L, int arg, size_t *count);

/* Where to connect: the arguments keywords and values, two lists as in
** PQconnectStartParams, and environment, names and values in turn of variables
** for libpq alone, or nil. All of them end with a NULL. */
struct lpgmig_parameters {
    const char **keywords;
    const char **values;
    const char **environment; /* NULL: none */
};
struct lpgmig_parameters lpgmig_check_parameters(lua_State *L);

/* Give the class `name` these methods and metamethods. */
void lpgmig_class(lua_State *L, const char *name, const luaL_Reg *methods);

/* Replace the table at `arg` with a copy, and what it holds so many levels
** deep: the caller's own may change, and lose its strings, at any moment. No
** metamethod is asked, here and below, which could do anything meanwhile. */
void lpgmig_snapshot(lua_State *L, int arg, int levels);

/* Push a field of the table at `arg`. */
void lpgmig_get_field(lua_State *L, int arg, const char *key);

/* A field of a table, and its place in a struct, which keeps what it has where
** the field is missing. */
struct lpgmig_field {
    const char *name; /* NULL ends a list of them */
    enum lpgmig_type {
        LPGMIG_TEXT,   /* const char *, which the table keeps alive */
        LPGMIG_NEEDED, /* the same, never missing */
        LPGMIG_FLAG,   /* bool: whatever the value is */
        LPGMIG_NUMBER, /* double */
        LPGMIG_INT64,  /* int64_t, long, size_t: a count */
        LPGMIG_LONG,
        LPGMIG_SIZE
    } type;
    size_t at; /* offsetof */
};

/* Read the fields of the table at `arg` into a struct; `what` names the table
** in errors. */
void lpgmig_read(lua_State *L, int arg, const char *what,
                 const struct lpgmig_field *fields, void *out);

/* The place among `names` of the word in a field of the table at `arg`;
** `otherwise` where it is missing, which -1 does not allow. */
int lpgmig_read_choice(lua_State *L, int arg, const char *what, const char *key,
                       const char *const *names, int otherwise);

/* Read the entry of the history at `arg`, a table, which keeps its strings. */
void lpgmig_read_entry(lua_State *L, int arg, struct pgmig_entry *entry);

/* Set functions in the table on the top of the stack. */
void lpgmig_set(lua_State *L, const luaL_Reg *functions);

/* t[key] = value for the table on the top of the stack. */
void lpgmig_set_string(lua_State *L, const char *key, const char *value);
void lpgmig_set_integer(lua_State *L, const char *key, lua_Integer value);
void lpgmig_set_boolean(lua_State *L, const char *key, int value);

/* The object at `arg`; kind "usage" for one that Lua has collected, which only
** finalizers see. */
struct pgmig_script *lpgmig_check_script(lua_State *L, int arg);
struct pgmig_ledger *lpgmig_check_ledger(lua_State *L, int arg);

/* The vocabulary at `arg`; pgmig's own when there is none. */
const struct pgmig_vocabulary *lpgmig_opt_vocabulary(lua_State *L, int arg);

/* Read what was replaced, as fill_variables says it, of the list at `arg`, into
** memory that Lua owns. */
struct pgmig_edits lpgmig_check_edits(lua_State *L, int arg);
/* A copy of them and of the file's text, the caller's; without `text`: there
** was no memory. */
struct pgmig_origin lpgmig_copy_origin(const char *text, size_t len,
                                       const struct pgmig_edits *edits);

/* The names of enum pgmig_direction, with a NULL behind. */
extern const char *const lpgmig_directions[];

/* Set the functions of one topic in the module's table. */
void lpgmig_open_aux(lua_State *L);
void lpgmig_open_text(lua_State *L);
void lpgmig_open_script(lua_State *L);
void lpgmig_open_vocabulary(lua_State *L);
void lpgmig_open_variables(lua_State *L);
void lpgmig_open_conn(lua_State *L);
void lpgmig_open_apply(lua_State *L);
void lpgmig_open_ledger(lua_State *L);
void lpgmig_open_system(lua_State *L);
void lpgmig_open_lookup(lua_State *L);

#endif
