/* checksum.c -- SHA-256 of a migration's text, the same on every checkout. */
#include <openssl/evp.h>
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

static void to_hex(const unsigned char *digest, char out[65])
{
    static const char hex[] = "0123456789abcdef";

    for (size_t i = 0; i < 32; i++) {
        out[2 * i] = hex[digest[i] >> 4];
        out[2 * i + 1] = hex[digest[i] & 15];
    }
    out[64] = '\0';
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
    to_hex(digest, out);
    return 0;
}
