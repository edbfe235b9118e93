/*
** lvocabulary.c -- a format's words, from a Lua table.
**
** A vocabulary is read by the core over and over, so it is made once, of C
** structs that point to Lua's strings. Every string and every array that it
** points to is put into one table in the registry (the anchor) when it is
** found: the caller's table may change afterwards, and the words do not.
*/
#include <string.h>

#include "binding/lpgmig.h"

/* The strings belong to Lua: a table in the registry keeps them. */
struct lvocabulary {
    struct pgmig_vocabulary words;
    int anchor;
};

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

/* ---- fields ---------------------------------------------------------- */

/* Keep the value on the top of the stack, and pop it. luaL_ref puts it behind
** the others; its number is forgotten, as nothing of a vocabulary is let go of
** before all of it is. */
static void keep(lua_State *L, int anchor)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, anchor);
    lua_insert(L, -2);
    (void)luaL_ref(L, -2);
    lua_pop(L, 1);
}

/* A string field of the table on the top of the stack; NULL: none. */
static const char *text_field(lua_State *L, int anchor, const char *key)
{
    const char *s;

    lpgmig_get_field(L, -1, key);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        return NULL;
    }
    if (lua_type(L, -1) != LUA_TSTRING)
        luaL_error(L, "vocabulary: %s must be a string", key);
    s = lua_tostring(L, -1);
    keep(L, anchor);
    return s;
}

static const char *needed_field(lua_State *L, int anchor, const char *key)
{
    const char *s = text_field(L, anchor, key);

    if (s == NULL)
        luaL_error(L, "vocabulary: %s is missing", key);
    return s;
}

static bool flag_field(lua_State *L, const char *key)
{
    bool value;

    lpgmig_get_field(L, -1, key);
    value = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return value;
}

/* Push the list in a field; how many items it has. */
static size_t push_list(lua_State *L, const char *key)
{
    size_t count = 0;

    lpgmig_get_field(L, -1, key);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_newtable(L);
    }
    if (!lua_istable(L, -1))
        luaL_error(L, "vocabulary: %s must be a list", key);
    for (;; count++) {
        bool there;

        lua_rawgeti(L, -1, (int)count + 1);
        there = !lua_isnil(L, -1);
        lua_pop(L, 1);
        if (!there)
            return count;
    }
}

/* Memory that lives as long as the vocabulary. A byte more, as a list may be
** empty. */
static void *allocate(lua_State *L, int anchor, size_t count, size_t size)
{
    void *memory = lua_newuserdata(L, count * size + 1);

    memset(memory, 0, count * size + 1);
    keep(L, anchor);
    return memory;
}

/* ---- markers --------------------------------------------------------- */

static int one_of(lua_State *L, const char *value, const char *const *names)
{
    for (int i = 0; names[i] != NULL; i++)
        if (strcmp(names[i], value) == 0)
            return i;
    return luaL_error(L, "vocabulary: unknown word %s", value);
}

static void read_marker(lua_State *L, int anchor, struct pgmig_marker *m)
{
    static const char *const kinds[] = {
        [PGMIG_MARKER_UP] = "up",           [PGMIG_MARKER_DOWN] = "down",
        [PGMIG_MARKER_DIVIDER] = "divider", [PGMIG_MARKER_SETTING] = "setting",
        [PGMIG_MARKER_END] = "end",         [PGMIG_MARKER_IGNORED] = "ignored",
        [PGMIG_MARKER_REFUSED] = "refused", NULL};

    if (!lua_istable(L, -1))
        luaL_error(L, "vocabulary: a marker must be a table");
    m->text = needed_field(L, anchor, "text");
    m->kind = (enum pgmig_marker_kind)one_of(L, needed_field(L, anchor, "kind"),
                                             kinds);
    m->hint = text_field(L, anchor, "hint");
    m->whole_file = flag_field(L, "whole_file");
    m->first = flag_field(L, "first");
    m->options = flag_field(L, "options");
    m->loose = flag_field(L, "loose");
    m->anywhere = flag_field(L, "anywhere");
    if (m->kind != PGMIG_MARKER_SETTING)
        return;
    m->key = needed_field(L, anchor, "key");
    m->value = needed_field(L, anchor, "value");
}

