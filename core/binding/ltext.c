/*
** ltext.c -- versions, directories, files and checksums.
**
** Each function checks its arguments, has an error and an owner for what it
** acquires, and only then calls the core (lpgmig.h). Where a result is a C
** array of fixed size, nothing is acquired, and nothing can be lost.
*/
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "binding/lpgmig.h"
#include "base/utf8.h"

/*
** version(digits) --> the version's one form: digits without leading zeros.
** Raises kind "naming".
*/
static int text_version(lua_State *L)
{
    size_t len;
    const char *digits = luaL_checklstring(L, 1, &len);
    struct pgmig_error *err = lpgmig_error_new(L);
    char out[PGMIG_VERSION_DIGITS + 1];

    if (pgmig_version_parse(digits, len, out, err) != 0)
        return lpgmig_error_raise(L, err);
    lua_pushstring(L, out);
    return 1;
}

/* compare(a, b) --> -1, 0 or 1 for two versions in their one form. */
static int text_compare(lua_State *L)
{
    int order =
        pgmig_version_compare(luaL_checkstring(L, 1), luaL_checkstring(L, 2));

    lua_pushinteger(L, (order > 0) - (order < 0));
    return 1;
}

static void release_dir(void *dir)
{
    pgmig_dir_free(dir);
}

