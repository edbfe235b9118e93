/*
** laux.c -- what every file of the binding needs, in addition to lauxlib.
**
** Classes, tables, errors, and memory that outlives a longjmp. lua_error leaves
** all C frames between it and the pcall without running anything there: what a
** C local has acquired is lost. Therefore what is acquired is put into a
** userdata first (lpgmig_own), whose finalizer lets go of it, and what lets go
** of it earlier leaves it empty.
*/
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "binding/lpgmig.h"

/* ---- memory ------------------------------------------------------------ */

#define OWNED "pgmig.owned"

struct owned {
    void (*release)(void *);
    void *memory[]; /* what it gets, aligned as Lua does */
};

/* Its metatable is in no table of Lua's: nobody but the collector calls
** this. */
static int owned_gc(lua_State *L)
{
    struct owned *owned = luaL_checkudata(L, 1, OWNED);

    owned->release(owned->memory);
    return 0;
}

/* The metatable is set when the memory is empty: from then on the finalizer may
** run at any time, also before the caller has put anything in. */
void *lpgmig_own(lua_State *L, size_t size, void (*release)(void *))
{
    struct owned *owned = lua_newuserdata(L, sizeof *owned + size);

    owned->release = release;
    memset(owned->memory, 0, size);
    luaL_getmetatable(L, OWNED);
    lua_setmetatable(L, -2);
    return owned->memory;
}

static void release_text(void *memory)
{
    char **text = memory;

    free(*text);
    *text = NULL;
}

char **lpgmig_own_text(lua_State *L)
{
    return lpgmig_own(L, sizeof(char *), release_text);
}

static void release_buf(void *buf)
{
    pgmig_buf_free(buf);
}

struct pgmig_buf *lpgmig_own_buf(lua_State *L)
{
    return lpgmig_own(L, sizeof(struct pgmig_buf), release_buf);
}

int lpgmig_push_buf(lua_State *L, struct pgmig_buf *buf)
{
    lua_pushlstring(L, buf->data ? buf->data : "", buf->len);
    pgmig_buf_free(buf);
    return 1;
}

/* Freed early; should Lua raise before, the finalizer does it. */
int lpgmig_push_owned(lua_State *L, char **text, size_t len)
{
    lua_pushlstring(L, *text, len);
    release_text(text);
    return 1;
}

/* ---- errors ------------------------------------------------------------ */

/*
** The core fills a struct with texts of its own (malloc); Lua gets a table.
** Making that may raise, for want of memory: the struct must not be lost then.
** So it is not a C local, but a userdata that the registry keeps. What the core
** has refused is always raised as a table of one metatable, with a kind: nobody
** has to read a message.
*/
#define BOX "pgmig.error_box"         /* its metatable */
#define BOX_KEY "pgmig.error_box.one" /* the box itself */

/* At the state's end: an error that was filled and never raised. */
static int box_gc(lua_State *L)
{
    pgmig_error_clear(luaL_checkudata(L, 1, BOX));
    return 0;
}

/* It needs no box: its text is a constant. */
int lpgmig_error_usage(lua_State *L, const char *message)
{
    lua_newtable(L);
    lpgmig_set_string(L, "kind", pgmig_error_kind_name(PGMIG_E_USAGE));
    lpgmig_set_string(L, "message", message);
    luaL_getmetatable(L, LPGMIG_ERROR);
    lua_setmetatable(L, -2);
    return lua_error(L);
}

const char *lpgmig_check_name(lua_State *L, int arg)
{
    size_t len;
    const char *name = luaL_checklstring(L, arg, &len);

    if (strlen(name) != len)
        lpgmig_error_usage(L, "name contains a NUL byte");
    return name;
}

/* One box serves the whole state: a function fails once, and raising empties
** the box. Functions of the binding do not call each other. */
struct pgmig_error *lpgmig_error_new(lua_State *L)
{
    struct pgmig_error *err;

    lua_getfield(L, LUA_REGISTRYINDEX, BOX_KEY);
    err = lua_touserdata(L, -1);
    if (err->kind != PGMIG_E_NONE) /* it was not raised */
        pgmig_error_clear(err);
    return err; /* the registry keeps the box, the stack too */
}

