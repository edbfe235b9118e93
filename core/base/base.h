/* base.h -- what the lowest layer offers: files, digests, times. */
#ifndef PGMIG_BASE_H
#define PGMIG_BASE_H

#include "pgmig.h"

/* The files in a directory, as paths relative to it, in byte order; folders
** that were not entered have a slash behind them. */
struct pgmig_dir {
    char **names;
    size_t count;
};

/* List `path`, and with `deep` the folders in it; what begins with a dot is
** left out. Free with pgmig_dir_free. */
PGMIG_NODISCARD int pgmig_dir_read(struct pgmig_dir *dir, const char *path,
                                   bool deep, struct pgmig_error *err);
void pgmig_dir_free(struct pgmig_dir *dir);

/* Fail unless `path` is a directory that can be read. */
PGMIG_NODISCARD int pgmig_dir_check(const char *path, struct pgmig_error *err);

/* Create a file that must not exist yet, and its folder where that is
** missing, and write `len` bytes to it. */
PGMIG_NODISCARD int pgmig_file_create(const char *path, const char *text,
                                      size_t len, struct pgmig_error *err);

/* Put `len` bytes in the place of a file, or create it: whoever reads it finds
** all of the old text or all of the new one. A link stays, and so do the rights
** of a file that is there. */
PGMIG_NODISCARD int pgmig_file_replace(const char *path, const char *text,
                                       size_t len, struct pgmig_error *err);

/* Give a file or a folder another name; what has that name already is not
** overwritten: an error. */
PGMIG_NODISCARD int pgmig_file_move(const char *from, const char *to,
                                    struct pgmig_error *err);

/* Read a whole file into *text (malloc, NUL behind its *len bytes). */
PGMIG_NODISCARD int pgmig_file_read(const char *path, char **text, size_t *len,
                                    struct pgmig_error *err);

/*
** SHA-256 of a migration's text in hexadecimal. A byte order mark is left
** out and CRLF counts as LF, so that a checkout's line ends do not matter;
** for an LF file it equals what sha256sum prints.
*/
PGMIG_NODISCARD int pgmig_checksum(const char *text, size_t len, char out[65],
                                   struct pgmig_error *err);

/* The same, of a file, which is read piece by piece. */
PGMIG_NODISCARD int pgmig_file_checksum(const char *path, char out[65],
                                        struct pgmig_error *err);

/* Whether two paths lead to one file or folder. */
bool pgmig_file_is_same(const char *path, const char *other);

enum pgmig_comparison { PGMIG_SAME, PGMIG_DIFFERS, PGMIG_UNREADABLE };

/* Compare `count` files with as many checksums: found[i] says what became of
** paths[i]. -1 only without memory or SHA-256, never for a file. */
PGMIG_NODISCARD int pgmig_files_compare(const char *const *paths,
                                        const char *const *checksums,
                                        size_t count,
                                        enum pgmig_comparison *found,
                                        struct pgmig_error *err);

/* The checksums of `count` files of at most `most` bytes; "" for those that are
** larger or cannot be read. -1 only without memory or SHA-256. */
PGMIG_NODISCARD int pgmig_files_checksum(const char *const *paths, size_t count,
                                         size_t most, char (*out)[65],
                                         struct pgmig_error *err);

/* What other tools write down of a text: a hash of its bytes in hexadecimal
** digits; the CRC-32 of its lines without their ends, as a signed number
** (Flyway); or SipHash-1-3, as a number (refinery). */
enum pgmig_digest {
    PGMIG_DIGEST_SHA384,
    PGMIG_DIGEST_CRC32,
    PGMIG_DIGEST_SHA1,
    PGMIG_DIGEST_SHA256,
    PGMIG_DIGEST_SIPHASH13,
    PGMIG_DIGEST_MD5
};

PGMIG_NODISCARD int pgmig_digest(enum pgmig_digest kind, const char *text,
                                 size_t len, char out[97],
                                 struct pgmig_error *err);

/* SHA-256 of the first piece, of the first two, and so on: each in `out` as
** base64 with a NUL behind it. */
#define PGMIG_BASE64_BYTES 45

PGMIG_NODISCARD int pgmig_digest_running(const char *const *pieces,
                                         const size_t *lengths, size_t count,
                                         char (*out)[PGMIG_BASE64_BYTES],
                                         struct pgmig_error *err);

/* The text as valid UTF-8, malloc: each byte that is no part of a character
** becomes `prefix` and two hexadecimal digits. NULL without memory. */
PGMIG_NODISCARD char *pgmig_readable(const char *text, size_t len,
                                     const char *prefix);

/* Read a time as PostgreSQL reads one: a number, and us, ms, s, min, h or d,
** or no unit. NULL when it is one; else what is wrong with it, as the end of a
** sentence about what it is for. */
const char *pgmig_duration(const char *s, size_t len, double *ms,
                           bool *has_unit);

/* The same for lock_timeout and the like: whole milliseconds, an int at most,
** and not less than one of them unless it is 0, which means: no limit. */
const char *pgmig_duration_setting(const char *s, size_t len, int *ms,
                                   bool *has_unit);

#endif
