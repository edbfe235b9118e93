/*
** seal.c -- whether two readings of a file saw the same bytes.
**
** The first reading checks a file, the second one runs it: the seal is what
** says that they were of one file. It is never written down, and two seals are
** compared only under the same key.
*/
#include "text/seal.h"

#include <limits.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/error.h"

static int unavailable(struct pgmig_error *err)
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
               : unavailable(err);
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
    return unavailable(err);
}

void pgmig_seal_free(struct pgmig_seal *s)
{
    EVP_CIPHER_CTX_free(s->ctx);
    s->ctx = NULL;
}
