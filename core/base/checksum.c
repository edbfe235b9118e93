/*
** checksum.c -- SHA-256 of a migration's text, the same on every checkout.
**
** The history keeps checksums for as long as there is a database, so what is
** hashed can never change: the file's bytes without a leading byte order mark,
** and with every CRLF as LF. Nothing else is evened out; a lone CR, blanks at a
** line's end and a missing last line end all count.
*/
#include <errno.h>
#include <openssl/evp.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/hasher.h"

#define PIECE 65536 /* bytes of a file read at once */

/* An OpenSSL that was built, or is set up, without the algorithm. */
static int unavailable(struct pgmig_error *err)
{
    return pgmig_error_set(err, PGMIG_E_IO, "SHA-256 is not available");
}

int pgmig_hasher_init(struct pgmig_hasher *d, struct pgmig_error *err)
{
    *d = (struct pgmig_hasher){.ctx = EVP_MD_CTX_new()};
    if (d->ctx == NULL)
        return pgmig_error_memory(err);
    return EVP_DigestInit_ex(d->ctx, EVP_sha256(), NULL) == 1
               ? 0
               : unavailable(err);
}

/* Begin anew with the algorithm that was looked up before. */
static int restart(struct pgmig_hasher *h, struct pgmig_error *err)
{
    h->begun = h->cr = false;
    return EVP_DigestInit_ex(h->ctx, NULL, NULL) == 1 ? 0 : unavailable(err);
}

/* Feed the text with every CRLF as LF; a CR at its end waits for what comes. */
static void update(struct pgmig_hasher *d, const char *text, size_t len)
{
    while (len > 0) {
        const char *cr = memchr(text, '\r', len);
        size_t run = cr ? (size_t)(cr - text) : len;

        EVP_DigestUpdate(d->ctx, text, run);
        if (cr == NULL)
            return;
        text += run + 1;
        len -= run + 1;
        /* the piece ends with it: the next one tells whether an LF follows */
        d->cr = len == 0;
        if (len > 0 && *text != '\n') /* a lone CR is text */
            EVP_DigestUpdate(d->ctx, "\r", 1);
    }
}

/* The mark is looked for in the first piece alone: elsewhere the same bytes are
** a character of the text. */
void pgmig_hasher_add(struct pgmig_hasher *d, const char *text, size_t len)
{
    if (len == 0)
        return;
    if (!d->begun && len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
        text += 3;
        len -= 3;
    }
    d->begun = true;
    /* the CR that the piece before ended with was text */
    if (d->cr && *text != '\n')
        EVP_DigestUpdate(d->ctx, "\r", 1);
    d->cr = false;
    update(d, text, len);
}

void pgmig_hex(const unsigned char *digest, size_t len, char *out)
{
    static const char hex[] = "0123456789abcdef";

    for (size_t i = 0; i < len; i++) {
        out[2 * i] = hex[digest[i] >> 4];
        out[2 * i + 1] = hex[digest[i] & 15];
    }
    out[2 * len] = '\0';
}

int pgmig_hasher_end(struct pgmig_hasher *d, char out[65],
                     struct pgmig_error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];

    /* a CR at the very end has no LF: it is text */
    if (d->cr)
        EVP_DigestUpdate(d->ctx, "\r", 1);
    if (EVP_DigestFinal_ex(d->ctx, digest, NULL) != 1)
        return unavailable(err);
    pgmig_hex(digest, 32, out);
    return 0;
}

void pgmig_hasher_free(struct pgmig_hasher *d)
{
    EVP_MD_CTX_free(d->ctx);
    d->ctx = NULL;
}

int pgmig_checksum(const char *text, size_t len, char out[65],
                   struct pgmig_error *err)
{
    struct pgmig_hasher d;
    int status = pgmig_hasher_init(&d, err);

    if (status == 0) {
        pgmig_hasher_add(&d, text, len);
        status = pgmig_hasher_end(&d, out, err);
    }
    pgmig_hasher_free(&d);
    return status;
}

/* Read to the end, in pieces that live on the stack: a file may be larger than
** memory. errno says why that failed. */
static int add_file(struct pgmig_hasher *d, int fd)
{
    char piece[PIECE];
    ssize_t n;

    while ((n = read(fd, piece, sizeof piece)) != 0) {
        if (n < 0 && errno != EINTR)
            return -1;
        if (n > 0)
            pgmig_hasher_add(d, piece, (size_t)n);
    }
    return 0;
}

/* The checksum of one file with a hasher that is ready. */
static int hash_file(struct pgmig_hasher *h, const char *path, char out[65],
                     struct pgmig_error *err)
{
    int fd = pgmig_file_open(path, err);
    int status = 0;

    if (fd < 0)
        return -1;
    if (add_file(h, fd) != 0)
        status = pgmig_error_file(err, "read the file", path);
    close(fd);
    return status == 0 ? pgmig_hasher_end(h, out, err) : -1;
}

int pgmig_file_checksum(const char *path, char out[65], struct pgmig_error *err)
{
    struct pgmig_hasher h;
    int status = pgmig_hasher_init(&h, err);

    if (status == 0)
        status = hash_file(&h, path, out, err);
    pgmig_hasher_free(&h);
    return status;
}

/* One hasher for all of them, so that the algorithm is looked up once: a folder
** may hold thousands of small files. One that cannot be read is an answer and
** no failure: the others are still compared. */
int pgmig_files_compare(const char *const *paths, const char *const *checksums,
                        size_t count, enum pgmig_comparison *found,
                        struct pgmig_error *err)
{
    struct pgmig_hasher h;
    int status = pgmig_hasher_init(&h, err);

    for (size_t i = 0; status == 0 && i < count; i++) {
        struct pgmig_error ignored = {0};
        char checksum[65] = "";

        if (hash_file(&h, paths[i], checksum, &ignored) != 0)
            found[i] = PGMIG_UNREADABLE;
        else
            found[i] = strcmp(checksum, checksums[i]) == 0 ? PGMIG_SAME
                                                           : PGMIG_DIFFERS;
        pgmig_error_clear(&ignored);
        /* this also drops what an unreadable file has left in it */
        status = restart(&h, err);
    }
    pgmig_hasher_free(&h);
    return status;
}
