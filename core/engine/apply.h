/*
** apply.h -- what the files about a migration under way share.
**
** apply.c has the chain of requests, request.c what is sent, window.c sends
** ahead what needs no look in between, turns.c counts the migrations,
** journaled.c has what is different for a section with transaction=off,
** failure.c what a failure means.
*/
#ifndef PGMIG_APPLY_H
#define PGMIG_APPLY_H

#include "base/buf.h"
#include "wire/conn.h"
#include "text/cursor.h"

/* Of the transactions that transaction=off has of ours. */
#define PGMIG_APPLY_BEGIN "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"

enum pgmig_stage {
    PGMIG_STAGE_OPEN,      /* the claim */
    PGMIG_STAGE_SETTINGS,  /* of the session, for transaction=off */
    PGMIG_STAGE_PREPARE,   /* the journal, before a statement */
    PGMIG_STAGE_STATEMENT, /* of the file */
    PGMIG_STAGE_VERIFY,    /* the index that it has named */
    PGMIG_STAGE_SETTLE,    /* the journal, after a statement */
    PGMIG_STAGE_SKIP,      /* the journal, for a statement that is left out */
    PGMIG_STAGE_CLOSE,     /* the bookkeeping and COMMIT */
    PGMIG_STAGE_UNDO,
    PGMIG_STAGE_ENDED
};

/* One of the migrations to run. */
struct pgmig_turn {
    struct pgmig_job job; /* the caller's, with its gaps filled */
    char checksum[65];    /* of the file, where the caller has not said it */
    double seconds;       /* it took, as its history says; -1: not known */
};

/* What is sent ahead of the answers. */
struct pgmig_sender {
    size_t turn; /* the migration that is being sent */
    size_t at;   /* its statement, or the command of its frame */
    enum pgmig_stage stage;
    size_t claim; /* the command of the frame that is the claim */
    struct pgmig_cursor cursor;
    bool reading; /* the cursor is open */
    bool waiting; /* `statement` was read, and is not sent */
    struct pgmig_statement statement;
    struct pgmig_error error;    /* why it could not go on */
    struct pgmig_buf frame;      /* what stands around its statements ... */
    struct pgmig_lexer commands; /* ... command by command */
};

struct pgmig_apply {
    struct pgmig_conn *conn;
    struct pgmig_ledger *ledger; /* as it was at the start */
    struct pgmig_turn *turns;
    size_t count;
    size_t committed; /* how many are; the next one is under way */
    bool stopping;    /* no further one is begun */
    bool pipelined;   /* what needs no look in between is sent ahead */
    bool ahead;       /* that is happening */
    struct pgmig_sender sender;
    struct pgmig_job job; /* of the migration under way */
    const struct pgmig_section *section;
    enum pgmig_stage stage;
    size_t at;            /* the statement under way */
    int before_claim;     /* commands that stand before the claim */
    char transaction[24]; /* the claim's, as txid_current() says it; "" */
    bool replaced;        /* the statement under way is not the file's */
    bool alone;           /* it runs outside any transaction of ours */
    bool running;         /* the journal says so */
    bool grouped;  /* it stands in a BEGIN ... COMMIT of the file's own */
    bool ending;   /* such a one has no COMMIT: its tool would end it */
    bool settled;  /* the journal has it already */
    bool borrowed; /* the transaction has the journal's row */
    size_t group;  /* where that BEGIN stands, else the statement */
    enum pgmig_pause paused;
    struct pgmig_statement range; /* of the file, that was answered last */
    bool supplied;                /* the data of a COPY was handed out */
    struct pgmig_buf text;        /* the statement that is sent ... */
    struct pgmig_statement sent;  /* ... all of it: its kind and traits */
    size_t tag;                   /* bytes of ours that were sent before it */
    struct pgmig_buf behind;      /* ... and what is sent with it, behind it */
    struct pgmig_error error;
    enum pgmig_outcome outcome;
};

/* Each of these returns true when a request is on its way, and false when
** the operation has stopped: the answer that conn.h asks of `next`. */

/* Forget which server process is at work, unless it is always the same. */
void pgmig_apply_forget_server(struct pgmig_apply *a);
/* The claim holds: go on with the first statement. */
bool pgmig_apply_begun(struct pgmig_apply *a);
/* The statement under way is done. */
bool pgmig_apply_done(struct pgmig_apply *a);
/* Go on with the statement behind it. */
bool pgmig_apply_next(struct pgmig_apply *a);

