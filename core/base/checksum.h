/* checksum.h -- a file's checksum, piece by piece, and its seal. */
#ifndef PGMIG_CHECKSUM_H
#define PGMIG_CHECKSUM_H

#include "base/base.h"

struct pgmig_hasher {
    void *ctx; /* EVP_MD_CTX */
    bool begun;
    bool cr; /* the last piece ended with a CR that is not counted yet */
};

/* Begin; free it whatever is returned. -1 without memory (PGMIG_E_MEMORY), or
** where OpenSSL has no SHA-256 (PGMIG_E_IO). */
PGMIG_NODISCARD int pgmig_hasher_init(struct pgmig_hasher *d,
                                      struct pgmig_error *err);
/* Add what comes next of the file. The first piece has at least three bytes,
** unless it is all: it may begin with a byte order mark. */
void pgmig_hasher_add(struct pgmig_hasher *d, const char *text, size_t len);
/* The checksum of all that was added: 64 hexadecimal digits and a NUL. Nothing
** may be added behind it. */
PGMIG_NODISCARD int pgmig_hasher_end(struct pgmig_hasher *d, char out[65],
                                     struct pgmig_error *err);
void pgmig_hasher_free(struct pgmig_hasher *d);

/*
** Whether two readings of a file saw the same bytes: a message authentication
** code (GMAC, NIST SP 800-38D) under a random key that is never told. As good a
** proof as a checksum's, and several times faster.
*/
#define PGMIG_SEAL_BYTES 16

struct pgmig_seal {
    void *ctx; /* EVP_CIPHER_CTX */
};

/* Make up a key. */
PGMIG_NODISCARD int pgmig_seal_key(unsigned char key[PGMIG_SEAL_BYTES],
                                   struct pgmig_error *err);

/* Begin; free it whatever is returned. */
PGMIG_NODISCARD int pgmig_seal_init(struct pgmig_seal *s,
                                    const unsigned char key[PGMIG_SEAL_BYTES],
                                    struct pgmig_error *err);
/* Add what comes next of the file. */
void pgmig_seal_add(struct pgmig_seal *s, const char *bytes, size_t len);
/* What the bytes make: equal for equal bytes under one key, and for others
** different but for a chance that nobody has to reckon with. Nothing may be
** added afterwards. */
PGMIG_NODISCARD int pgmig_seal_end(struct pgmig_seal *s,
                                   unsigned char out[PGMIG_SEAL_BYTES],
                                   struct pgmig_error *err);
void pgmig_seal_free(struct pgmig_seal *s);

#endif
