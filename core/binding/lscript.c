/*
** lscript.c -- parsed migration files.
**
** A script's texts point into its file's text, and its words into the
** vocabulary that it was read with, which is Lua's: so that is kept as long as
** the script. Statements become tables only when they are asked for: to run a
** migration, Lua needs none of them.
*/
#include <stdlib.h>
#include <string.h>

#include "binding/lpgmig.h"
#include "text/classify.h"
#include "text/lexer.h"

struct lscript {
    struct pgmig_script *script;
    int words;                /* keeps the vocabulary that it was read with */
    struct pgmig_place place; /* of the statement that was asked for last */
};

/* A script that keeps the vocabulary at `words`, an argument. The metatable
** comes before the reference: if making that fails, the finalizer finds an
** object that is empty, and well. */
static struct pgmig_script **new_script(lua_State *L, int words)
{
    struct lscript *ls = lua_newuserdata(L, sizeof *ls);

    *ls = (struct lscript){.words = LUA_NOREF};
    luaL_getmetatable(L, LPGMIG_SCRIPT);
    lua_setmetatable(L, -2);
    lua_pushvalue(L, words);
    ls->words = luaL_ref(L, LUA_REGISTRYINDEX);
    return &ls->script;
}

struct pgmig_script *lpgmig_check_script(lua_State *L, int arg)
{
    struct lscript *ls = luaL_checkudata(L, arg, LPGMIG_SCRIPT);

    if (ls->script == NULL)
        lpgmig_error_usage(L, "this object has been garbage-collected");
    return ls->script;
}

/* script:free() lets go of its memory now; it cannot be used any more. It is
** the finalizer, too. A migration under way keeps its script alive (lapply.c),
** but not from a call by hand: whoever calls this must know that nothing uses
** it. */
static int script_free(lua_State *L)
{
    struct lscript *ls = luaL_checkudata(L, 1, LPGMIG_SCRIPT);

    pgmig_script_free(ls->script);
    ls->script = NULL;
    luaL_unref(L, LUA_REGISTRYINDEX, ls->words);
    ls->words = LUA_NOREF;
    return 0;
}

static int script_tostring(lua_State *L)
{
    lua_pushfstring(L, "pgmig script (%s)", lpgmig_check_script(L, 1)->path);
    return 1;
}

/*
** read_script(path, vocabulary, stream) --> script; without a vocabulary
** pgmig's own words count; with `stream` a large file is not held (see
** streamed). Raises kinds "io" and "parse".
*/
static int text_read_script(lua_State *L)
{
    const char *path = lpgmig_check_name(L, 1);
    const struct pgmig_vocabulary *words = lpgmig_opt_vocabulary(L, 2);
    bool stream = lua_toboolean(L, 3);
    struct pgmig_error *err;
    struct pgmig_script **script;

    lua_settop(L, 3);
    err = lpgmig_error_new(L);
    script = new_script(L, 2);
    *script = pgmig_script_read(path, words, stream, err);
    if (*script == NULL)
        return lpgmig_error_raise(L, err);
    return 1;
}

/* parse_script(text, path [, vocabulary [, file, edits]]) --> script; path
** names it in errors. The text may be made of a file's: places are those of
** that, and edits say what was replaced, as of fill_variables. */
static int text_parse_script(lua_State *L)
{
    size_t len;
    size_t file_len = 0;
    const char *text = luaL_checklstring(L, 1, &len);
    const char *path = lpgmig_check_name(L, 2);
    const struct pgmig_vocabulary *words = lpgmig_opt_vocabulary(L, 3);
    const char *file = luaL_optlstring(L, 4, NULL, &file_len);
    struct pgmig_origin origin = {0};
    struct pgmig_edits edits = {0};
    struct pgmig_error *err;
    struct pgmig_script **script;
    char *copy;

    lua_settop(L, 5);
    if (file != NULL) {
        luaL_checktype(L, 5, LUA_TTABLE);
        edits = lpgmig_check_edits(L, 5);
    }
    err = lpgmig_error_new(L);
    script = new_script(L, 3);
    /* the script owns its texts, also when they cannot be parsed */
    if (file != NULL)
        origin = lpgmig_copy_origin(file, file_len, &edits);
    copy = file == NULL || origin.text != NULL ? malloc(len + 1) : NULL;
    if (copy == NULL) {
        free(origin.text);
        free(origin.edits.list);
        return luaL_error(L, "out of memory");
    }
    memcpy(copy, text, len + 1);
    *script = pgmig_script_parse_changed(path, copy, len, origin, words, err);
    if (*script == NULL)
        return lpgmig_error_raise(L, err);
    return 1;
}

