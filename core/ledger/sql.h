/*
** sql.h -- the writer of all SQL about our tables.
**
** A text is a list of commands, to be sent in one message or one by one. What
** fails while it is written sticks: whoever sends it asks once.
*/
#ifndef PGMIG_SQL_H
#define PGMIG_SQL_H

#include "base/buf.h"
#include "ledger/tables.h"

/* A piece of the text, which ends with its semicolon. */
struct pgmig_command {
    size_t start, end; /* `end` is the semicolon's place */
    int role;          /* the writer's own word for what it is for */
    const char *shape; /* of its answer (answer.h); NULL: nobody looks */
};

struct pgmig_sql {
    const struct pgmig_ledger *ledger;
    struct pgmig_conn *conn;
    struct pgmig_error *err; /* receives the first failure */
    struct pgmig_buf text;
    struct pgmig_command *commands;
    size_t count;
    size_t room;  /* for so many of them */
    size_t begun; /* where the command begins that is not ended yet */
    int role;     /* of the commands that are ended from now on; first 0 */
};

/* A writer that has written nothing; free it with pgmig_sql_free. */
#define PGMIG_SQL(ledger_, conn_, err_) \
    ((struct pgmig_sql){.ledger = (ledger_), .conn = (conn_), .err = (err_)})
void pgmig_sql_free(struct pgmig_sql *s);
/* Forget what is written, for the next text. */
void pgmig_sql_clear(struct pgmig_sql *s);

/* Add a text as it is. */
void pgmig_sql_add(struct pgmig_sql *s, const char *text);
/* Add a text as a literal; NULL: NULL. */
void pgmig_sql_literal(struct pgmig_sql *s, const char *text);
/* The same for `len` bytes of it. */
void pgmig_sql_piece(struct pgmig_sql *s, const char *text, size_t len);

/*
** Add a text in which these stand for something else:
**   %t %h %j %r  the tracking table, the history, the journal, the runs
**   %L           a text (const char *) as a literal; NULL: NULL
**   %s           a text as it is: SQL, or digits
**   %d %l        an int, a long
**   %m           behind a pooler: a comment before a command that comes while
**                its transaction has no name yet (pgmig_sql_tag)
**   %;           the end of a command
**   %=, %<>, ... an operator, that of pg_catalog whatever the search path
**   %%           a percent sign
** An operator that is written without is the search path's, and may be
** anybody's: spec/db/trap_spec.lua finds those.
*/
void pgmig_sql_addf(struct pgmig_sql *s, const char *format, ...);

/* Add commands, each marked as %m says; a NULL ends the list. */
void pgmig_sql_commands(struct pgmig_sql *s, const char *const *commands);

/* End the command, if one is begun; and say what its answer is like. */
void pgmig_sql_end(struct pgmig_sql *s);
void pgmig_sql_answers(struct pgmig_sql *s, const char *shape);

/* Fail, as something that the text is made of has: `err` says why. */
void pgmig_sql_fail(struct pgmig_sql *s);

/* End the last command: 0, or -1 when anything has failed, and `err` says. */
PGMIG_NODISCARD int pgmig_sql_finish(struct pgmig_sql *s);

/* Take a text that is finished apart: each command becomes a string, without
** its semicolon, which begins at its `start`. It is no longer one text then. */
void pgmig_sql_part(struct pgmig_sql *s);

/* ---- what each transaction of ours begins with ------------------------ */

/* Bound the wait for locks of what is asked in a transaction of its own. */
void pgmig_sql_patience(struct pgmig_sql *s);

/* Make its commit durable, where the database's default is lower. */
void pgmig_sql_durable(struct pgmig_sql *s);

/* Behind a pooler: give it the name by which others find its server process
** (orphan.lua). */
void pgmig_sql_tag(struct pgmig_sql *s);

#endif
