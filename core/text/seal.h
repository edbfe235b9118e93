/*
** seal.h -- whether two readings of a file saw the same bytes.
**
** A message authentication code (GMAC, NIST SP 800-38D) under a random key
** that is never told: as good a proof as a checksum's, and several times
** faster.
*/
#ifndef PGMIG_SEAL_H
#define PGMIG_SEAL_H

#include "text/text.h"

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
