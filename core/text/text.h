/* text.h -- what is read of migration files. */
#ifndef PGMIG_TEXT_H
#define PGMIG_TEXT_H

#include "base/base.h"
#include "base/checksum.h"

/* What the engine must know of a statement; a set of bits. */
enum pgmig_trait {
    PGMIG_T_NO_BLOCK = 2,     /* cannot run in a transaction block */
    PGMIG_T_TX_BEGIN = 4,     /* BEGIN, START TRANSACTION */
    PGMIG_T_TX_COMMIT = 8,    /* a plain COMMIT or END */
    PGMIG_T_TX_SET = 16,      /* SET TRANSACTION */
    PGMIG_T_TX_REFUSED = 32,  /* any other transaction control */
    PGMIG_T_COPY_IN = 64,     /* COPY ... FROM STDIN, data follows */
    PGMIG_T_ANY_START = 128,  /* begins with a word that begins statements */
    PGMIG_T_SETTING = 256,    /* prepares the session and does nothing else */
    PGMIG_T_MAY_COMMIT = 512, /* may end the transaction that it runs in */
    PGMIG_T_COPY_OUT = 1024,  /* COPY ... TO STDOUT, data comes */
    PGMIG_T_TX_CHAIN = 2048,  /* ... AND CHAIN */
    PGMIG_T_LO_CALL = 4096,   /* calls functions of large objects, only them */
    PGMIG_T_LO_OPEN = 8192,   /* leaves one more large object open */
    PGMIG_T_LO_CLOSE = 16384, /* ... one fewer */
    PGMIG_T_TX_LO = 32768,    /* BEGIN and COMMIT around such calls alone */
    PGMIG_T_TAKES = 65536,    /* takes something away: DROP, DELETE, ... */
    PGMIG_T_PASSING = 131072  /* what it does ends with its transaction */
};

/* What is said about transactions; txcheck.c looks at no others. */
#define PGMIG_T_NOTABLE                                      \
    (PGMIG_T_TX_BEGIN | PGMIG_T_TX_COMMIT | PGMIG_T_TX_SET | \
     PGMIG_T_TX_REFUSED | PGMIG_T_NO_BLOCK)

/* The statements that something depends on, beyond their traits. */
enum pgmig_kind {
    PGMIG_KIND_OTHER,
    PGMIG_KIND_ALTER,
    PGMIG_KIND_DO,
    PGMIG_KIND_LOAD,
    PGMIG_KIND_ROLLBACK, /* of all, to a savepoint, or PREPARED */
    PGMIG_KIND_ROUTINE   /* CREATE FUNCTION, CREATE PROCEDURE */
};

/* What a statement does to how the rest of the file reads. */
enum pgmig_setting {
    PGMIG_SETTING_NONE,
    PGMIG_SETTING_STANDARD, /* standard_conforming_strings becomes on */
    PGMIG_SETTING_ESCAPES,  /* ... off: backslashes in '' are escapes */
    PGMIG_SETTING_ENCODING, /* client_encoding becomes other than UTF-8 */
    PGMIG_SETTING_HIDDEN    /* set_config('standard_conforming_strings', ...) */
};

/* The modes that BEGIN, START TRANSACTION or SET TRANSACTION asks for. */
struct pgmig_modes {
    const char *isolation;  /* "SERIALIZABLE", ...; NULL: not said */
    const char *deferrable; /* "DEFERRABLE", "NOT DEFERRABLE"; NULL */
    const char *refused;    /* what cannot be kept, in words; NULL: nothing */
};

/* What a statement does to indexes. */
enum pgmig_index_action {
    PGMIG_INDEX_NONE,
    PGMIG_INDEX_CREATE,
    PGMIG_INDEX_DROP,
    PGMIG_INDEX_REINDEX,       /* of one index */
    PGMIG_INDEX_REINDEX_TABLE, /* of all indexes of a table */
    PGMIG_INDEX_DETACH /* of a partition, concurrently: no index, but settled
                       ** likewise; `name` is the partition's */
};

/* A piece of a statement's text, from its start on; empty: there is none. */
struct pgmig_range {
    uint32_t start, end;
};

struct pgmig_index {
    enum pgmig_index_action action;
    bool unique;
    bool concurrently;
    bool optional;            /* IF NOT EXISTS, IF EXISTS */
    struct pgmig_range name;  /* of the index, as it is written */
    struct pgmig_range table; /* of its table, where that is written */
    struct pgmig_range rest;  /* of CREATE INDEX: what stands behind that */
};

/* One statement: a range of the file's text, and what that says. */
struct pgmig_statement {
    size_t start, end;           /* without the final semicolon */
    size_t copy_start, copy_end; /* inline COPY data, else 0, 0 */
    enum pgmig_kind kind;
    unsigned traits; /* enum pgmig_trait */
    char name[32];   /* its first words: "CREATE INDEX CONCURRENTLY"; "" where
                     ** it begins with no word */
    enum pgmig_setting setting;
    struct pgmig_modes modes;
    struct pgmig_index index;
};

