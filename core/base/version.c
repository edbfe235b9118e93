/*
** version.c -- migration versions: numbers of up to 38 digits, as text.
**
** No integer of C or Lua holds as many (a Lua number none above 2^53 on
** LuaJIT), so they are never calculated with: in their one form, without
** leading zeros, the longer of two is the larger, and of two of one length the
** one that comes later in the order of bytes.
*/
#include <string.h>

#include "base/error.h"
#include "base/base.h"

/* ASCII digits only, whatever the locale counts among them. */
static bool are_digits(const char *s, size_t len)
{
    while (len > 0 && *s >= '0' && *s <= '9') {
        s++;
        len--;
    }
    return len == 0;
}

int pgmig_version_parse(const char *digits, size_t len,
                        char out[PGMIG_VERSION_DIGITS + 1],
                        struct pgmig_error *err)
{
    if (len == 0 || !are_digits(digits, len))
        return pgmig_error_set(err, PGMIG_E_NAMING,
                               "a version must be a number, not \"%.*s\"",
                               (int)(len < 60 ? len : 60), digits);
    while (len > 1 && *digits == '0') {
        digits++;
        len--;
    }
    if (len > PGMIG_VERSION_DIGITS)
        return pgmig_error_set(err, PGMIG_E_NAMING,
                               "version %.*s... has more than %d digits", 20,
                               digits, PGMIG_VERSION_DIGITS);
    memcpy(out, digits, len);
    out[len] = '\0';
    return 0;
}

int pgmig_version_compare(const char *a, const char *b)
{
    size_t la = strlen(a);
    size_t lb = strlen(b);

    if (la != lb)
        return la < lb ? -1 : 1;
    return memcmp(a, b, la);
}
