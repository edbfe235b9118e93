/*
** fuzz_value.c -- any text as a time, a version, a text to show, a file to
** check: what is read from it reads the same when it is written anew, and
** pieces have the checksum of the whole.
*/
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/checksum.h"
#include "base/utf8.h"
#include "base/utf8.h"
#include "check.h"
#include "text/text.h"

static void check_duration(const char *s, size_t len)
{
    char again[32];
    double exact;
    int ms;
    int same;
    bool has_unit;

    if (pgmig_duration(s, len, &exact, &has_unit) == NULL)
        CHECK(isfinite(exact) && exact >= 0);
    if (pgmig_duration_setting(s, len, &ms, &has_unit) != NULL)
        return;
    CHECK(ms >= 0 && fabs(exact - ms) <= 0.5 && (ms > 0 || exact == 0));
    CHECK(memchr(s, '\'', len) == NULL && memchr(s, '\0', len) == NULL);
    snprintf(again, sizeof again, "%dms", ms);
    CHECK(pgmig_duration_setting(again, strlen(again), &same, &has_unit) ==
              NULL &&
          same == ms && has_unit);
}

static void check_version(const char *s, size_t len)
{
    struct pgmig_error err = {0};
    char version[PGMIG_VERSION_DIGITS + 1];
    char again[PGMIG_VERSION_DIGITS + 1];

    if (pgmig_version_parse(s, len, version, &err) != 0) {
        CHECK(err.kind == PGMIG_E_NAMING && err.message != NULL);
        pgmig_error_clear(&err);
        return;
    }
    CHECK(strspn(version, "0123456789") == strlen(version));
    CHECK(pgmig_version_parse(version, strlen(version), again, &err) == 0);
    CHECK(strcmp(version, again) == 0);
    CHECK(pgmig_version_compare(version, again) == 0);
    CHECK(strcmp(version, "0") == 0 || version[0] != '0');
    CHECK(pgmig_version_compare(version, "0") >= 0);
}

static void check_visible(const char *s, size_t len, bool one_line)
{
    size_t shown_len;
    size_t again_len;
    char *shown = pgmig_visible(s, len, one_line, &shown_len);
    char *again;

    if (len == 0 && shown == NULL)
        return;
    CHECK(shown != NULL && pgmig_utf8_check(shown, shown_len) == shown_len);
    for (size_t i = 0; i < shown_len; i++)
        CHECK((unsigned char)shown[i] >= 0x20 || shown[i] == '\t' ||
              (shown[i] == '\n' && !one_line));
    again = pgmig_visible(shown, shown_len, one_line, &again_len);
    CHECK(shown_len == 0 ||
          (again_len == shown_len && memcmp(again, shown, shown_len) == 0));
    CHECK(!pgmig_visible_is_plain(s, len) ||
          (shown_len == len && memcmp(shown, s, len) == 0));
    free(shown);
    free(again);
}

/* The first piece has three bytes at least. */
static void check_pieces(const char *s, size_t len)
{
    struct pgmig_error err = {0};
    struct pgmig_hasher h;
    size_t piece = len > 0 ? 3 + (unsigned char)s[0] % 5U : 3;
    char whole[65];
    char pieces[65];

    CHECK(pgmig_checksum(s, len, whole, &err) == 0);
    CHECK(pgmig_hasher_init(&h, &err) == 0);
    for (size_t at = 0; at < len; at += piece, piece = 1 + piece % 4)
        pgmig_hasher_add(&h, s + at, len - at < piece ? len - at : piece);
    CHECK(pgmig_hasher_end(&h, pieces, &err) == 0);
    pgmig_hasher_free(&h);
    CHECK(strcmp(whole, pieces) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *s = (const char *)data;

    check_duration(s, size);
    check_version(s, size);
    check_visible(s, size, false);
    check_visible(s, size, true);
    check_pieces(s, size);
    return 0;
}
