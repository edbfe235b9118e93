/*
** stream.h -- a file read piece by piece, of which a part is held.
**
** Offsets are those of the file: `text + offset` is where one stands, as if
** the whole file were there; valid are those from `from` to `len`.
*/
#ifndef PGMIG_STREAM_H
#define PGMIG_STREAM_H

#include "base/hasher.h"
#include "text/seal.h"

struct pgmig_stream {
    int fd;
    const char *path;
    const char *text;
    size_t from, len;
    bool final;              /* the file ends at len */
    struct pgmig_place line; /* in which `from` stands, at its start mostly */
    bool blank; /* nothing but blanks stands before `from` on its line */
    char *buf;
    size_t cap;
    size_t checked;              /* so far the bytes are valid UTF-8 */
    struct pgmig_seal *seal;     /* takes what is read; NULL: nothing does */
    struct pgmig_hasher *hasher; /* likewise */
};

/* Open a file; `path` must stay valid. Close it whatever is returned. */
PGMIG_NODISCARD int pgmig_stream_open(struct pgmig_stream *s, const char *path,
                                      struct pgmig_error *err);
void pgmig_stream_close(struct pgmig_stream *s);

/* Read more. What stands before `keep` is let go, but for its line where that
** is short enough to be shown. */
PGMIG_NODISCARD int pgmig_stream_more(struct pgmig_stream *s, size_t keep,
                                      struct pgmig_error *err);

#endif
