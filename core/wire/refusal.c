/*
** refusal.c -- why a server refuses a connection, whatever its language.
**
** libpq throws the fields of such an error away and keeps a text, to which it
** adds the SQLSTATE when it is told to be verbose (connect.c): "FATAL:  53300:
*sorry, too
** many clients already", and in a last line "LOCATION:  InitPostgres,
** postinit.c:781". The words in capitals may be translated; the form is not.
*/
#include "wire/refusal.h"

#include <stdbool.h>
#include <string.h>

#define CODE 5 /* characters of a SQLSTATE */

#define DIGITS "0123456789"
#define CAPITALS "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define NAME CAPITALS "abcdefghijklmnopqrstuvwxyz" DIGITS "_"

/* The first SQLSTATE of a line, ":  53300: "; NULL: there is none. Names of
** hosts and what the server says of them may have anything but that before. */
static char *find_code(char *line, const char *end)
{
    for (char *at = strstr(line, ":  "); at != NULL && at < end;
         at = strstr(at + 1, ":  "))
        if (strspn(at + 3, CAPITALS DIGITS) == CODE &&
            strncmp(at + 3 + CODE, ": ", 2) == 0)
            return at + 3;
    return NULL;
}

/* Whether a line is the place in the server's source: "WORD:  function,
** file.c:123", with or without the function. */
static bool is_location(const char *line, const char *end)
{
    const char *at = strstr(line, ":  ");
    size_t len;

    if (at == NULL || at >= end || memchr(line, ' ', (size_t)(at - line)))
        return false;
    at += 3;
    len = strspn(at, NAME);
    if (len > 0 && strncmp(at + len, ", ", 2) == 0)
        at += len + 2;
    at += strspn(at, NAME "./-");
    return at < end && *at == ':' && strspn(at + 1, DIGITS) > 0 &&
           at + 1 + strspn(at + 1, DIGITS) == end;
}

/* What comes behind moves up. */
static void cut(char *from, const char *to)
{
    memmove(from, to, strlen(to) + 1);
}

static const char *meaning(const char *code)
{
    /* manual, appendix A */
    static const char *const meanings[][2] = {{"53300", "too_many_connections"},
                                              {"3D000", "no_database"},
                                              {"28P01", "wrong_password"}};

    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++)
        if (strncmp(code, meanings[i][0], CODE) == 0)
            return meanings[i][1];
    return NULL;
}

const char *pgmig_refusal_read(PGconn *pg, char *text)
{
    const char *reason = PQconnectionNeedsPassword(pg) ? "no_password" : NULL;
    char *line = text;

    while (*line != '\0') {
        char *end = line + strcspn(line, "\n");
        char *code = find_code(line, end);

        if (is_location(line, end)) {
            cut(line, *end == '\n' ? end + 1 : end);
            continue;
        }
        if (code != NULL) {
            reason = meaning(code) ? meaning(code) : reason;
            cut(code, code + CODE + 2);
            end -= CODE + 2;
        }
        line = *end == '\n' ? end + 1 : end;
    }
    return reason;
}