static void set_position(lua_State *L, const struct pgmig_error *err)
{
    lpgmig_set_string(L, "file", err->file);
    lpgmig_set_string(L, "text", err->text);
    if (err->line > 0)
        lpgmig_set_integer(L, "line", err->line);
    if (err->column > 0)
        lpgmig_set_integer(L, "column", err->column);
}

/* Cleared before it is raised: lua_error does not come back. Where the core had
** no memory for a message, none is there. */
int lpgmig_error_raise(lua_State *L, struct pgmig_error *err)
{
    lua_newtable(L);
    lpgmig_set_string(L, "kind", pgmig_error_kind_name(err->kind));
    lpgmig_set_string(L, "message",
                      err->message ? err->message : "out of memory");
    set_position(L, err);
    lpgmig_set_string(L, "detail", err->detail);
    lpgmig_set_string(L, "hint", err->hint);
    lpgmig_set_string(L, "context", err->context);
    lpgmig_set_string(L, "statement", err->statement);
    lpgmig_set_string(L, "query", err->query);
    lpgmig_set_string(L, "code", err->code);
    if (err->query_at > 0)
        lpgmig_set_integer(L, "query_at", err->query_at);
    if (err->sqlstate[0] != '\0')
        lpgmig_set_string(L, "sqlstate", err->sqlstate);
    luaL_getmetatable(L, LPGMIG_ERROR);
    lua_setmetatable(L, -2);
    pgmig_error_clear(err);
    return lua_error(L);
}

/* ---- making tables and classes ----------------------------------------- */

void lpgmig_set_string(lua_State *L, const char *key, const char *value)
{
    if (value == NULL)
        return;
    lua_pushstring(L, value);
    lua_setfield(L, -2, key);
}

void lpgmig_set_integer(lua_State *L, const char *key, lua_Integer value)
{
    lua_pushinteger(L, value);
    lua_setfield(L, -2, key);
}

void lpgmig_set_boolean(lua_State *L, const char *key, int value)
{
    lua_pushboolean(L, value);
    lua_setfield(L, -2, key);
}

void lpgmig_set(lua_State *L, const luaL_Reg *functions)
{
    for (; functions->name != NULL; functions++) {
        lua_pushcfunction(L, functions->func);
        lua_setfield(L, -2, functions->name);
    }
}

/* Methods are found through __index, metamethods are not: nobody but Lua itself
** calls __gc. And __metatable keeps Lua code from getting at them. */
void lpgmig_class(lua_State *L, const char *name, const luaL_Reg *methods)
{
    if (luaL_newmetatable(L, name) != 0) {
        lua_newtable(L);
        lua_setfield(L, -2, "__index");
        lpgmig_set_string(L, "__metatable", name);
    }
    lua_getfield(L, -1, "__index");
    for (; methods->name != NULL; methods++) {
        bool meta = strncmp(methods->name, "__", 2) == 0;

        lua_pushcfunction(L, methods->func);
        lua_setfield(L, meta ? -3 : -2, methods->name);
    }
    lua_pop(L, 2);
}

/* ---- reading tables ---------------------------------------------------- */

const char *const lpgmig_directions[] = {
    [PGMIG_UP] = "up", [PGMIG_DOWN] = "down", NULL};

/* Raw: an __index may raise, or change the very table that is read. A negative
** index counts from the top, where the key lies now. */
void lpgmig_get_field(lua_State *L, int arg, const char *key)
{
    lua_pushstring(L, key);
    lua_rawget(L, arg < 0 ? arg - 1 : arg);
}

/* By lua_next and raw access, so that no metamethod runs meanwhile. */
void lpgmig_snapshot(lua_State *L, int arg, int levels)
{
    luaL_checktype(L, arg, LUA_TTABLE);
    luaL_checkstack(L, 8, "tables too deep");
    lua_newtable(L);
    lua_pushnil(L);
    while (lua_next(L, arg) != 0) {
        if (levels > 1 && lua_istable(L, -1))
            lpgmig_snapshot(L, lua_gettop(L), levels - 1);
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -4);
    }
    lua_replace(L, arg);
}

/* The string on the top of the stack. A number's is refused: lua_tostring would
** make it, and nobody would keep it. */
static const char *read_text(lua_State *L, const char *what, const char *key)
{
    if (lua_type(L, -1) != LUA_TSTRING)
        luaL_error(L, "%s: field %s: string expected", what, key);
    return lua_tostring(L, -1);
}

