/*
** checksum.c -- what a file's bytes come to: its checksum, other tools' digests
** of it, and the seal of a reading.
**
** A checksum is SHA-256 of a migration's text, the same on every checkout. The
** history keeps checksums for as long as there is a database, so what is
** hashed can never change: the file's bytes without a leading byte order mark,
** and with every CRLF as LF. Nothing else is evened out; a lone CR, blanks at a
** line's end and a missing last line end all count.
*/
#include "base/checksum.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/thread.h"

#define PIECE 65536 /* bytes of a file read at once */
#define ANY_SIZE INT64_MAX

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

static void hex(const unsigned char *digest, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
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
    hex(digest, 32, out);
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
** memory. One that is as long as it said is not asked for more, which most are.
** errno says why it failed. */
static int add_file(struct pgmig_hasher *d, int fd, off_t size)
{
    char piece[PIECE];
    ssize_t n;

    while ((n = read(fd, piece, sizeof piece)) != 0) {
        if (n < 0 && errno != EINTR)
            return -1;
        if (n < 0)
            continue;
        pgmig_hasher_add(d, piece, (size_t)n);
        size -= n;
        if (size == 0)
            break;
    }
    return 0;
}

/* The checksum of one file with a hasher that is ready. */
static int hash_file(struct pgmig_hasher *h, const char *path, off_t most,
                     char out[65], struct pgmig_error *err)
{
    off_t size;
    int fd = pgmig_file_open(path, &size, err);
    int status = 0;

    if (fd < 0)
        return -1;
    if (size > most)
        status = pgmig_error_set(err, PGMIG_E_IO, "the file is too large");
    else if (add_file(h, fd, size) != 0)
        status = pgmig_error_file(err, "read the file", path);
    close(fd);
    return status == 0 ? pgmig_hasher_end(h, out, err) : -1;
}

int pgmig_file_checksum(const char *path, char out[65], struct pgmig_error *err)
{
    struct pgmig_hasher h;
    int status = pgmig_hasher_init(&h, err);

    if (status == 0)
        status = hash_file(&h, path, ANY_SIZE, out, err);
    pgmig_hasher_free(&h);
    return status;
}

/* ---- many files ---------------------------------------------------------- */

/* Files that are compared. Threads take one after another: what is `found` of
** each is written by the one that has taken it. */
struct batch {
    const char *const *paths;
    const char *const *checksums;
    size_t count;
    atomic_size_t next;
    enum pgmig_comparison *found;
};

#define ENOUGH 64 /* files that are worth a thread */

/* One that cannot be read is an answer and no failure: the others are still
** compared. */
static enum pgmig_comparison compare(struct pgmig_hasher *h, const char *path,
                                     const char *wanted)
{
    struct pgmig_error ignored = {0};
    char checksum[65] = "";
    int status = hash_file(h, path, ANY_SIZE, checksum, &ignored);

    pgmig_error_clear(&ignored);
    if (status != 0)
        return PGMIG_UNREADABLE;
    return strcmp(checksum, wanted) == 0 ? PGMIG_SAME : PGMIG_DIFFERS;
}

/* One hasher for all that a thread compares, so that the algorithm is looked up
** once: a folder may hold thousands of small files. */
static int compare_some(struct batch *b, struct pgmig_error *err)
{
    struct pgmig_hasher h;
    int status = pgmig_hasher_init(&h, err);
    size_t i;

    while (status == 0 && (i = atomic_fetch_add(&b->next, 1)) < b->count) {
        b->found[i] = compare(&h, b->paths[i], b->checksums[i]);
        /* this also drops what an unreadable file has left in it */
        status = restart(&h, err);
    }
    pgmig_hasher_free(&h);
    return status;
}

/* A helper that cannot go on leaves the rest to the others. */
static void *help(void *arg)
{
    struct pgmig_error ignored = {0};

    (void)compare_some(arg, &ignored);
    pgmig_error_clear(&ignored);
    return NULL;
}

int pgmig_files_compare(const char *const *paths, const char *const *checksums,
                        size_t count, enum pgmig_comparison *found,
                        struct pgmig_error *err)
{
    struct batch b = {
        .paths = paths, .checksums = checksums, .count = count, .found = found};
    struct pgmig_team helpers;
    int status;

    pgmig_team_start(&helpers, help, &b, count / ENOUGH);
    status = compare_some(&b, err);
    pgmig_team_wait(&helpers);
    return status;
}

int pgmig_files_checksum(const char *const *paths, size_t count, size_t most,
                         char (*out)[65], struct pgmig_error *err)
{
    struct pgmig_hasher h;
    int status = pgmig_hasher_init(&h, err);

    for (size_t i = 0; status == 0 && i < count; i++) {
        struct pgmig_error ignored = {0};

        if (hash_file(&h, paths[i], (off_t)most, out[i], &ignored) != 0)
            out[i][0] = '\0';
        pgmig_error_clear(&ignored);
        status = restart(&h, err);
    }
    pgmig_hasher_free(&h);
    return status;
}

/* ---- what other tools compute -------------------------------------------- */

/* Their tracking tables hold it. Where pgmig takes such a table over it
** compares, and where it shares the table with the tool it writes; so these
** have to be the tool's own to the bit, whatever one may think of them. */

static int no_digest(const char *name, struct pgmig_error *err)
{
    return pgmig_error_set(err, PGMIG_E_IO, "%s is not available", name);
}

static int hashed(const EVP_MD *type, const char *name, const char *text,
                  size_t len, char out[97], struct pgmig_error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size;

    if (EVP_Digest(text, len, digest, &size, type, NULL) != 1)
        return no_digest(name, err);
    hex(digest, size, out);
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

/* SipHash-1-3 with the key 0, as Rust's standard library has it ("SipHash: a
** fast short-input PRF", Aumasson and Bernstein, section 2.2). */
static uint64_t rotated(uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotated(v[1], 13) ^ v[0];
    v[3] = rotated(v[3], 16) ^ v[2];
    v[0] = rotated(v[0], 32) + v[3];
    v[2] += v[1];
    v[3] = rotated(v[3], 21) ^ v[0];
    v[1] = rotated(v[1], 17) ^ v[2];
    v[2] = rotated(v[2], 32);
}

/* Up to eight bytes, the lowest first. */
static uint64_t word_of(const char *text, size_t len)
{
    uint64_t word = 0;

    for (size_t i = 0; i < len; i++)
        word |= (uint64_t)(unsigned char)text[i] << (8 * i);
    return word;
}

static void siphash13(const char *text, size_t len, char out[97])
{
    uint64_t v[4] = {0x736f6d6570736575U, 0x646f72616e646f6dU,
                     0x6c7967656e657261U, 0x7465646279746573U};

    for (size_t at = 0; at <= len / 8; at++) {
        bool last = at == len / 8;
        uint64_t word = word_of(text + 8 * at, last ? len % 8 : 8);

        if (last)
            word |= (uint64_t)len << 56;
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    v[2] ^= 0xFF;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    snprintf(out, 97, "%" PRIu64, v[0] ^ v[1] ^ v[2] ^ v[3]);
}

/* Flyway leaves out a byte order mark; all others hash it as it is there. */
static void crc32_of_text(const char *text, size_t len, char out[97])
{
    bool marked = len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0;

    crc32_of_lines(text + (marked ? 3 : 0), len - (marked ? 3 : 0), out);
}

int pgmig_digest(enum pgmig_digest kind, const char *text, size_t len,
                 char out[97], struct pgmig_error *err)
{
    switch (kind) {
    case PGMIG_DIGEST_SHA1:
        return hashed(EVP_sha1(), "SHA-1", text, len, out, err);
    case PGMIG_DIGEST_SHA256:
        return hashed(EVP_sha256(), "SHA-256", text, len, out, err);
    case PGMIG_DIGEST_SHA384:
        return hashed(EVP_sha384(), "SHA-384", text, len, out, err);
    case PGMIG_DIGEST_MD5:
        return hashed(EVP_md5(), "MD5", text, len, out, err);
    case PGMIG_DIGEST_SIPHASH13:
        siphash13(text, len, out);
        return 0;
    default:
        crc32_of_text(text, len, out);
        return 0;
    }
}

/* What was hashed so far, while the hash goes on. */
static int running_digest(const EVP_MD_CTX *sofar, EVP_MD_CTX *copy,
                          char out[PGMIG_BASE64_BYTES])
{
    unsigned char digest[EVP_MAX_MD_SIZE];

    if (EVP_MD_CTX_copy_ex(copy, sofar) != 1 ||
        EVP_DigestFinal_ex(copy, digest, NULL) != 1)
        return -1;
    EVP_EncodeBlock((unsigned char *)out, digest, 32);
    return 0;
}

int pgmig_digest_running(const char *const *pieces, const size_t *lengths,
                         size_t count, char (*out)[PGMIG_BASE64_BYTES],
                         struct pgmig_error *err)
{
    EVP_MD_CTX *sofar = EVP_MD_CTX_new();
    EVP_MD_CTX *copy = EVP_MD_CTX_new();
    bool ok =
        sofar && copy && EVP_DigestInit_ex(sofar, EVP_sha256(), NULL) == 1;

    for (size_t i = 0; ok && i < count; i++)
        ok = EVP_DigestUpdate(sofar, pieces[i], lengths[i]) == 1 &&
             running_digest(sofar, copy, out[i]) == 0;
    EVP_MD_CTX_free(sofar);
    EVP_MD_CTX_free(copy);
    return ok ? 0 : no_digest("SHA-256", err);
}

/* ---- seals --------------------------------------------------------------- */

/* The first reading of a file checks it, the second one runs it: the seal is
** what says that they were of one file. It is never written down, and two seals
** are compared only under the same key. */

static int no_gcm(struct pgmig_error *err)
{
    return pgmig_error_set(err, PGMIG_E_IO, "AES-128-GCM is not available");
}

int pgmig_seal_key(unsigned char key[PGMIG_SEAL_BYTES], struct pgmig_error *err)
{
    if (RAND_bytes(key, PGMIG_SEAL_BYTES) == 1)
        return 0;
    return pgmig_error_set(err, PGMIG_E_IO, "no random bytes are available");
}

/* The key is the script's, and used once for each reading of its file; a
** constant iv is safe since no two seals are ever shown to anybody. */
int pgmig_seal_init(struct pgmig_seal *s,
                    const unsigned char key[PGMIG_SEAL_BYTES],
                    struct pgmig_error *err)
{
    static const unsigned char iv[12]; /* of one use, as the key is */

    *s = (struct pgmig_seal){.ctx = EVP_CIPHER_CTX_new()};
    if (s->ctx == NULL)
        return pgmig_error_memory(err);
    return EVP_EncryptInit_ex(s->ctx, EVP_aes_128_gcm(), NULL, key, iv) == 1
               ? 0
               : no_gcm(err);
}

/* All is authenticated, nothing encrypted. */
void pgmig_seal_add(struct pgmig_seal *s, const char *bytes, size_t len)
{
    while (len > 0) {
        int piece = len < INT_MAX ? (int)len : INT_MAX;
        int written;

        EVP_EncryptUpdate(s->ctx, NULL, &written, (const unsigned char *)bytes,
                          piece);
        bytes += piece;
        len -= (size_t)piece;
    }
}

/* The tag of GCM is the seal. No text was encrypted: `nothing` stays so. */
int pgmig_seal_end(struct pgmig_seal *s, unsigned char out[PGMIG_SEAL_BYTES],
                   struct pgmig_error *err)
{
    unsigned char nothing[EVP_MAX_BLOCK_LENGTH];
    int written;

    if (EVP_EncryptFinal_ex(s->ctx, nothing, &written) == 1 &&
        EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_AEAD_GET_TAG, PGMIG_SEAL_BYTES,
                            out) == 1)
        return 0;
    return no_gcm(err);
}

void pgmig_seal_free(struct pgmig_seal *s)
{
    EVP_CIPHER_CTX_free(s->ctx);
    s->ctx = NULL;
}
