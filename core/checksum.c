/* checksum.c -- SHA-256 of a migration's text, the same on every checkout, and
** what other tools compute. */
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "pgmig.h"

/* Feed the text with every CRLF as LF. */
static int update(EVP_MD_CTX *ctx, const char *text, size_t len)
{
    while (len > 0) {
        const char *cr = memchr(text, '\r', len);
        size_t run = cr ? (size_t)(cr - text) : len;

        if (cr != NULL && (run + 1 == len || cr[1] != '\n'))
            run++; /* a lone CR is text */
        if (EVP_DigestUpdate(ctx, text, run) != 1)
            return -1;
        if (run < len && text[run] == '\r' && cr == text + run)
            run++;
        text += run;
        len -= run;
    }
    return 0;
}

static void to_hex(const unsigned char *digest, size_t len, char *out)
{
    static const char hex[] = "0123456789abcdef";

    for (size_t i = 0; i < len; i++) {
        out[2 * i] = hex[digest[i] >> 4];
        out[2 * i + 1] = hex[digest[i] & 15];
    }
    out[2 * len] = '\0';
}

int pgmig_checksum(const char *text, size_t len, char out[65],
                   struct pgmig_error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int status = -1;

    if (ctx == NULL)
        return pgmig_error_memory(err);
    if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
        text += 3;
        len -= 3;
    }
    if (EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
        update(ctx, text, len) == 0 &&
        EVP_DigestFinal_ex(ctx, digest, NULL) == 1)
        status = 0;
    EVP_MD_CTX_free(ctx);
    if (status != 0)
        return pgmig_error_set(err, PGMIG_E_IO, "SHA-256 is not available");
    to_hex(digest, 32, out);
    return 0;
}

/* ---- other tools' ---------------------------------------------------- */

static int sha384(const char *text, size_t len, char out[97],
                  struct pgmig_error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];

    if (EVP_Digest(text, len, digest, NULL, EVP_sha384(), NULL) != 1)
        return pgmig_error_set(err, PGMIG_E_IO, "SHA-384 is not available");
    to_hex(digest, 48, out);
    return 0;
}

/* CRC-32 of ISO 3309, bit by bit: files are small and this is rare. */
static uint32_t crc32_of(uint32_t crc, unsigned char byte)
{
    crc ^= byte;
    for (int i = 0; i < 8; i++)
        crc = (crc >> 1) ^ ((crc & 1) ? 0xEDB88320U : 0U);
    return crc;
}

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
    if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
        text += 3;
        len -= 3;
    }
    crc32_of_lines(text, len, out);
    return 0;
}
