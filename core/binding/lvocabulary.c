/*
** lvocabulary.c -- a format's words, from a Lua table.
**
** A vocabulary is read by the core over and over, so it is made once, of C
** structs that point to Lua's strings. A copy of the caller's table keeps
** these, in the registry, and the arrays as well: the caller's own may change
** afterwards, and the words do not.
*/
#include <string.h>

#include "binding/lpgmig.h"

struct lvocabulary {
    struct pgmig_vocabulary words;
    int anchor; /* keeps the copy, in the registry */
};

#define LEVELS 3 /* a table, its lists, their items */

const struct pgmig_vocabulary *lpgmig_opt_vocabulary(lua_State *L, int arg)
{
    struct lvocabulary *lv;

    if (lua_isnoneornil(L, arg))
        return &pgmig_vocabulary_default;
    lv = luaL_checkudata(L, arg, LPGMIG_VOCABULARY);
    if (lv->anchor == LUA_NOREF)
        lpgmig_error_usage(L, "this object has been garbage-collected");
    return &lv->words;
}

static int vocabulary_gc(lua_State *L)
{
    struct lvocabulary *lv = luaL_checkudata(L, 1, LPGMIG_VOCABULARY);

    luaL_unref(L, LUA_REGISTRYINDEX, lv->anchor);
    lv->anchor = LUA_NOREF;
    return 0;
}

/* Memory for a list's items that lives as long as the copy at index `words`,
** which keeps it in a field of its own. A byte more, as a list may be empty. */
static void *allocate(lua_State *L, int words, const char *key, size_t count,
                      size_t size)
{
    void *memory = lua_newuserdata(L, count * size + 1);

    memset(memory, 0, count * size + 1);
    lua_setfield(L, words, key);
    return memory;
}

/* Push the list in a field of the copy at index `words`, an empty one where it
** is missing; how many items it has. */
static size_t push_list(lua_State *L, int words, const char *key)
{
    lpgmig_get_field(L, words, key);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_newtable(L);
    }
    if (!lua_istable(L, -1))
        luaL_error(L, "vocabulary: field %s: list expected", key);
    return lpgmig_length(L, lua_gettop(L));
}

/* ---- markers --------------------------------------------------------- */

/* The marker on the top of the stack. */
static void read_marker(lua_State *L, struct pgmig_marker *m)
{
    static const char *const kinds[] = {
        [PGMIG_MARKER_UP] = "up",           [PGMIG_MARKER_DOWN] = "down",
        [PGMIG_MARKER_DIVIDER] = "divider", [PGMIG_MARKER_SETTING] = "setting",
        [PGMIG_MARKER_END] = "end",         [PGMIG_MARKER_IGNORED] = "ignored",
        [PGMIG_MARKER_REFUSED] = "refused", NULL};
    static const struct lpgmig_field fields[] = {
        {"text", LPGMIG_NEEDED, offsetof(struct pgmig_marker, text)},
        {"hint", LPGMIG_TEXT, offsetof(struct pgmig_marker, hint)},
        {"whole_file", LPGMIG_FLAG, offsetof(struct pgmig_marker, whole_file)},
        {"first", LPGMIG_FLAG, offsetof(struct pgmig_marker, first)},
        {"exact", LPGMIG_FLAG, offsetof(struct pgmig_marker, exact)},
        {"margin", LPGMIG_FLAG, offsetof(struct pgmig_marker, margin)},
        {"options", LPGMIG_FLAG, offsetof(struct pgmig_marker, options)},
        {"loose", LPGMIG_FLAG, offsetof(struct pgmig_marker, loose)},
        {"anywhere", LPGMIG_FLAG, offsetof(struct pgmig_marker, anywhere)},
        {NULL, LPGMIG_TEXT, 0}};
    static const struct lpgmig_field setting[] = {
        {"key", LPGMIG_NEEDED, offsetof(struct pgmig_marker, key)},
        {"value", LPGMIG_NEEDED, offsetof(struct pgmig_marker, value)},
        {NULL, LPGMIG_TEXT, 0}};
    int at = lua_gettop(L);

    lpgmig_read(L, at, "vocabulary: marker", fields, m);
    m->kind = (enum pgmig_marker_kind)lpgmig_read_choice(
        L, at, "vocabulary: marker", "kind", kinds, -1);
    if (m->kind == PGMIG_MARKER_SETTING)
        lpgmig_read(L, at, "vocabulary: marker", setting, m);
}

/* The markers of the table, then those of other tools. Those of the format's
** own tool are no mistake in its files. */
static void read_markers(lua_State *L, int words, const char *tool,
                         struct pgmig_vocabulary *out)
{
    const struct pgmig_vocabulary *other = &pgmig_vocabulary_default;
    size_t count = push_list(L, words, "markers");
    struct pgmig_marker *list = allocate(
        L, words, "markers_read", count + other->marker_count, sizeof *list);

    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, -1, (int)i + 1);
        read_marker(L, &list[i]);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    for (size_t i = 0; i < other->marker_count; i++)
        if (other->markers[i].kind == PGMIG_MARKER_FOREIGN &&
            strcmp(other->markers[i].tool, tool) != 0)
            list[count++] = other->markers[i];
    out->markers = list;
    out->marker_count = count;
}

