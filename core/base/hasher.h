/* hasher.h -- a migration's checksum, piece by piece. */
#ifndef PGMIG_HASHER_H
#define PGMIG_HASHER_H

#include "base/base.h"

struct pgmig_hasher {
    void *ctx; /* EVP_MD_CTX */
    bool begun;
    bool cr; /* the last piece ended with a CR that is not counted yet */
};

PGMIG_NODISCARD int pgmig_hasher_init(struct pgmig_hasher *d,
                                      struct pgmig_error *err);
/* The first piece has at least three bytes, unless it is all. */
void pgmig_hasher_add(struct pgmig_hasher *d, const char *text, size_t len);
PGMIG_NODISCARD int pgmig_hasher_end(struct pgmig_hasher *d, char out[65],
                                     struct pgmig_error *err);
void pgmig_hasher_free(struct pgmig_hasher *d);

/* len bytes in hexadecimal, and a NUL. */
void pgmig_hex(const unsigned char *digest, size_t len, char *out);

#endif
