/*
** answer.h -- what the server may answer. Whoever asks for something says which
** shape the answer has; one of another shape is no answer (pgmig_conn_refuse).
**
** A shape is a text: how many rows, then the columns. Rows: "1", "?" at most
** one, "*" any number, "-" whatever it is, nobody looks at it. A column is
** name:type, the name "_" whatever the server calls it. Types: "int" a whole
** number that a double holds, "float", "bool", "text" anything else; with a "?"
** behind it may be NULL. "..." at the end: further columns are not looked at.
** A command tag, "COMMIT", or several with slashes between them: no rows.
*/
#ifndef PGMIG_ANSWER_H
#define PGMIG_ANSWER_H

#include <libpq-fe.h>
#include <stdbool.h>

/* What is wrong about a result; NULL when it has the shape. */
const char *pgmig_answer_fault(const PGresult *res, const char *shape);

#endif
