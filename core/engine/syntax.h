/* syntax.h -- whether the server can parse the statements of migrations, none
** of which runs. */
#ifndef PGMIG_SYNTAX_H
#define PGMIG_SYNTAX_H

#include "text/text.h"
#include "wire/conn.h"

/* A section whose statements are parsed. */
struct pgmig_passage {
    const struct pgmig_script *script;
    enum pgmig_direction section;
};

/* A statement of a list of them: the passage's number, and its own. */
struct pgmig_syntax_place {
    size_t passage, statement;
};

struct pgmig_syntax;

/*
** Start (an operation): parse one statement after the other, from a place on,
** up to the first that the server's grammar does not know. That is the
** operation's error, kind "parse", with its place in the file. Left out are
** streamed scripts, and what only running would tell. The list is copied, its
** scripts are needed until the end. `alone`: each message waits for its answer.
** NULL: err says why.
*/
PGMIG_NODISCARD struct pgmig_syntax *
pgmig_syntax_start(struct pgmig_conn *conn, const struct pgmig_passage *list,
                   size_t count, struct pgmig_syntax_place from, bool alone,
                   struct pgmig_error *err);

/* The statement that its error is about. */
struct pgmig_syntax_place pgmig_syntax_stopped(const struct pgmig_syntax *s);

void pgmig_syntax_free(struct pgmig_syntax *s);

#endif
