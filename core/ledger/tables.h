/* tables.h -- the tables, beyond what pgmig.h has of them. */
#ifndef PGMIG_TABLES_H
#define PGMIG_TABLES_H

#include "base/buf.h"
#include "text/text.h"
#include "wire/wire.h"

/*
** Another tool's tracking table, used in place: SQL, in which %t stands for
** the table, %a for when a migration was applied, as an expression, %k for what
** the tool calls it, %n for its name and %d for the digest of its file, these
** three as literals, and %% for a percent sign.
*/
struct pgmig_layout {
    const char *columns; /* that it must have: "version varchar,run_on date" */
    const char *key;     /* the column that is unique, unless `locked` */
    const char *create;  /* the table, where it is missing */
    const char *list;    /* a query: key (text), applied_at (timestamptz) */
    const char *claim;   /* the INSERT of a migration's row */
    const char *release; /* the DELETE of it */
    const char *there;   /* a query that has rows when it is applied */
    bool locked; /* no column is unique: a lock of the table takes its place,
                 ** and `claim` inserts nothing where it is applied */
};

/* Let a ledger keep a tool's table, which it was named for. */
PGMIG_NODISCARD int pgmig_ledger_share(struct pgmig_ledger *ledger,
                                       const struct pgmig_layout *layout,
                                       struct pgmig_error *err);

/* What is changed together with the event that is recorded. */
enum pgmig_ledger_change {
    PGMIG_CHANGE_NONE,
    PGMIG_CHANGE_NAME, /* the tracking row takes the entry's name */
    PGMIG_CHANGE_ROW,  /* it is written again, as the history has it */
    /* of the journal's row, which must be as `owner` and `revision` say: */
    PGMIG_CHANGE_DONE,   /* the statement under way counts as done */
    PGMIG_CHANGE_REDO,   /* ... as not done */
    PGMIG_CHANGE_RESTART /* forget what is done: begin again */
};

/* Start to record an event, and its change, in a transaction of its own;
** finish with pgmig_ledger_finish. 22012: there is nothing to change. */
PGMIG_NODISCARD int pgmig_ledger_record(struct pgmig_ledger *ledger,
                                        struct pgmig_conn *conn,
                                        enum pgmig_ledger_change change,
                                        const struct pgmig_entry *entry,
                                        struct pgmig_error *err);

/*
** Start to take over the journal's row of a migration, which `entry` names as
** it was read (version, name, owner, revision), for the owner `by`; finish with
** pgmig_ledger_finish. The result is the row as it is now, as LIST of the
** journal has it; no row: it is not as it was read.
*/
PGMIG_NODISCARD int pgmig_ledger_take(struct pgmig_ledger *ledger,
                                      struct pgmig_conn *conn,
                                      const struct pgmig_entry *entry,
                                      const char *by, struct pgmig_error *err);

/* An INVALID index. */
struct pgmig_debris {
    const char *role; /* whose rights it takes; NULL: the session's */
    const char *oid;
    const char *name;      /* qualified, quoted */
    const char *set_aside; /* the name that it gets, which tells the oid; a
                           ** plain one */
};

/*
** Start to give an INVALID index that an attempt has left a name that nobody
** else gives, so that it can be dropped by that; finish with
** pgmig_ledger_finish. It succeeds only where the journal's row is as `entry`
** names it, and the index as it was seen. 22012: another run has taken the row
** over; 2201E: the index is not that one, or not INVALID.
*/
PGMIG_NODISCARD int pgmig_ledger_set_aside(struct pgmig_ledger *ledger,
                                           struct pgmig_conn *conn,
                                           const struct pgmig_entry *entry,
                                           const struct pgmig_debris *index,
                                           struct pgmig_error *err);

/* Start to note that a run begins: its run, host and program, and its direction
** as event; `plan`: a text about what it will do. It ends with its last job
** (ends_run) or with pgmig_ledger_end_run; what is left, PGMIG_LEDGER_JOURNAL
** yields, with state 'run'. Finish with pgmig_ledger_finish. */
PGMIG_NODISCARD int pgmig_ledger_begin_run(struct pgmig_ledger *ledger,
                                           struct pgmig_conn *conn,
                                           const struct pgmig_entry *entry,
                                           const char *plan,
                                           struct pgmig_error *err);
PGMIG_NODISCARD int pgmig_ledger_end_run(struct pgmig_ledger *ledger,
                                         struct pgmig_conn *conn,
                                         const char *run,
                                         struct pgmig_error *err);

/* Start to record migrations that another tool has applied: their rows and an
** event for each, in one transaction; finish with pgmig_ledger_finish. */
PGMIG_NODISCARD int pgmig_ledger_adopt(struct pgmig_ledger *ledger,
                                       struct pgmig_conn *conn,
                                       const struct pgmig_entry *entries,
                                       size_t count, struct pgmig_error *err);

/* Add the SQL of an operation that writes to `out`, as pgmig_ledger_start would
** send it: one transaction. */
PGMIG_NODISCARD int
pgmig_ledger_text(const struct pgmig_ledger *ledger, struct pgmig_conn *conn,
                  enum pgmig_ledger_op op, const char *argument,
                  struct pgmig_buf *out, struct pgmig_error *err);

/*
** An SQL expression: what speaks against using the tables whose oids are in an
** array, an SQL expression itself: whose they are, and what hangs on them. It
** yields NULL when nothing does, else a text for `pgmig_trust_refuse`, which
** sets the error and returns -1. To be freed with free(); NULL: out of memory.
*/
PGMIG_NODISCARD char *pgmig_trust_sql(const char *tables);
int pgmig_trust_refuse(const char *objection, struct pgmig_error *err);
/*
** Whether a job's requests can be on their way at once, with those of other
** such jobs: it runs in a transaction, has a version, is not plain, and pauses
** nowhere.
*/
bool pgmig_job_pipelined(const struct pgmig_job *job);

#endif
