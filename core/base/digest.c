/*
** digest.c -- what other tools compute of a file.
**
** Their tracking tables hold it. Where pgmig takes such a table over it
** compares, and where it shares the table with the tool it writes; so these
** have to be the tool's own to the bit, whatever one may think of them.
*/
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/hasher.h"

static int sha384(const char *text, size_t len, char out[97],
                  struct pgmig_error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];

    if (EVP_Digest(text, len, digest, NULL, EVP_sha384(), NULL) != 1)
        return pgmig_error_set(err, PGMIG_E_IO, "SHA-384 is not available");
    pgmig_hex(digest, 48, out);
    return 0;
}

/* One byte more of the CRC-32 of ISO 3309 (zlib's and Java's; the polynomial is
** mirrored), bit by bit: files are small and this is rare. */
static uint32_t crc32_of(uint32_t crc, unsigned char byte)
{
    crc ^= byte;
    for (int i = 0; i < 8; i++)
        crc = (crc >> 1) ^ ((crc & 1) ? 0xEDB88320U : 0U);
    return crc;
}

/* Flyway reads a file line by line and never sees how lines end, so no CR or LF
** counts. It keeps the number as Java's int, which has a sign. */
static void crc32_of_lines(const char *text, size_t len, char out[97])
{
    uint32_t crc = 0xFFFFFFFFU;

    for (size_t i = 0; i < len; i++)
        if (text[i] != '\n' && text[i] != '\r')
            crc = crc32_of(crc, (unsigned char)text[i]);
    snprintf(out, 97, "%" PRId32, (int32_t)~crc);
}

int pgmig_digest(enum pgmig_digest kind, const char *text, size_t len,
                 char out[97], struct pgmig_error *err)
{
    if (kind == PGMIG_DIGEST_SHA384)
        return sha384(text, len, out, err);
    /* sqlx hashes a byte order mark as it is there, Flyway leaves it out */
    if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
        text += 3;
        len -= 3;
    }
    crc32_of_lines(text, len, out);
    return 0;
}