/* One `key=value` of a `-- pgmig:` line. */
struct pgmig_directive {
    char *key;
    char *value; /* "" for a bare key */
    size_t offset;
};

/* A BACKFILL line: its options, and where it stands. */
struct pgmig_backfill {
    struct pgmig_directive *options;
    size_t option_count;
    size_t offset;
};

/* The statements of one direction. */
struct pgmig_section {
    bool present;
    size_t start; /* where its marker stands; 0 without markers */
    /* of a streamed script only those about transactions, the first and the
    ** last are kept */
    struct pgmig_statement *statements;
    size_t statement_count;
    size_t total;       /* how many of it are run */
    size_t first, last; /* where the first begins, and the last ends */
    struct pgmig_directive *directives;
    size_t directive_count;
    struct pgmig_backfill *backfills; /* behind the statements */
    size_t backfill_count;
    bool transaction; /* false: `-- pgmig: transaction=off` */
    bool wrapped;     /* it has its own BEGIN ... COMMIT, which is left out */
    bool begun;       /* without: its tool begins one, up to the first COMMIT */
    bool unended;     /* ... and ends the last one */
    char begin[96];   /* how its transaction is begun: isolation and mode */
};

/*
** Write a name, with what stands before it and a dot, so that functions of the
** server read it: without comments, and with the characters that its escapes
** (U&"...", UESCAPE) stand for. What has no quotes stays so: the server folds
** its case. `out` has room for all of the range; returns how much is written.
*/
size_t pgmig_ident_read(const char *sql, struct pgmig_range name, char *out);

/* The name of an action: "create", ...; NULL for none. */
const char *pgmig_index_action_name(enum pgmig_index_action action);

/* Something worth telling that stops nothing. */
struct pgmig_warning {
    int64_t line, column;
    char *message;
};

/* Where a byte offset stands in its file. */
struct pgmig_place {
    int64_t line;      /* from 1; lines end with LF or CRLF */
    int64_t column;    /* from 1, in characters; a BOM does not count */
    size_t start, end; /* the line's bytes, without its end */
    size_t before;     /* characters of it in front of `start`: not held */
    size_t offset;     /* that was looked for: the count goes on there */
};

/* A piece of a file that was replaced before its text was parsed: from where to
** where in the file, and in the text. */
struct pgmig_edit {
    size_t file, file_end;
    size_t out, out_end;
};

struct pgmig_edits {
    struct pgmig_edit *list; /* from malloc, in their order */
    size_t count;
};

/* What a file says whose text was changed before it was parsed. */
struct pgmig_origin {
    char *text; /* from malloc; NULL: nothing was changed */
    size_t len;
    struct pgmig_edits edits;
};

/* A file's text, of which a part may be there (source.c). */
struct pgmig_source {
    const char *path;
    const char *text;        /* what is there of it: the bytes from ... */
    size_t from, end;        /* ... up to these offsets of the file */
    bool final;              /* the file ends at `end` */
    struct pgmig_place line; /* in which `from` stands, at its start mostly */
    bool blank;     /* nothing but blanks stands before `from` on its line */
    char *owned;    /* the text; NULL: it is lent */
    size_t cap;     /* room there */
    size_t checked; /* so far the bytes are valid UTF-8 */
    bool reading;   /* `fd` is open */
    int fd;
    const struct pgmig_origin *origin; /* places are told in it; NULL */
    struct pgmig_seal *seal;     /* takes what is read; NULL: nothing does */
    struct pgmig_hasher *hasher; /* likewise */
};

/* The text at an offset of the file, which is there. */
static inline const char *pgmig_source_at(const struct pgmig_source *s,
                                          size_t offset)
{
    return s->text + (offset - s->from);
}

/*
** Find an offset; one behind the end means the end. `place` is zeroed, or
** the answer for a smaller offset, from which the count goes on.
*/
void pgmig_source_locate(const struct pgmig_source *s, size_t offset,
                         struct pgmig_place *place);

/* A parsed migration file. */
struct pgmig_script {
    char *path;
    bool streamed; /* its text is not held: it is read again when it runs, and
                   ** has to be what it was */
    struct pgmig_source source;
    struct pgmig_origin origin;
    unsigned char seal_key[PGMIG_SEAL_BYTES]; /* of a streamed one: random */
    unsigned char seal[PGMIG_SEAL_BYTES]; /* ... what its bytes make of it */
    const struct pgmig_vocabulary *words; /* how it was read */
    bool marked;                          /* it has a section marker */
    struct pgmig_section sections[2];
    struct pgmig_directive *directives; /* from above the first marker */
    size_t directive_count;
    struct pgmig_warning *warnings;
    size_t warning_count;
};

enum pgmig_marker_kind {
    PGMIG_MARKER_UP,
    PGMIG_MARKER_DOWN,
    PGMIG_MARKER_DIVIDER, /* UP stands above it, DOWN below it */
    PGMIG_MARKER_SETTING, /* says what a directive says: `key`, `value` */
    PGMIG_MARKER_END,     /* ends the statement above it */
    PGMIG_MARKER_IGNORED, /* means nothing here */
    PGMIG_MARKER_REFUSED, /* asks for what cannot be done; `hint`: instead */
    PGMIG_MARKER_FOREIGN, /* another tool's; `tool` says whose */
    PGMIG_MARKER_BACKFILL /* a table is filled behind the section's SQL */
};

