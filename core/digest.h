/* digest.h -- a migration's checksum, piece by piece. */
#ifndef PGMIG_DIGEST_H
#define PGMIG_DIGEST_H

#include "pgmig.h"

struct pgmig_digest {
    void *ctx; /* EVP_MD_CTX */
    bool begun;
    bool cr; /* the last piece ended with a CR that is not counted yet */
};

PGMIG_NODISCARD int pgmig_digest_init(struct pgmig_digest *d,
                                      struct pgmig_error *err);
/* The first piece has at least three bytes, unless it is all. */
void pgmig_digest_add(struct pgmig_digest *d, const char *text, size_t len);
PGMIG_NODISCARD int pgmig_digest_end(struct pgmig_digest *d, char out[65],
                                     struct pgmig_error *err);
void pgmig_digest_free(struct pgmig_digest *d);

#endif