/* The markers of the table, then those of other tools. Those of the format's
** own tool are no mistake in its files. */
static void read_markers(lua_State *L, struct lvocabulary *lv, const char *tool)
{
    const struct pgmig_vocabulary *other = &pgmig_vocabulary_default;
    size_t count = push_list(L, "markers");
    struct pgmig_marker *list =
        allocate(L, lv->anchor, count + other->marker_count, sizeof *list);

    lv->words.markers = list;
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, -1, (int)i + 1);
        read_marker(L, lv->anchor, &list[i]);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    for (size_t i = 0; i < other->marker_count; i++)
        if (other->markers[i].kind == PGMIG_MARKER_FOREIGN &&
            strcmp(other->markers[i].tool, tool) != 0)
            list[count++] = other->markers[i];
    lv->words.marker_count = count;
}

static void read_options(lua_State *L, struct lvocabulary *lv)
{
    size_t count = push_list(L, "options");
    struct pgmig_marker_option *list =
        allocate(L, lv->anchor, count, sizeof *list);

    lv->words.options = list;
    lv->words.option_count = count;
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, -1, (int)i + 1);
        if (!lua_istable(L, -1))
            luaL_error(L, "vocabulary: an option must be a table");
        list[i].text = needed_field(L, lv->anchor, "text");
        list[i].key = needed_field(L, lv->anchor, "key");
        list[i].value = needed_field(L, lv->anchor, "value");
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static void read_way(lua_State *L, struct lvocabulary *lv)
{
    const char *way = text_field(L, lv->anchor, "one_way");

    lv->words.one_way = way != NULL;
    if (way != NULL)
        lv->words.way = (enum pgmig_direction)one_of(L, way, lpgmig_directions);
}

static void read_rules(lua_State *L, struct lvocabulary *lv)
{
    static const char *const rules[] = {[PGMIG_TRANSACTION_ON] = "on",
                                        [PGMIG_TRANSACTION_OFF] = "off",
                                        [PGMIG_TRANSACTION_OWN] = "own",
                                        [PGMIG_TRANSACTION_AUTO] = "auto",
                                        NULL};
    struct pgmig_vocabulary *words = &lv->words;
    const char *rule = text_field(L, lv->anchor, "transaction");
    const char *untransacted = text_field(L, lv->anchor, "untransacted");

    if (rule != NULL)
        words->transaction =
            (enum pgmig_transaction_rule)one_of(L, rule, rules);
    if (untransacted != NULL)
        words->untransacted = untransacted;
    words->unwrapped = flag_field(L, "unwrapped");
    words->marked = flag_field(L, "marked");
    words->repeats = flag_field(L, "repeats");
    words->empty = flag_field(L, "empty");
    words->placeholder = text_field(L, lv->anchor, "placeholder");
    words->placeholder_end = text_field(L, lv->anchor, "placeholder_end");
    if (words->placeholder_end == NULL)
        words->placeholder_end = "";
}

/*
** vocabulary(tool, { markers = { { text, kind, ... } }, options = { { text,
** key, value } }, transaction = "on" | "off" | "own" | "auto", untransacted,
** unwrapped, marked, repeats, empty, placeholder, placeholder_end, one_way =
*"up" |
** "down" }) --> words for read_script; as struct pgmig_vocabulary. Directives
** are pgmig's own.
*/
static int vocabulary_new(lua_State *L)
{
    const char *tool = luaL_checkstring(L, 1);
    struct lvocabulary *lv;

    luaL_checktype(L, 2, LUA_TTABLE);
    lv = lua_newuserdata(L, sizeof *lv);
    /* complete from here on: what is raised below leaves a whole object */
    lv->words = pgmig_vocabulary_default;
    lv->anchor = LUA_NOREF;
    luaL_getmetatable(L, LPGMIG_VOCABULARY);
    lua_setmetatable(L, -2);
    lua_newtable(L);
    lv->anchor = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushvalue(L, 2);
    read_markers(L, lv, tool);
    read_options(L, lv);
    read_rules(L, lv);
    read_way(L, lv);
    lua_pop(L, 1);
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
