/*
** duration.c -- times with units, as PostgreSQL reads them (manual, "Parameter
** Names and Values"; src/backend/utils/misc/guc.c).
**
** A time in a file or an option is read when the file or the option is, so that
** a mistake shows before anything runs; what the server would round to
** something else than was meant is refused, too.
*/
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

#define TEXT_MAX 64 /* bytes; a longer one is no time */

/* The case of letters counts, as in guc.c: "MS" is no unit. */
static const struct {
    const char *name;
    double ms;
} units[] = {{"us", 0.001},  {"ms", 1},       {"s", 1000},
             {"min", 60000}, {"h", 3600000.}, {"d", 86400000.}};

static const char *skip_blanks(const char *s)
{
    while (isspace((unsigned char)*s))
        s++;
    return s;
}

/* A number as C reads it, hexadecimal and octal ones included; a fraction or an
** exponent only in decimal (guc.c, parse_int, of PostgreSQL 12 and later). */
static bool read_number(const char *s, double *number, char **end)
{
    errno = 0;
    *number = (double)strtol(s, end, 0);
    if (**end == '.' || **end == 'e' || **end == 'E' || errno == ERANGE) {
        errno = 0;
        *number = strtod(s, end);
    }
    return *end != s && errno == 0 && isfinite(*number);
}

/* The unit that is all of what is left. */
static bool read_unit(const char *s, double *ms)
{
    size_t len = 0;

    while (s[len] != '\0' && !isspace((unsigned char)s[len]))
        len++;
    if (*skip_blanks(s + len) != '\0')
        return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strlen(units[i].name) == len &&
            memcmp(units[i].name, s, len) == 0) {
            *ms = units[i].ms;
            return true;
        }
    return false;
}

/* `has_unit` lets a caller warn of a bare number: it counts milliseconds for
** the server, and seconds for most people who write one. */
const char *pgmig_duration(const char *s, size_t len, double *ms,
                           bool *has_unit)
{
    static const char form[] = "must be a number and a unit (us, ms, s, min, h "
                               "or d), such as 500ms or 5s";
    char text[TEXT_MAX + 1];
    const char *unit;
    char *end;
    double factor = 1;

    /* strtol needs a NUL at the end, and one before it would hide the rest */
    if (len > TEXT_MAX || memchr(s, '\0', len) != NULL)
        return form;
    memcpy(text, s, len);
    text[len] = '\0';
    if (!read_number(text, ms, &end))
        return form;
    unit = skip_blanks(end);
    *has_unit = *unit != '\0';
    if (*has_unit && !read_unit(unit, &factor))
        return form;
    *ms *= factor;
    return *ms < 0 ? "must not be negative" : NULL;
}

/* Halves go to the even neighbour, as rint(3) does for guc.c; without its
** library. `ms` is not negative and fits a long long. */
static double whole(double ms)
{
    double below = (double)(long long)ms;
    double rest = ms - below;
    bool odd = (long long)ms % 2 == 1;

    return rest > 0.5 || (rest == 0.5 && odd) ? below + 1 : below;
}

/* The range of lock_timeout and statement_timeout (guc_tables.c). */
const char *pgmig_duration_setting(const char *s, size_t len, int *ms,
                                   bool *has_unit)
{
    double exact;
    const char *wrong = pgmig_duration(s, len, &exact, has_unit);

    if (wrong != NULL)
        return wrong;
    if (exact >= (double)INT_MAX + 1 || whole(exact) > INT_MAX)
        return "must be at most 2147483647ms (about 24 days)";
    /* the server rounds, and 0 means no limit: the opposite of a short one */
    if (exact > 0 && whole(exact) == 0)
        return "must be at least 1ms, or 0 for no limit";
    *ms = (int)whole(exact);
    return NULL;
}