/* empty_script(path, transaction) --> a script without statements, for what is
** no SQL file; whether its sections run in a transaction. */
static int text_empty_script(lua_State *L)
{
    const char *path = lpgmig_check_name(L, 1);
    bool transaction = lua_toboolean(L, 2);
    struct pgmig_error *err;
    struct pgmig_script **script;

    lua_settop(L, 3);
    err = lpgmig_error_new(L);
    script = new_script(L, 3);
    *script = pgmig_script_empty(path, transaction, err);
    if (*script == NULL)
        return lpgmig_error_raise(L, err);
    return 1;
}

/* ---- a script as tables ---------------------------------------------- */

/* The script at argument 1; a streamed one has no text to show. */
static const struct pgmig_script *check_held(lua_State *L)
{
    const struct pgmig_script *script = lpgmig_check_script(L, 1);

    if (script->streamed)
        lpgmig_error_usage(L,
                           "this script is not held in memory: read it whole");
    return script;
}

/* Places are asked for in order: from the last one on, lines are counted
** once. */
static void set_place(lua_State *L, const struct pgmig_script *script,
                      size_t offset, struct pgmig_place *place)
{
    pgmig_source_locate(&script->source, offset, place);
    lpgmig_set_integer(L, "line", place->line);
    lpgmig_set_integer(L, "column", place->column);
}

static void set_text(lua_State *L, const char *key, const char *text,
                     size_t len)
{
    lua_pushlstring(L, text, len);
    lua_setfield(L, -2, key);
}

/* A name as the server reads it, where there is one. */
static void set_name(lua_State *L, const char *sql, const char *key,
                     struct pgmig_range range)
{
    size_t room = range.end - range.start;
    char *name;

    if (room == 0)
        return;
    name = lua_newuserdata(L, room);
    lua_pushlstring(L, name, pgmig_ident_read(sql, range, name));
    lua_setfield(L, -3, key);
    lua_pop(L, 1);
}

/* The field `index_change` of a statement about indexes. */
static void set_index(lua_State *L, const char *sql,
                      const struct pgmig_index *index)
{
    if (index->action == PGMIG_INDEX_NONE)
        return;
    lua_createtable(L, 0, 5);
    lpgmig_set_string(L, "action", pgmig_index_action_name(index->action));
    lpgmig_set_boolean(L, "concurrently", index->concurrently);
    lpgmig_set_boolean(L, "optional", index->optional);
    lpgmig_set_boolean(L, "unique", index->unique);
    set_name(L, sql, "name", index->name);
    set_name(L, sql, "table", index->table);
    set_text(L, "rest", sql + index->rest.start,
             index->rest.end - index->rest.start);
    lua_setfield(L, -2, "index_change");
}

/* statement(sql) --> what one is: { kind, index_change }, as script:statement
** says it. */
static int text_statement(lua_State *L)
{
    size_t len;
    const char *sql = luaL_checklstring(L, 1, &len);
    struct pgmig_statement st = {.end = len};

    pgmig_classify(&st, sql, len, true);
    lua_createtable(L, 0, 2);
    lpgmig_set_string(L, "kind", st.name);
    set_index(L, sql, &st.index);
    return 1;
}