/* list(path, deep) --> the files in it, and with deep in its folders, as
** relative paths, sorted; folders that were not entered end with a slash.
** Raises kind "io". */
static int text_list(lua_State *L)
{
    const char *path = lpgmig_check_name(L, 1);
    struct pgmig_error *err = lpgmig_error_new(L);
    struct pgmig_dir *dir = lpgmig_own(L, sizeof *dir, release_dir);

    if (pgmig_dir_read(dir, path, lua_toboolean(L, 2), err) != 0)
        return lpgmig_error_raise(L, err);
    lua_createtable(L, (int)dir->count, 0);
    for (size_t i = 0; i < dir->count; i++) {
        lua_pushstring(L, dir->names[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    /* early, for large folders; the finalizer finds it empty */
    pgmig_dir_free(dir);
    return 1;
}

/* check_dir(path) raises kind "io" for what is no readable directory. */
static int text_check_dir(lua_State *L)
{
    const char *path = lpgmig_check_name(L, 1);
    struct pgmig_error *err = lpgmig_error_new(L);

    if (pgmig_dir_check(path, err) != 0)
        return lpgmig_error_raise(L, err);
    return 0;
}

/* A function of the core that writes a file. */
typedef int writer(const char *path, const char *text, size_t len,
                   struct pgmig_error *err);

static int write_file(lua_State *L, writer *put)
{
    size_t len;
    const char *path = lpgmig_check_name(L, 1);
    const char *text = luaL_checklstring(L, 2, &len);
    struct pgmig_error *err = lpgmig_error_new(L);

    if (put(path, text, len, err) != 0)
        return lpgmig_error_raise(L, err);
    return 0;
}

/*
** create_file(path, text) writes a file that must not exist.
** Raises kind "io".
*/
static int text_create_file(lua_State *L)
{
    return write_file(L, pgmig_file_create);
}

/* replace_file(path, text) writes a file, in the place of the one that may be
** there. Raises kind "io". */
static int text_replace_file(lua_State *L)
{
    return write_file(L, pgmig_file_replace);
}

/* move_file(from, to) gives a file or a folder another name. Raises kind "io",
** also where something has that name. */
static int text_move_file(lua_State *L)
{
    const char *from = lpgmig_check_name(L, 1);
    const char *to = lpgmig_check_name(L, 2);
    struct pgmig_error *err = lpgmig_error_new(L);

    if (pgmig_file_move(from, to, err) != 0)
        return lpgmig_error_raise(L, err);
    return 0;
}

/* read_file(path, most) --> its text, or as many bytes of it; nil when there is
** none. Raises kind "io" for what cannot be read, or is no regular file. */
static int text_read_file(lua_State *L)
{
    const char *path = lpgmig_check_name(L, 1);
    size_t most = (size_t)luaL_optinteger(L, 2, PTRDIFF_MAX);
    struct pgmig_error *err = lpgmig_error_new(L);
    char **text = lpgmig_own_text(L);
    size_t len;

    /* no file is an answer, not an error */
    if (!pgmig_file_exists(path))
        return 0;
    if (pgmig_file_head(path, most, text, &len, err) != 0)
        return lpgmig_error_raise(L, err);
    return lpgmig_push_owned(L, text, len);
}

/* exists(path) --> whether something is there, whatever it is. */
static int text_exists(lua_State *L)
{
    lua_pushboolean(L, pgmig_file_exists(lpgmig_check_name(L, 1)));
    return 1;
}

/* file_kind(path) --> what is there instead of a regular file, for people; nil
** for one, and where there is nothing. */
static int text_file_kind(lua_State *L)
{
    lua_pushstring(L, pgmig_file_kind(lpgmig_check_name(L, 1)));
    return 1;
}

/* is_same_file(path, other) --> whether both lead to one file or folder. */
static int text_is_same_file(lua_State *L)
{
    lua_pushboolean(L, pgmig_file_is_same(lpgmig_check_name(L, 1),
                                          lpgmig_check_name(L, 2)));
    return 1;
}

/*
** compare_files(paths, checksums) --> a list of "same", "differs",
*"unreadable".
*/
static int text_compare_files(lua_State *L)
{
    static const char *const names[] = {[PGMIG_SAME] = "same",
                                        [PGMIG_DIFFERS] = "differs",
                                        [PGMIG_UNREADABLE] = "unreadable"};
    size_t np;
    size_t nc;
    const char **paths = lpgmig_check_strings(L, 1, &np);
    const char **checksums = lpgmig_check_strings(L, 2, &nc);
    struct pgmig_error *err = lpgmig_error_new(L);
    enum pgmig_comparison *found = lua_newuserdata(L, (np + 1) * sizeof *found);

    luaL_argcheck(L, np == nc, 2, "as many checksums as paths expected");
    if (pgmig_files_compare(paths, checksums, np, found, err) != 0)
        return lpgmig_error_raise(L, err);
    lua_createtable(L, (int)np, 0);
    for (size_t i = 0; i < np; i++) {
        lua_pushstring(L, names[found[i]]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    return 1;
}

/* file_checksums(paths, most) --> the checksums of those files, by path;
 *without
 ** those that cannot be read, or have more than `most` bytes. */
static int text_file_checksums(lua_State *L)
{
    size_t count;
    const char **paths = lpgmig_check_strings(L, 1, &count);
    size_t most = (size_t)luaL_checkinteger(L, 2);
    struct pgmig_error *err = lpgmig_error_new(L);
    char(*out)[65] = lua_newuserdata(L, (count + 1) * sizeof *out);

    if (pgmig_files_checksum(paths, count, most, out, err) != 0)
        return lpgmig_error_raise(L, err);
    lua_createtable(L, 0, (int)count);
    for (size_t i = 0; i < count; i++) {
        if (out[i][0] == '\0')
            continue;
        lua_pushstring(L, out[i]);
        lua_setfield(L, -2, paths[i]);
    }
    return 1;
}

/* checksum(text) --> SHA-256 in hexadecimal, line ends as LF. */
static int text_checksum(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    struct pgmig_error *err = lpgmig_error_new(L);
    char out[65];

    if (pgmig_checksum(text, len, out, err) != 0)
        return lpgmig_error_raise(L, err);
    lua_pushstring(L, out);
    return 1;
}

/* file_checksum(path) --> the same, of a file. Raises kind "io". */
static int text_file_checksum(lua_State *L)
{
    const char *path = lpgmig_check_name(L, 1);
    struct pgmig_error *err = lpgmig_error_new(L);
    char out[65];

    if (pgmig_file_checksum(path, out, err) != 0)
        return lpgmig_error_raise(L, err);
    lua_pushstring(L, out);
    return 1;
}

/* The kind of a digest, by its name at an index. */
static enum pgmig_digest check_digest(lua_State *L, int index)
{
    static const char *const kinds[] = {[PGMIG_DIGEST_SHA384] = "sha384",
                                        [PGMIG_DIGEST_CRC32] = "crc32",
                                        [PGMIG_DIGEST_SHA1] = "sha1",
                                        [PGMIG_DIGEST_SHA256] = "sha256",
                                        [PGMIG_DIGEST_SIPHASH13] = "siphash13",
                                        [PGMIG_DIGEST_MD5] = "md5",
                                        NULL};

    return (enum pgmig_digest)luaL_checkoption(L, index, NULL, kinds);
}

/* digest(text, "sha384" | "crc32" | "sha1" | "sha256" | "siphash13" | "md5")
** --> as the tools that keep it write it. Raises kind "io". */
static int text_digest(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    enum pgmig_digest kind = check_digest(L, 2);
    struct pgmig_error *err = lpgmig_error_new(L);
    char out[97];

    if (pgmig_digest(kind, text, len, out, err) != 0)
        return lpgmig_error_raise(L, err);
    lua_pushstring(L, out);
    return 1;
}

/* file_digest(path, kind) --> likewise, of a file's text. */
static int text_file_digest(lua_State *L)
{
    const char *path = lpgmig_check_name(L, 1);
    enum pgmig_digest kind = check_digest(L, 2);
    struct pgmig_error *err = lpgmig_error_new(L);
    char out[97];
    char *text;
    size_t len;
    int status;

    if (pgmig_file_read(path, &text, &len, err) != 0)
        return lpgmig_error_raise(L, err);
    /* `text` is a C local: nothing of Lua's is called before it is freed */
    status = pgmig_digest(kind, text, len, out, err);
    free(text);
    if (status != 0)
        return lpgmig_error_raise(L, err);
    lua_pushstring(L, out);
    return 1;
}

/* running_digests(list of texts) --> a list: the SHA-256 of the first text, of
** the first two, and so on, in base64. Raises kind "io". */
static int text_running_digests(lua_State *L)
{
    struct pgmig_error *err = lpgmig_error_new(L);
    size_t count;
    const char **pieces;
    size_t *lengths;
    char(*out)[PGMIG_BASE64_BYTES];

    luaL_checktype(L, 1, LUA_TTABLE);
    count = lpgmig_length(L, 1);
    pieces = lua_newuserdata(L, (count + 1) * sizeof *pieces);
    lengths = lua_newuserdata(L, (count + 1) * sizeof *lengths);
    out = lua_newuserdata(L, (count + 1) * sizeof *out);
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, 1, (int)i + 1);
        if (lua_type(L, -1) != LUA_TSTRING)
            return luaL_argerror(L, 1, "list of strings expected");
        pieces[i] = lua_tolstring(L, -1, &lengths[i]); /* the list keeps it */
        lua_pop(L, 1);
    }
    if (pgmig_digest_running(pieces, lengths, count, out, err) != 0)
        return lpgmig_error_raise(L, err);
    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        lua_pushstring(L, out[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    return 1;
}

/*
** readable(text, prefix) --> the text as valid UTF-8: each byte that is no part
** of a character becomes the prefix and two hexadecimal digits.
*/
static int text_readable(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    const char *prefix = luaL_checkstring(L, 2);
    char **made = lpgmig_own_text(L);

    *made = pgmig_readable(text, len, prefix);
    if (*made == NULL)
        return luaL_error(L, "not enough memory");
    return lpgmig_push_owned(L, made, strlen(*made));
}

/* visible(text, one_line) --> the text for terminals and logs: nothing in it
** does anything but be shown. With one_line it has no ends of lines. */
static int text_visible(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    bool one_line = lua_toboolean(L, 2);
    char **made;

    if (pgmig_visible_is_plain(text, len)) { /* as nearly all are */
        lua_settop(L, 1);
        return 1;
    }
    made = lpgmig_own_text(L);
    *made = pgmig_visible(text, len, one_line, &len);
    if (*made == NULL)
        return luaL_error(L, "not enough memory");
    return lpgmig_push_owned(L, made, len);
}

static int push_duration(lua_State *L, const char *wrong, lua_Number ms,
                         bool has_unit)
{
    if (wrong != NULL) {
        lua_pushnil(L);
        lua_pushstring(L, wrong);
        return 2;
    }
    lua_pushnumber(L, ms);
    lua_pushboolean(L, has_unit);
    return 2;
}

/*
** duration(text) --> milliseconds, and whether the text has a unit; or nil and
** what is wrong with it, as the end of a sentence.
*/
static int text_duration(lua_State *L)
{
    size_t len;
    const char *s = luaL_checklstring(L, 1, &len);
    bool has_unit = false;
    double ms = 0;
    const char *wrong = pgmig_duration(s, len, &ms, &has_unit);

    return push_duration(L, wrong, ms, has_unit);
}

/* duration_setting(text) --> the same for lock_timeout and the like. */
static int text_duration_setting(lua_State *L)
{
    size_t len;
    const char *s = luaL_checklstring(L, 1, &len);
    bool has_unit = false;
    int ms = 0;
    const char *wrong = pgmig_duration_setting(s, len, &ms, &has_unit);

    return push_duration(L, wrong, ms, has_unit);
}

void lpgmig_open_text(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"version", text_version},
        {"readable", text_readable},
        {"visible", text_visible},
        {"compare", text_compare},
        {"list", text_list},
        {"check_dir", text_check_dir},
        {"create_file", text_create_file},
        {"replace_file", text_replace_file},
        {"move_file", text_move_file},
        {"read_file", text_read_file},
        {"exists", text_exists},
        {"file_kind", text_file_kind},
        {"checksum", text_checksum},
        {"duration", text_duration},
        {"duration_setting", text_duration_setting},
        {"compare_files", text_compare_files},
        {"is_same_file", text_is_same_file},
        {"file_checksum", text_file_checksum},
        {"file_checksums", text_file_checksums},
        {"digest", text_digest},
        {"file_digest", text_file_digest},
        {"running_digests", text_running_digests},
        {NULL, NULL}};

    lpgmig_set(L, functions);
}
