/*
** pipeline.h -- many requests on their way at once (libpq manual, "Pipeline
** Mode"). One Sync ends them: the server skips all behind the first that
** fails, and what was committed before it stays.
*/
#ifndef PGMIG_PIPELINE_H
#define PGMIG_PIPELINE_H

#include "wire/conn.h"

/* What an answer belongs to; the words are the owner's own. */
struct pgmig_mark {
    size_t job;
    size_t at;
    size_t start, end; /* of the statement, in its file */
    int part;
    const char *shape; /* of its answer (answer.h), whose rows are wanted: they
                       ** are the connection's result; NULL: they are not */
    bool flush;        /* its answer is wanted at once */
};

/* One statement, which is copied before the owner is asked for another one. */
struct pgmig_request {
    const char *sql;
    bool parsed; /* by the server, and nothing else: it does not run */
    struct pgmig_mark mark;
};

struct pgmig_pipeline_owner {
    /* Say what to send next: false when that is all. */
    bool (*feed)(void *ctx, struct pgmig_request *next);
    /* A request has succeeded; its result is the connection's. Returns what
    ** cannot be right about it, NULL when all is. */
    const char *(*answered)(void *ctx, const struct pgmig_mark *mark);
    /* The first request that failed: the connection has the error. */
    void (*failed)(void *ctx, const struct pgmig_mark *mark);
};

/* Begin: the next steps call the owner, and when all is answered `next` of
** the operation, outside pipeline mode. `cause` receives why a statement could
** not be sent: the pipeline ends with what was sent before. */
PGMIG_NODISCARD int
pgmig_pipeline_enter(struct pgmig_conn *conn,
                     const struct pgmig_pipeline_owner *owner, void *ctx,
                     struct pgmig_error *cause);

/* Go as far as possible: what is waited for, 0 when all is answered. */
unsigned pgmig_pipeline_step(struct pgmig_conn *conn);

#endif