static void read_options(lua_State *L, int words, struct pgmig_vocabulary *out)
{
    static const struct lpgmig_field fields[] = {
        {"text", LPGMIG_NEEDED, offsetof(struct pgmig_marker_option, text)},
        {"key", LPGMIG_NEEDED, offsetof(struct pgmig_marker_option, key)},
        {"value", LPGMIG_NEEDED, offsetof(struct pgmig_marker_option, value)},
        {NULL, LPGMIG_TEXT, 0}};
    size_t count = push_list(L, words, "options");
    struct pgmig_marker_option *list =
        allocate(L, words, "options_read", count, sizeof *list);

    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, -1, (int)i + 1);
        lpgmig_read(L, lua_gettop(L), "vocabulary: option", fields, &list[i]);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    out->options = list;
    out->option_count = count;
}

static void read_rules(lua_State *L, int words, struct pgmig_vocabulary *out)
{
    static const char *const rules[] = {[PGMIG_TRANSACTION_ON] = "on",
                                        [PGMIG_TRANSACTION_OFF] = "off",
                                        [PGMIG_TRANSACTION_OWN] = "own",
                                        [PGMIG_TRANSACTION_AUTO] = "auto",
                                        NULL};
    static const struct lpgmig_field fields[] = {
        {"untransacted", LPGMIG_TEXT,
         offsetof(struct pgmig_vocabulary, untransacted)},
        {"unwrapped", LPGMIG_FLAG,
         offsetof(struct pgmig_vocabulary, unwrapped)},
        {"marked", LPGMIG_FLAG, offsetof(struct pgmig_vocabulary, marked)},
        {"repeats", LPGMIG_FLAG, offsetof(struct pgmig_vocabulary, repeats)},
        {"psql", LPGMIG_FLAG, offsetof(struct pgmig_vocabulary, psql)},
        {"empty", LPGMIG_FLAG, offsetof(struct pgmig_vocabulary, empty)},
        {"placeholder", LPGMIG_TEXT,
         offsetof(struct pgmig_vocabulary, placeholder)},
        {"placeholder_end", LPGMIG_TEXT,
         offsetof(struct pgmig_vocabulary, placeholder_end)},
        {"named", LPGMIG_FLAG, offsetof(struct pgmig_vocabulary, named)},
        {"suspects", LPGMIG_FLAG, offsetof(struct pgmig_vocabulary, suspects)},
        {NULL, LPGMIG_TEXT, 0}};
    const int neither = PGMIG_DOWN + 1;
    int way = lpgmig_read_choice(L, words, "vocabulary", "one_way",
                                 lpgmig_directions, neither);

    out->placeholder_end = "";
    out->suspects = false;
    lpgmig_read(L, words, "vocabulary", fields, out);
    out->transaction = (enum pgmig_transaction_rule)lpgmig_read_choice(
        L, words, "vocabulary", "transaction", rules, PGMIG_TRANSACTION_ON);
    out->one_way = way != neither;
    if (out->one_way)
        out->way = (enum pgmig_direction)way;
}

/*
** vocabulary(tool, { markers = { { text, kind, ... } }, options = { { text,
** key, value } }, transaction = "on" | "off" | "own" | "auto", untransacted,
** unwrapped, marked, repeats, empty, psql, placeholder, placeholder_end, named,
** suspects, one_way = "up" | "down" }) --> words for read_script; as struct
** pgmig_vocabulary. Directives are pgmig's own.
*/
static int vocabulary_new(lua_State *L)
{
    const char *tool = luaL_checkstring(L, 1);
    struct lvocabulary *lv;

    lpgmig_snapshot(L, 2, LEVELS);
    lv = lua_newuserdata(L, sizeof *lv);
    /* complete from here on: what is raised below leaves a whole object */
    lv->words = pgmig_vocabulary_default;
    lv->anchor = LUA_NOREF;
    luaL_getmetatable(L, LPGMIG_VOCABULARY);
    lua_setmetatable(L, -2);
    lua_pushvalue(L, 2);
    lv->anchor = luaL_ref(L, LUA_REGISTRYINDEX);
    read_markers(L, 2, tool, &lv->words);
    read_options(L, 2, &lv->words);
    read_rules(L, 2, &lv->words);
    return 1;
}

void lpgmig_open_vocabulary(lua_State *L)
{
    static const luaL_Reg functions[] = {{"vocabulary", vocabulary_new},
                                         {NULL, NULL}};
    static const luaL_Reg methods[] = {{"__gc", vocabulary_gc}, {NULL, NULL}};

    lpgmig_class(L, LPGMIG_VOCABULARY, methods);
    lpgmig_set(L, functions);
}