#define COUNT_MAX 9007199254740992 /* 2^53: doubles count so far */

/* The number on the top of the stack. */
static void read_number(lua_State *L, const char *what,
                        const struct lpgmig_field *field, void *to)
{
    lua_Number n = lua_tonumber(L, -1);

    if (!lua_isnumber(L, -1))
        luaL_error(L, "%s: field %s: number expected", what, field->name);
    if (field->type != LPGMIG_NUMBER && !(n >= 0 && n <= COUNT_MAX))
        luaL_error(L, "%s: field %s: count expected", what, field->name);
    switch (field->type) {
    case LPGMIG_INT64:
        *(int64_t *)to = (int64_t)n;
        break;
    case LPGMIG_LONG:
        *(long *)to = (long)n;
        break;
    case LPGMIG_SIZE:
        *(size_t *)to = (size_t)n;
        break;
    default:
        *(double *)to = n;
        break;
    }
}

static void read_field(lua_State *L, const char *what,
                       const struct lpgmig_field *field, void *to)
{
    if (field->type == LPGMIG_FLAG)
        *(bool *)to = lua_toboolean(L, -1);
    else if (field->type == LPGMIG_TEXT || field->type == LPGMIG_NEEDED)
        *(const char **)to = read_text(L, what, field->name);
    else
        read_number(L, what, field, to);
}

void lpgmig_read(lua_State *L, int arg, const char *what,
                 const struct lpgmig_field *fields, void *out)
{
    if (!lua_istable(L, arg))
        luaL_error(L, "%s: table expected", what);
    for (; fields->name != NULL; fields++) {
        lpgmig_get_field(L, arg, fields->name);
        if (!lua_isnil(L, -1) || fields->type == LPGMIG_NEEDED)
            read_field(L, what, fields, (char *)out + fields->at);
        lua_pop(L, 1);
    }
}

int lpgmig_read_choice(lua_State *L, int arg, const char *what, const char *key,
                       const char *const *names, int otherwise)
{
    const char *word = NULL;

    lpgmig_get_field(L, arg, key);
    if (!lua_isnil(L, -1) || otherwise < 0)
        word = read_text(L, what, key);
    lua_pop(L, 1); /* the table keeps it */
    if (word == NULL)
        return otherwise;
    for (int i = 0; names[i] != NULL; i++)
        if (strcmp(names[i], word) == 0)
            return i;
    return luaL_error(L, "%s: field %s: unknown word %s", what, key, word);
}

/* Lua 5.1 has lua_objlen, 5.4 lua_rawlen; and both may give any border of a
** list with holes. This ends at the first. */
size_t lpgmig_length(lua_State *L, int arg)
{
    size_t n = 0;

    for (;; n++) {
        lua_rawgeti(L, arg, (int)n + 1);
        if (lua_isnil(L, -1))
            break;
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return n;
}

const char **lpgmig_check_strings(lua_State *L, int arg, size_t *count)
{
    const char **list;
    size_t n;

    luaL_checktype(L, arg, LUA_TTABLE);
    n = lpgmig_length(L, arg);
    list = lua_newuserdata(L, (n + 1) * sizeof *list);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, arg, (int)i + 1);
        /* lua_tostring would make a string of a number, which no list keeps */
        if (lua_type(L, -1) != LUA_TSTRING)
            luaL_argerror(L, arg, "list of strings expected");
        list[i] = lua_tostring(L, -1); /* the list keeps it alive */
        lua_pop(L, 1);
    }
    list[n] = NULL;
    *count = n;
    return list;
}

/* ---- opening ----------------------------------------------------------- */

/* The class of owned memory first: what is opened behind it may need it. */
void lpgmig_open_aux(lua_State *L)
{
    struct pgmig_error *err;

    luaL_newmetatable(L, OWNED);
    lua_pushcfunction(L, owned_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    err = lua_newuserdata(L, sizeof *err);

    memset(err, 0, sizeof *err);
    luaL_newmetatable(L, BOX);
    lua_pushcfunction(L, box_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_setfield(L, LUA_REGISTRYINDEX, BOX_KEY);
    luaL_newmetatable(L, LPGMIG_ERROR);
    lua_setfield(L, -2, "error_metatable"); /* pgmig.errors completes it */
}