/* The statement under way, and the text that it is a range of. */
const struct pgmig_statement *
pgmig_apply_statement(const struct pgmig_apply *a);
const char *pgmig_apply_text(const struct pgmig_apply *a);
/* Whether it commits by itself: then a failure does not undo all of it. */
bool pgmig_apply_partial(const struct pgmig_apply *a);
/* Remember the server process that the last result names. */
void pgmig_apply_note_server(struct pgmig_apply *a);

/* ---- turns.c --------------------------------------------------------- */

/* Take the migrations over from the caller. */
PGMIG_NODISCARD int pgmig_turns_take(struct pgmig_apply *a,
                                     const struct pgmig_job *jobs, size_t count,
                                     struct pgmig_error *err);
/* A cursor has read a migration to its end: of a streamed one, the checksum is
** known now. */
void pgmig_turns_hashed(struct pgmig_apply *a, size_t at,
                        const struct pgmig_cursor *cursor);
/* Let the next migration be the one under way. */
void pgmig_turns_next(struct pgmig_apply *a);
/* The last result may say how long the migration under way has taken. */
void pgmig_turns_time(struct pgmig_apply *a);
/* The migration under way is committed. */
void pgmig_turns_commit(struct pgmig_apply *a);

/* ---- window.c -------------------------------------------------------- */

/* Send ahead from where the migration under way stands: its stage and at. */
bool pgmig_window_enter(struct pgmig_apply *a, enum pgmig_stage stage);
/* All that was sent is answered, without an error. */
bool pgmig_window_left(struct pgmig_apply *a);
/* Forget it. */
void pgmig_window_free(struct pgmig_apply *a);

/* ---- request.c ------------------------------------------------------- */

/* Send a request whose last answer has this shape (answer.h), and free it. */
bool pgmig_request_send(struct pgmig_apply *a, enum pgmig_stage stage,
                        struct pgmig_buf *sql, const char *shape);
/* The same, when building it has worked (status 0). */
bool pgmig_request_built(struct pgmig_apply *a, enum pgmig_stage stage,
                         struct pgmig_buf *sql, const char *shape, int status);
/* Send the text of the statement under way. */
bool pgmig_request_text(struct pgmig_apply *a);
/* Take the migration back, and the session to its start. */
bool pgmig_request_undo(struct pgmig_apply *a, enum pgmig_outcome outcome);
/* End the operation. */
bool pgmig_request_end(struct pgmig_apply *a, enum pgmig_outcome outcome);
/* BEGIN, settings and the claim. */
bool pgmig_request_open(struct pgmig_apply *a);
/* The next statement, or SQL in its place. */
bool pgmig_request_statement(struct pgmig_apply *a);
bool pgmig_request_replacement(struct pgmig_apply *a, const char *sql);
/* The bookkeeping and COMMIT. */
bool pgmig_request_close(struct pgmig_apply *a);

/* ---- journaled.c ----------------------------------------------------- */

bool pgmig_journaled_open(struct pgmig_apply *a);
bool pgmig_journaled_opened(struct pgmig_apply *a);
/* The session is as it has to be. */
bool pgmig_journaled_ready(struct pgmig_apply *a);
/* Get ready for the statement under way, then send its text. */
bool pgmig_journaled_prepare(struct pgmig_apply *a);
bool pgmig_journaled_prepared(struct pgmig_apply *a);
/* Run the statement again, outside any transaction. */
bool pgmig_journaled_isolate(struct pgmig_apply *a);
/* All statements are done: commit what the file's tool would. */
bool pgmig_journaled_end(struct pgmig_apply *a);
/* Write down that it is done, which was written. */
bool pgmig_journaled_settle(struct pgmig_apply *a);
bool pgmig_journaled_settled(struct pgmig_apply *a);
/* The same for one that is left out, which counts as done. */
bool pgmig_journaled_skip(struct pgmig_apply *a);
bool pgmig_journaled_skipped(struct pgmig_apply *a);

/* ---- failure.c ------------------------------------------------------- */

bool pgmig_failure_at_claim(struct pgmig_apply *a, bool claim);
bool pgmig_failure_of_statement(struct pgmig_apply *a);
bool pgmig_failure_of_journal(struct pgmig_apply *a);
bool pgmig_failure_at_close(struct pgmig_apply *a);
/* Behind a pooler the statement cannot have what it would need. */
bool pgmig_failure_of_session(struct pgmig_apply *a, const char *what);
/* The server refused nothing, we do: message, at the statement or not. */
bool pgmig_failure_refuse(struct pgmig_apply *a, bool at_statement,
                          const char *message, const char *hint);
/* Let the error name its file. */
void pgmig_failure_name_file(struct pgmig_apply *a);

#endif
