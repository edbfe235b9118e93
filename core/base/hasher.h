/* hasher.h -- a migration's checksum, piece by piece. */
#ifndef PGMIG_HASHER_H
#define PGMIG_HASHER_H

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

/* len bytes in hexadecimal, and a NUL. */
void pgmig_hex(const unsigned char *digest, size_t len, char *out);

#endif