/* How Lua calls the kinds of tokens that it is shown. */
static const char *const token_kinds[] = {
    [PGMIG_TOKEN_WORD] = "word",           [PGMIG_TOKEN_QUOTED] = "name",
    [PGMIG_TOKEN_STRING] = "string",       [PGMIG_TOKEN_NUMBER] = "number",
    [PGMIG_TOKEN_SYMBOL] = "symbol",       [PGMIG_TOKEN_BACKSLASH] = "symbol",
    [PGMIG_TOKEN_UNTERMINATED] = "symbol",
};

/* tokens(sql) --> its tokens but for comments, { kind, text, at = its byte,
** from 1 }: "word", "name" (one in quotes), "string", "number", "symbol". */
static int text_tokens(lua_State *L)
{
    struct pgmig_words w;
    size_t len;
    const char *sql = luaL_checklstring(L, 1, &len);

    pgmig_words_init(&w, sql, len, true);
    lua_newtable(L);
    for (int n = 1; !pgmig_words_ended(&w); n++, pgmig_words_next(&w)) {
        lua_createtable(L, 0, 3);
        lpgmig_set_string(L, "kind", token_kinds[w.tok.kind]);
        set_text(L, "text", sql + w.tok.start, w.tok.end - w.tok.start);
        lpgmig_set_integer(L, "at", (lua_Integer)w.tok.start + 1);
        lua_rawseti(L, -2, n);
    }
    return 1;
}

static void push_statement(lua_State *L, const struct pgmig_script *script,
                           const struct pgmig_statement *st,
                           struct pgmig_place *place)
{
    const char *sql = pgmig_source_at(&script->source, st->start);
    size_t len = st->end - st->start;

    lua_createtable(L, 0, 6);
    set_text(L, "sql", sql, len);
    lpgmig_set_string(L, "kind", st->name);
    lpgmig_set_integer(L, "offset", (lua_Integer)st->start);
    set_place(L, script, st->start, place);
    if (st->copy_start > 0)
        set_text(L, "copy_data",
                 pgmig_source_at(&script->source, st->copy_start),
                 st->copy_end - st->copy_start);
    set_index(L, sql, &st->index);
}

static void push_statements(lua_State *L, const struct pgmig_script *script,
                            const struct pgmig_section *section)
{
    struct pgmig_place place = {0};

    lua_createtable(L, (int)section->statement_count, 0);
    for (size_t i = 0; i < section->statement_count; i++) {
        push_statement(L, script, &section->statements[i], &place);
        lua_rawseti(L, -2, (int)i + 1);
    }
}

static void push_directives(lua_State *L, const struct pgmig_directive *list,
                            size_t count)
{
    lua_newtable(L);
    for (size_t i = count; i > 0; i--) /* of one that repeats, the first */
        lpgmig_set_string(L, list[i - 1].key, list[i - 1].value);
}

static void push_section(lua_State *L, const struct pgmig_script *script,
                         enum pgmig_direction direction)
{
    const struct pgmig_section *section = &script->sections[direction];
    struct pgmig_place place = {0};

    lua_newtable(L);
    pgmig_source_locate(&script->source, section->start, &place);
    lpgmig_set_integer(L, "line", place.line);
    lpgmig_set_boolean(L, "transaction", section->transaction);
    lpgmig_set_boolean(
        L, "empty", pgmig_script_directive(script, direction, "empty") != NULL);
    if (section->transaction)
        lpgmig_set_string(L, "begin", section->begin);
    push_directives(L, section->directives, section->directive_count);
    lua_setfield(L, -2, "directives");
    push_statements(L, script, section);
    lua_setfield(L, -2, "statements");
}

static void push_warnings(lua_State *L, const struct pgmig_script *script)
{
    lua_createtable(L, (int)script->warning_count, 0);
    for (size_t i = 0; i < script->warning_count; i++) {
        const struct pgmig_warning *warning = &script->warnings[i];

        lua_newtable(L);
        lpgmig_set_string(L, "message", warning->message);
        lpgmig_set_integer(L, "line", warning->line);
        lpgmig_set_integer(L, "column", warning->column);
        lua_rawseti(L, -2, (int)i + 1);
    }
}

