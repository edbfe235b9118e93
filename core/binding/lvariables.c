/*
** lvariables.c -- psql's variables in a text, and texts that are not their
** file's.
*/
#include <stdlib.h>
#include <string.h>

#include "binding/lpgmig.h"
#include "text/variables.h"

static void release_edits(void *edits)
{
    free(((struct pgmig_edits *)edits)->list);
}

/* The values of the table at `arg`, which keeps them; how many there are. */
static struct pgmig_psql_value *read_values(lua_State *L, int arg,
                                            size_t *count)
{
    struct pgmig_psql_value *list;
    size_t n = 0;

    for (lua_pushnil(L); lua_next(L, arg) != 0; lua_pop(L, 1))
        n++;
    list = lua_newuserdata(L, n * sizeof *list + 1);
    *count = 0;
    for (lua_pushnil(L); lua_next(L, arg) != 0; lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
            luaL_error(L, "values: strings by name expected");
        list[(*count)++] =
            (struct pgmig_psql_value){lua_tostring(L, -2), lua_tostring(L, -1)};
    }
    return list;
}

/* Push what was replaced, as `parse_script` takes it: for each the four offsets
** of struct pgmig_edit. */
static void push_edits(lua_State *L, const struct pgmig_edits *edits)
{
    lua_createtable(L, (int)edits->count * 4, 0);
    for (size_t i = 0; i < edits->count; i++) {
        const struct pgmig_edit *e = &edits->list[i];
        const size_t offsets[] = {e->file, e->file_end, e->out, e->out_end};

        for (int k = 0; k < 4; k++) {
            lua_pushinteger(L, (lua_Integer)offsets[k]);
            lua_rawseti(L, -2, (int)i * 4 + k + 1);
        }
    }
}

/*
** fill_variables(text, path, values) --> the text with psql's variables
** replaced, and what was replaced. Raises kind "parse" for one without a value;
** path names the file in errors.
*/
static int text_fill_variables(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    const char *path = lpgmig_check_name(L, 2);
    struct pgmig_error *err;
    struct pgmig_edits *edits;
    struct pgmig_buf *out;
    struct pgmig_psql_value *values;
    size_t count;

    luaL_checktype(L, 3, LUA_TTABLE);
    lua_settop(L, 3);
    values = read_values(L, 3, &count);
    err = lpgmig_error_new(L);
    edits = lpgmig_own(L, sizeof *edits, release_edits);
    out = lpgmig_own_buf(L);
    if (pgmig_variables_fill(path, text, len, values, count, out, edits, err) !=
        0)
        return lpgmig_error_raise(L, err);
    lpgmig_push_buf(L, out);
    push_edits(L, edits);
    return 2;
}

struct pgmig_edits lpgmig_check_edits(lua_State *L, int arg)
{
    size_t count = lpgmig_length(L, arg) / 4;
    struct pgmig_edit *list = lua_newuserdata(L, count * sizeof *list + 1);

    for (size_t i = 0; i < count; i++) {
        size_t offsets[4];

        for (int k = 0; k < 4; k++) {
            lua_rawgeti(L, arg, (int)i * 4 + k + 1);
            offsets[k] = (size_t)lua_tointeger(L, -1);
            lua_pop(L, 1);
        }
        list[i] =
            (struct pgmig_edit){offsets[0], offsets[1], offsets[2], offsets[3]};
    }
    return (struct pgmig_edits){list, count};
}

struct pgmig_origin lpgmig_copy_origin(const char *text, size_t len,
                                       const struct pgmig_edits *edits)
{
    size_t size = edits->count * sizeof *edits->list;
    struct pgmig_origin origin = {.text = pgmig_strndup(text, len), .len = len};

    origin.edits.list = malloc(size + 1);
    if (origin.text == NULL || origin.edits.list == NULL) {
        free(origin.text);
        free(origin.edits.list);
        return (struct pgmig_origin){0};
    }
    memcpy(origin.edits.list, edits->list, size);
    origin.edits.count = edits->count;
    return origin;
}

void lpgmig_open_variables(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"fill_variables", text_fill_variables}, {NULL, NULL}};

    lpgmig_set(L, functions);
}
