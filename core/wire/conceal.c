/*
** conceal.c -- what libpq and servers repeat of a connection's parameters.
**
** A password that was written into the wrong place (a database's name, an
** option) is repeated as that. Only whole values in double quotes are found,
** which is how libpq and the server write them.
*/
#include "wire/conceal.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

/* Host, port, user and database are what people look for in a message. An
** address that is none may be anything, a piece of a password, too. */
static bool is_shown(const PQconninfoOption *o)
{
    static const char *const shown[] = {"host", "port", "user", "dbname", NULL};

    for (size_t i = 0; shown[i] != NULL; i++)
        if (strcmp(o->keyword, shown[i]) == 0)
            return true;
    return strcmp(o->keyword, "hostaddr") == 0 &&
           o->val[strspn(o->val, "0123456789abcdefABCDEF.:,%")] == '\0';
}

/* Whether the value stands in quotes at `text`: the whole of it, so that a
** short one does not take the beginning of another text away. */
static bool stands_at(const PQconninfoOption *o, const char *text)
{
    size_t len = o->val != NULL ? strlen(o->val) : 0;

    return len > 0 && strncmp(text + 1, o->val, len) == 0 &&
           text[len + 1] == '"';
}

/* The parameter whose value stands there, and is not shown. Where it is the
** value of one that is shown, too, nothing is to be hidden: krbsrvname is
** "postgres" by default, as many a user is. */
static const PQconninfoOption *value_at(const PQconninfoOption *options,
                                        const char *text)
{
    const PQconninfoOption *hidden = NULL;

    for (const PQconninfoOption *o = options; o->keyword != NULL; o++) {
        if (!stands_at(o, text))
            continue;
        if (is_shown(o))
            return NULL;
        hidden = hidden ? hidden : o;
    }
    return hidden;
}

/* The parameters are asked of libpq, which alone knows all of their sources. No
** text at all is given where they are not to be had. One that is empty is still
** a text: something is added for that. */
char *pgmig_conceal(PGconn *pg, const char *text)
{
    PQconninfoOption *options = PQconninfo(pg);
    struct pgmig_buf out = {0};

    while (options != NULL && *text != '\0') {
        size_t plain = strcspn(text, "\"");
        const PQconninfoOption *o;

        pgmig_buf_add(&out, text, plain);
        text += plain;
        o = *text == '"' ? value_at(options, text) : NULL;
        if (o != NULL) {
            pgmig_buf_addf(&out, "(the value of %s)", o->keyword);
            text += strlen(o->val) + 2;
        } else if (*text == '"') {
            pgmig_buf_add(&out, text++, 1);
        }
    }
    pgmig_buf_add(&out, "", 0);
    if (options != NULL && !out.failed) {
        PQconninfoFree(options);
        return out.data;
    }
    PQconninfoFree(options);
    pgmig_buf_free(&out);
    return NULL;
}