/*
** script:describe() --> { marked, directives, warnings, irreversible,
** up = section, down = section }, statements and all.
*/
static int script_describe(lua_State *L)
{
    const struct pgmig_script *script = check_held(L);

    lua_newtable(L);
    lpgmig_set_string(L, "path", script->path);
    lpgmig_set_boolean(L, "marked", script->marked);
    lpgmig_set_string(L, "irreversible", pgmig_script_irreversible(script));
    push_directives(L, script->directives, script->directive_count);
    lua_setfield(L, -2, "directives");
    push_warnings(L, script);
    lua_setfield(L, -2, "warnings");
    for (int i = 0; i < 2; i++) {
        if (!script->sections[i].present)
            continue;
        push_section(L, script, (enum pgmig_direction)i);
        lua_setfield(L, -2, lpgmig_directions[i]);
    }
    return 1;
}

/*
** script:statement("up" | "down", n) --> its n-th statement, a table, and how
** many there are.
*/
static int script_statement(lua_State *L)
{
    const struct pgmig_script *script = check_held(L);
    const struct pgmig_section *section =
        &script->sections[luaL_checkoption(L, 2, NULL, lpgmig_directions)];
    lua_Integer n = luaL_checkinteger(L, 3);
    struct pgmig_place *place =
        &((struct lscript *)lua_touserdata(L, 1))->place;
    const struct pgmig_statement *st;

    luaL_argcheck(L, n >= 1 && (size_t)n <= section->statement_count, 3,
                  "no such statement");
    st = &section->statements[n - 1];
    if (st->start < place->offset) /* mostly they are asked for in order */
        *place = (struct pgmig_place){0};
    push_statement(L, script, st, place);
    lpgmig_set_integer(L, "index", n);
    lua_pushinteger(L, (lua_Integer)section->statement_count);
    return 2;
}

/* script:count("up" | "down") --> how many statements a section has; nil where
** that shows only when it runs. */
static int script_count(lua_State *L)
{
    const struct pgmig_script *script = lpgmig_check_script(L, 1);
    int direction = luaL_checkoption(L, 2, NULL, lpgmig_directions);

    if (script->streamed)
        return 0;
    lua_pushinteger(L,
                    (lua_Integer)script->sections[direction].statement_count);
    return 1;
}

/* script:directive("up" | "down", key) --> its value, the section's before the
** file's; nil. */
static int script_directive(lua_State *L)
{
    const struct pgmig_script *script = lpgmig_check_script(L, 1);
    int direction = luaL_checkoption(L, 2, NULL, lpgmig_directions);

    lua_pushstring(L, pgmig_script_directive(script,
                                             (enum pgmig_direction)direction,
                                             luaL_checkstring(L, 3)));
    return 1;
}

/* script:backfills("up" | "down") --> its BACKFILL lines, { { options by name,
** line, column } }; nil: there are none. */
static int script_backfills(lua_State *L)
{
    const struct pgmig_script *script = lpgmig_check_script(L, 1);
    const struct pgmig_section *section =
        &script->sections[luaL_checkoption(L, 2, NULL, lpgmig_directions)];

    if (section->backfill_count == 0)
        return 0;
    lua_createtable(L, (int)section->backfill_count, 0);
    for (size_t i = 0; i < section->backfill_count; i++) {
        const struct pgmig_backfill *backfill = &section->backfills[i];
        struct pgmig_place place = {0};

        push_directives(L, backfill->options, backfill->option_count);
        if (!script->streamed)
            set_place(L, script, backfill->offset, &place);
        lua_rawseti(L, -2, (int)i + 1);
    }
    return 1;
}

/* script:transaction("up" | "down") --> whether the section runs in one. */
static int script_transaction(lua_State *L)
{
    const struct pgmig_script *script = lpgmig_check_script(L, 1);

    lua_pushboolean(
        L, script->sections[luaL_checkoption(L, 2, NULL, lpgmig_directions)]
               .transaction);
    return 1;
}

