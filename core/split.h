/*
** split.h -- a text as statements and the comments between them, as psql
** cuts it: at semicolons outside literals, comments, parentheses and
** BEGIN ATOMIC ... END bodies; COPY data stays with its statement.
*/
#ifndef PGMIG_SPLIT_H
#define PGMIG_SPLIT_H

#include "lexer.h"

enum pgmig_item_kind {
    PGMIG_ITEM_END,
    PGMIG_ITEM_STATEMENT,
    PGMIG_ITEM_COMMENT,
    PGMIG_ITEM_ERROR /* err says what and where */
};

struct pgmig_item {
    enum pgmig_item_kind kind;
    bool alone;        /* a comment: alone on its line, outside brackets */
    bool line_comment; /* a comment: --, not slash-star */
    size_t start, end; /* of a comment */
    struct pgmig_statement statement;
};

struct pgmig_splitter {
    struct pgmig_lexer lx;
    const char *path;
    size_t start;     /* of the statement that is open */
    size_t last;      /* behind its last token */
    bool open;        /* a statement has begun */
    int parens;       /* open parentheses */
    size_t paren_at;  /* the outermost one */
    bool atomic;      /* in the body of BEGIN ATOMIC ... END */
    size_t atomic_at; /* that ATOMIC */
    int words;        /* how many words the statement has so far */
    bool routine;     /* CREATE [OR REPLACE] FUNCTION | PROCEDURE */
    bool begin;       /* the token before was BEGIN */
    bool closable;    /* the token before was ATOMIC or a semicolon */
    bool strings_set; /* standard_conforming_strings was set */
};

void pgmig_splitter_init(struct pgmig_splitter *sp, const char *path,
                         const char *text, size_t len);

/* The next item. PGMIG_ITEM_ERROR fills err. */
struct pgmig_item pgmig_splitter_next(struct pgmig_splitter *sp,
                                      struct pgmig_error *err);

/* End the open statement here, without a semicolon: true when there is one. */
bool pgmig_splitter_cut(struct pgmig_splitter *sp, struct pgmig_item *out,
                        struct pgmig_error *err);

#endif
