/*
** apply.h -- what the files about a run of migrations share.
**
** program.c lists what a migration does, statement.c has its next statement,
** execute.c sends all that and reads the answers, failure.c says what a failure
** means. apply.c is the caller's side of it.
*/
#ifndef PGMIG_APPLY_H
#define PGMIG_APPLY_H

#include "ledger/sql.h"
#include "text/script.h"
#include "wire/conn.h"

/* What a command is for: it decides what its failure means. */
enum pgmig_role {
    PGMIG_ROLE_FRAME,     /* BEGIN, settings */
    PGMIG_ROLE_CLAIM,     /* the row that one run only can have */
    PGMIG_ROLE_STATEMENT, /* of the file */
    PGMIG_ROLE_JOURNAL,   /* the journal, or a look at an index */
    PGMIG_ROLE_DONE,      /* the journal, behind a statement */
    PGMIG_ROLE_CLOSE,     /* the bookkeeping at the end */
    PGMIG_ROLE_COMMIT     /* of the whole migration */
};

struct pgmig_apply;

/* What a migration does next. */
struct pgmig_step {
    enum {
        PGMIG_DO_SEND,      /* the commands that `write` writes, if any */
        PGMIG_DO_STATEMENT, /* send the statement */
        PGMIG_DO_PAUSE,     /* let the caller look */
        PGMIG_DO_READ,      /* the next statement; none: go on behind AGAIN */
        PGMIG_DO_AGAIN,     /* go back to READ */
        PGMIG_DO_END
    } what;
    enum pgmig_pause pause;
    void (*write)(struct pgmig_apply *a, const struct pgmig_job *job);
    /* The answer is there: false when it is not what it has to be, which the
    ** error says. NULL: any is. */
    bool (*seen)(struct pgmig_apply *a);
};

/* One of the migrations to run. */
struct pgmig_turn {
    struct pgmig_job job; /* the caller's, with its gaps filled */
    char checksum[65];    /* of the file, where the caller has not said it */
    double seconds;       /* it took, as its history says; -1: not known */
};

/* Where a run stands: in which migration, at which step and statement. */
struct pgmig_point {
    size_t turn, step, at;
};

struct pgmig_apply {
    struct pgmig_conn *conn;
    struct pgmig_ledger *ledger; /* as it was at the start */
    struct pgmig_turn *turns;
    size_t count;

    /* the migration under way: its number says how many are committed */
    struct pgmig_point here;
    struct pgmig_job job;
    const struct pgmig_section *section;
    const struct pgmig_step *program;
    char transaction[24]; /* the claim's, as txid_current() says it; "" */
    struct pgmig_error error;
    enum pgmig_outcome outcome;
    enum pgmig_pause paused;
    bool stopping; /* no further one is begun */
    bool undoing;  /* it is taken back */
    bool ended;

    /* what is sent */
    bool replaced;                /* it is the caller's, not the file's */
    bool skipped;                 /* it is left out */
    bool supplied;                /* the data of a COPY was handed out */
    struct pgmig_sql sql;         /* commands of ours */
    struct pgmig_buf text;        /* the statement ... */
    struct pgmig_statement sent;  /* ... all of it: its kind and traits */
    struct pgmig_statement range; /* where the one under way is in the file */
    size_t tag;                   /* bytes of ours that were sent before it */

    /* several migrations, or one without a look in between: sent ahead */
    struct pgmig_point next; /* what is sent next */
    size_t command;          /* those of its step up to this one are sent */
    struct pgmig_cursor cursor;
    struct pgmig_statement ahead_range; /* of the statement it has read last */
    struct pgmig_error cause;           /* why sending could not go on */
    enum pgmig_role failed;             /* which command has */
    bool pipelined;                     /* they are such */
    bool ahead;                         /* that is happening */
    bool written; /* the commands of the step are written */
    bool reading; /* the cursor is open */
    bool looks;   /* the statement needs a look, and is not sent */

    /* transaction=off (program.c) */
    bool again;    /* an attempt before has begun it */
    bool alone;    /* the statement runs in no transaction */
    bool isolated; /* ... because it could not run in one */
    bool running;  /* the journal says so */
    bool settled;  /* the journal has it already */
    bool borrowed; /* the transaction has the journal's row */
    bool grouped;  /* it stands in a BEGIN ... COMMIT of the file's own */
    size_t group;  /* where that BEGIN stands, else the statement */
    struct pgmig_buf behind; /* SQL that is sent with it, behind it */
};

/* ---- execute.c ------------------------------------------------------- */

/* Begin with the first migration; go on from a pause as the caller says. */
void pgmig_execute_start(struct pgmig_apply *a);
void pgmig_execute_resume(struct pgmig_apply *a, enum pgmig_resume how,
                          const char *sql);

/* ---- statement.c ----------------------------------------------------- */

/* Take the next statement of a file that is held: false behind the last one. */
bool pgmig_statement_read_held(struct pgmig_apply *a);

/* Take the next one that is sent ahead: 1, 0 behind the last one, -1 for an
** error, which is `cause`. */
int pgmig_statement_read_ahead(struct pgmig_apply *a);

/* Let SQL take its place. */
void pgmig_statement_replace(struct pgmig_apply *a, const char *sql);

/* Send it, as a message of its own: -1 when it was not sent, which the
** connection tells, or `error` where there was no memory for the text. */
PGMIG_NODISCARD int pgmig_statement_send(struct pgmig_apply *a);

/* Let go of the file. */
void pgmig_statement_close(struct pgmig_apply *a);

/* ---- program.c ------------------------------------------------------- */

/* The steps of a section, which begin with the one that opens it. */
const struct pgmig_step *pgmig_program_of(const struct pgmig_section *section);

/* Whether the step is the last one that sends something. */
bool pgmig_program_closes(const struct pgmig_step *step);

/* Write what takes the migration back, and the session to its start. */
void pgmig_program_write_undo(struct pgmig_apply *a);

/* Whether a statement's answer has to be looked at before more is sent. */
bool pgmig_program_must_look(const struct pgmig_apply *a);

/* Take what the last result says of the server process, and of the time. */
void pgmig_program_note_server(struct pgmig_apply *a);
void pgmig_program_note_time(struct pgmig_apply *a);

/* Whether an attempt before has done the statement under way. */
bool pgmig_program_done_before(const struct pgmig_apply *a);

/* Forget which server process is at work, unless it is always the same. */
void pgmig_program_forget_server(struct pgmig_apply *a);

/* The server says that the statement cannot run in a transaction: whether it is
** run without. */
bool pgmig_program_isolate(struct pgmig_apply *a);

/* ---- failure.c ------------------------------------------------------- */

/* Whether the statement commits by itself: then a failure does not undo all of
** it. */
bool pgmig_failure_is_partial(const struct pgmig_apply *a);

/* Take the connection's error: what it means that a command has failed. */
enum pgmig_outcome pgmig_failure_of(struct pgmig_apply *a,
                                    enum pgmig_role role);

/* The server has refused nothing, we do: message, at the statement or not.
** Returns false. */
bool pgmig_failure_refuse(struct pgmig_apply *a, bool at_statement,
                          const char *message, const char *hint);

/* Behind a pooler the statement cannot have what it would need. */
bool pgmig_failure_of_session(struct pgmig_apply *a, const char *what);

/* Let the error name its file. */
void pgmig_failure_name_file(struct pgmig_apply *a);

#endif