/* script:checksum() --> of its text, as pgmig.checksum. */
static int script_checksum(lua_State *L)
{
    const struct pgmig_script *script = lpgmig_check_script(L, 1);
    struct pgmig_error *err = lpgmig_error_new(L);
    char out[65];
    int status =
        script->streamed
            ? pgmig_file_checksum(script->path, out, err)
            : pgmig_checksum(script->source.text, script->source.end, out, err);

    if (status != 0)
        return lpgmig_error_raise(L, err);
    lua_pushstring(L, out);
    return 1;
}

/* script:size() --> the bytes that are held for it. */
static int script_size(lua_State *L)
{
    const struct pgmig_script *script = lpgmig_check_script(L, 1);

    lua_pushinteger(L, (lua_Integer)script->source.end);
    return 1;
}

/* script:mentions(word) --> whether its text has it, in whatever letters; true
** where it is not held. */
static int script_mentions(lua_State *L)
{
    const struct pgmig_script *script = lpgmig_check_script(L, 1);
    const char *word = luaL_checkstring(L, 2);

    lua_pushboolean(L, script->streamed || pgmig_script_mentions(script, word));
    return 1;
}

/* script:streamed() --> whether its file is read again when it runs. */
static int script_streamed(lua_State *L)
{
    lua_pushboolean(L, lpgmig_check_script(L, 1)->streamed);
    return 1;
}

/* script:marked() --> whether it has a section marker. */
static int script_marked(lua_State *L)
{
    lua_pushboolean(L, lpgmig_check_script(L, 1)->marked);
    return 1;
}

/* script:empty(section) --> whether it has no statement there. */
static int script_empty(lua_State *L)
{
    const struct pgmig_script *script = lpgmig_check_script(L, 1);
    int section = luaL_checkoption(L, 2, NULL, lpgmig_directions);

    lua_pushboolean(L, script->sections[section].statement_count == 0);
    return 1;
}

/* script:warnings() --> { { line, column, message }, ... } */
static int script_warnings(lua_State *L)
{
    push_warnings(L, lpgmig_check_script(L, 1));
    return 1;
}

/*
** script:down_state() --> "ready", "none" (no DOWN section), "empty" (no SQL
** in it), "nothing" (no SQL, and it says so), or "irreversible", reason.
*/
static int script_down_state(lua_State *L)
{
    const struct pgmig_script *script = lpgmig_check_script(L, 1);
    const struct pgmig_section *down = &script->sections[PGMIG_DOWN];
    const char *reason = pgmig_script_irreversible(script);
    const char *state = "ready";

    if (reason != NULL)
        state = "irreversible";
    else if (!down->present)
        state = "none";
    else if (down->statement_count == 0)
        state = pgmig_script_directive(script, PGMIG_DOWN, "empty") ? "nothing"
                                                                    : "empty";
    lua_pushstring(L, state);
    if (reason == NULL)
        return 1;
    lua_pushstring(L, reason);
    return 2;
}

void lpgmig_open_script(lua_State *L)
{
    static const luaL_Reg functions[] = {{"read_script", text_read_script},
                                         {"parse_script", text_parse_script},
                                         {"empty_script", text_empty_script},
                                         {"statement", text_statement},
                                         {"tokens", text_tokens},
                                         {NULL, NULL}};
    static const luaL_Reg methods[] = {{"describe", script_describe},
                                       {"statement", script_statement},
                                       {"count", script_count},
                                       {"checksum", script_checksum},
                                       {"directive", script_directive},
                                       {"backfills", script_backfills},
                                       {"transaction", script_transaction},
                                       {"size", script_size},
                                       {"mentions", script_mentions},
                                       {"streamed", script_streamed},
                                       {"marked", script_marked},
                                       {"empty", script_empty},
                                       {"warnings", script_warnings},
                                       {"down_state", script_down_state},
                                       {"free", script_free},
                                       {"__gc", script_free},
                                       {"__tostring", script_tostring},
                                       {NULL, NULL}};

    lpgmig_class(L, LPGMIG_SCRIPT, methods);
    lpgmig_set(L, functions);
}
