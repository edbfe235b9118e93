/*
** split.h -- a text as statements and the comments between them, as psql
** cuts it: at semicolons outside literals, comments, parentheses and
** BEGIN ATOMIC ... END bodies. The data of a COPY follows its statement.
**
** The text may come in pieces: for PGMIG_ITEM_MORE show more of it, from
** pgmig_splitter_needs() on. Offsets are those of the file.
*/
#ifndef PGMIG_SPLIT_H
#define PGMIG_SPLIT_H

#include "text/lexer.h"

enum pgmig_item_kind {
    PGMIG_ITEM_END,
    PGMIG_ITEM_STATEMENT,
    PGMIG_ITEM_COMMENT,
    PGMIG_ITEM_DATA, /* of the COPY before: whole lines, all or a piece */
    PGMIG_ITEM_MORE, /* the text that is there has no further item */
    PGMIG_ITEM_ERROR /* err says what, `start` where */
};

struct pgmig_item {
    enum pgmig_item_kind kind;
    bool outside;      /* a comment: outside parentheses and bodies */
    bool alone;        /* ... and alone on its line */
    bool line_comment; /* a comment: --, not slash-star */
    bool last;         /* data: no more of it follows */
    size_t start, end; /* of a comment, of data; where an error is */
    struct pgmig_statement statement;
};

enum pgmig_copying {
    PGMIG_COPYING_NOTHING,
    PGMIG_COPYING_LINE, /* the end of the statement's line */
    PGMIG_COPYING_DATA
};

struct pgmig_splitter {
    struct pgmig_lexer lx; /* of what is there; its offsets begin there, too */
    size_t from;           /* where that stands in the file */
    bool blank;            /* nothing but blanks stands before it on its line */
    size_t start;          /* of the statement that is open */
    size_t last;           /* behind its last token */
    bool open;             /* a statement has begun */
    bool psql;             /* commands that change nothing are passed over */
    int parens;            /* open parentheses */
    size_t paren_at;       /* the outermost one */
    bool atomic;           /* in the body of BEGIN ATOMIC ... END */
    size_t atomic_at;      /* that ATOMIC */
    int words;             /* how many words the statement has so far */
    bool routine;          /* CREATE [OR REPLACE] FUNCTION | PROCEDURE */
    bool begin;            /* the token before was BEGIN */
    bool closable;         /* the token before was ATOMIC or a semicolon */
    bool strings_set;      /* standard_conforming_strings was set */
    enum pgmig_copying copying;
    size_t copy_at; /* the COPY whose data comes */
};

/* Begin with what is there of a text. */
void pgmig_splitter_init(struct pgmig_splitter *sp,
                         const struct pgmig_source *source);

/* The window has moved, or has grown: all that was not read is in it. */
void pgmig_splitter_show(struct pgmig_splitter *sp,
                         const struct pgmig_source *source);

/* The text is still needed from here on. */
size_t pgmig_splitter_needs(const struct pgmig_splitter *sp);

/* The next item. PGMIG_ITEM_ERROR fills err. */
struct pgmig_item pgmig_splitter_next(struct pgmig_splitter *sp,
                                      struct pgmig_error *err);

/* End the open statement here, without a semicolon: true when there is one. */
bool pgmig_splitter_cut(struct pgmig_splitter *sp, struct pgmig_item *out,
                        struct pgmig_error *err);

#endif
