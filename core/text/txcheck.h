/* txcheck.h -- what a section may say about transactions. */
#ifndef PGMIG_TXCHECK_H
#define PGMIG_TXCHECK_H

#include "text/text.h"

/*
** Looks for what pg_dump writes of large objects, BEGIN ... COMMIT around calls
** of their functions alone, while the statements of a section come.
*/
struct pgmig_lo_watch {
    const struct pgmig_section *section; /* whose statements they are */
    bool inside;     /* behind a BEGIN came such calls only */
    size_t begin;    /* ... its index */
    size_t calls;    /* ... how many came */
    int descriptors; /* large objects that were opened and not closed */
};

/* The last statement of a section has come: where it is the COMMIT of such a
** block, it and its BEGIN become PGMIG_T_TX_LO. */
void pgmig_txcheck_watch(struct pgmig_lo_watch *w,
                         struct pgmig_section *section);

/*
** Settle how the transaction of a section begins: lift its own BEGIN ...
** COMMIT and a leading SET TRANSACTION into section->begin, and refuse every
** other transaction control and what cannot run in a transaction. `own`: its
** tool begins for it, and any BEGIN of its own does nothing.
*/
PGMIG_NODISCARD int pgmig_txcheck(const struct pgmig_script *script,
                                  struct pgmig_section *section,
                                  const struct pgmig_vocabulary *words,
                                  bool own, struct pgmig_error *err);

/* Where a section has what keeps it from running in one transaction, though
** its tool begins for it: a COMMIT before its end or, with `alone`, a statement
** that has to run alone. An index; statement_count: there is none. */
size_t pgmig_txcheck_obstacle(const struct pgmig_section *section, bool alone);

/*
** Refuse a section that runs in pieces where that would leave half of one
** behind: a transaction of its own that is not ended, what cannot run inside
** one, and a ROLLBACK of what its tool has begun (`begun`).
*/
PGMIG_NODISCARD int pgmig_txcheck_pieces(const struct pgmig_script *script,
                                         const struct pgmig_section *section,
                                         const struct pgmig_vocabulary *words,
                                         bool begun, struct pgmig_error *err);

/* How far a section that runs in pieces was gone through. */
struct pgmig_tx_walk {
    size_t next;
    bool inside; /* a transaction is open: its tool's, or the file's own */
    char message[160]; /* about the statement that was found */
};

/* The next statement that does nothing, because what it does ends with its
** transaction, and that is only its own; NULL: there is none left. The walk
** begins with next = 0, and inside = the tool begins a transaction. */
const struct pgmig_statement *
pgmig_txcheck_vain(const struct pgmig_section *section,
                   struct pgmig_tx_walk *walk);

/*
** Leave out a COMMIT of nothing and a BEGIN of nothing, and note what else the
** transaction that a tool puts around a file is for: the statements up to the
** first COMMIT, and those behind a BEGIN that the file does not end.
*/
void pgmig_txcheck_loosen(struct pgmig_section *section, bool begun);

#endif