/*
** A marker: a line comment, alone on its line. `text`, in lower case, is
** compared with what follows the two dashes, blanks folded, without case;
** refused ones, and foreign ones with `options`, are recognised by their
** beginning.
*/
struct pgmig_marker {
    const char *text;
    const char *tool;
    const char *key; /* of a setting: a directive and its value */
    const char *value;
    const char *hint;
    enum pgmig_marker_kind kind;
    bool whole_file; /* a setting for both sections, wherever it stands */
    bool first;      /* it counts at the very start of the file only */
    bool exact;      /* ... as it is written, whatever is behind it */
    bool margin;     /* it counts at the very start of a line only */
    bool options;    /* words may follow: of UP and DOWN, see below */
    bool loose;      /* dashes may stand before it, and anything behind */
    bool anywhere;   /* its tool finds it in any place, as it is written */
};

/* A word behind a marker that says what a directive says. */
struct pgmig_marker_option {
    const char *text; /* in lower case */
    const char *key;
    const char *value;
};

/* How a section runs that does not say it. */
enum pgmig_transaction_rule {
    PGMIG_TRANSACTION_ON,
    PGMIG_TRANSACTION_OFF,
    PGMIG_TRANSACTION_OWN, /* off when it begins or commits by itself */
    PGMIG_TRANSACTION_AUTO /* ... or holds what cannot run in a transaction */
};

enum pgmig_value {
    PGMIG_VALUE_NONE,     /* a bare key */
    PGMIG_VALUE_SWITCH,   /* on or off */
    PGMIG_VALUE_PHASE,    /* pre or post: before or after the deploy */
    PGMIG_VALUE_DURATION, /* PostgreSQL's: 500ms, 2s, 1min, 0 */
    PGMIG_VALUE_COUNT,    /* a whole number */
    PGMIG_VALUE_WORDS,    /* names with commas, then a reason */
    PGMIG_VALUE_REST      /* the rest of the line, free text */
};

/* A key that a `-- pgmig:` line may have. */
struct pgmig_directive_rule {
    const char *key;
    enum pgmig_value value;
};

/* The words that structure a file: the script parser knows none itself. */
struct pgmig_vocabulary {
    const struct pgmig_marker *markers;
    size_t marker_count;
    const char *directive_prefix; /* "pgmig:" */
    const struct pgmig_directive_rule *directives;
    size_t directive_count;
    const struct pgmig_marker_option *options;
    size_t option_count;
    enum pgmig_transaction_rule transaction;
    bool unwrapped; /* its tool begins no transaction for a file */
    bool one_way;   /* what a file's name says of it: all of it goes `way` */
    enum pgmig_direction way;
    bool marked;  /* a file without a section marker is refused */
    bool repeats; /* a section may come in several pieces */
    bool empty;   /* a section without SQL is meant so */
    bool psql;    /* its tool runs psql: commands that change nothing may be */
    /* What the tool would replace before it runs a file: text between these
    ** two, which is refused. NULL: nothing. */
    const char *placeholder;
    const char *placeholder_end; /* "": just a name follows */
    bool named;                  /* ... between which a plain name stands */
    /* Nothing is replaced: that a file has what looks so is worth a warning. */
    bool suspects;
    /* The line that takes a section out of its transaction, for hints. */
    const char *untransacted;
};

/*
** Parse a file's text: len bytes with a NUL behind them, from malloc. Takes
** ownership of it, also on failure; `path` names the file in errors. Free
** with pgmig_script_free.
*/
PGMIG_NODISCARD struct pgmig_script *
pgmig_script_parse(const char *path, char *text, size_t len,
                   const struct pgmig_vocabulary *words,
                   struct pgmig_error *err);

/* The same of a text that was made of a file's: places are those of the file.
** Takes ownership of the origin as well. */
PGMIG_NODISCARD struct pgmig_script *pgmig_script_parse_changed(
    const char *path, char *text, size_t len, struct pgmig_origin origin,
    const struct pgmig_vocabulary *words, struct pgmig_error *err);

/* A script without statements, of what is no SQL file: both its sections are
** empty on purpose, and run in a transaction or not. */
PGMIG_NODISCARD struct pgmig_script *
pgmig_script_empty(const char *path, bool transaction, struct pgmig_error *err);

/* The value of a section's directive, else the file's, else NULL. */
const char *pgmig_script_directive(const struct pgmig_script *script,
                                   enum pgmig_direction direction,
                                   const char *key);

/* The reason that `irreversible` gives, in either section; NULL: none. */
const char *pgmig_script_irreversible(const struct pgmig_script *script);

/* Whether what is held of its text has a word, in whatever letters. */
bool pgmig_script_mentions(const struct pgmig_script *script, const char *word);

#endif
