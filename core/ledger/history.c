/*
** history.c -- the history: one row for each event, never changed.
**
** The tracking table says what is applied; the history says what has happened,
** to which text, and by whom. A row is written in the transaction of what it
** tells, so neither is there without the other; only a failure's has one of its
** own, since the failure's is rolled back. Here are the history's format, which
** is the journal's, too, its rows, and the queries on it.
**
** Every timestamp is given as to_json has it: ISO 8601, whatever DateStyle is.
** Durations are by date_part, a float8 on all servers; EXTRACT is numeric from
** PostgreSQL 14 on.
*/
#include "ledger/journal.h"

/*
** Format n is what the steps 1 to n make, of the history and, from 2, of the
** journal; a new format is a step more. The default of `format` tells which one
** they have, and each row of the history which one it was written in. A journal
** that is gone is made by all of its steps.
*/
static const char step_1[] =
    "CREATE TABLE IF NOT EXISTS %h (id BIGINT GENERATED ALWAYS AS IDENTITY "
    "PRIMARY KEY,"
    " format INTEGER NOT NULL DEFAULT 1, event pg_catalog.text NOT NULL,"
    " version NUMERIC, name pg_catalog.text NOT NULL,"
    " checksum pg_catalog.text, started_at pg_catalog.timestamptz NOT NULL,"
    " finished_at pg_catalog.timestamptz NOT NULL"
    "  DEFAULT pg_catalog.clock_timestamp(),"
    " db_user pg_catalog.text NOT NULL DEFAULT session_user,"
    " host pg_catalog.text, program pg_catalog.text,"
    " message pg_catalog.text)%;";
static const char step_2[] =
    "ALTER TABLE %h ADD COLUMN IF NOT EXISTS run pg_catalog.text,"
    " ALTER COLUMN format SET DEFAULT 2%;";
static const char step_3[] =
    "ALTER TABLE %h ADD COLUMN IF NOT EXISTS sqlstate pg_catalog.text,"
    " ADD COLUMN IF NOT EXISTS detail pg_catalog.text,"
    " ADD COLUMN IF NOT EXISTS file pg_catalog.text,"
    " ADD COLUMN IF NOT EXISTS line INTEGER,"
    " ADD COLUMN IF NOT EXISTS \"column\" INTEGER,"
    " ALTER COLUMN format SET DEFAULT 3%;";
static const char journal_step_2[] =
    "CREATE TABLE IF NOT EXISTS %j (migration pg_catalog.text PRIMARY KEY,"
    " direction pg_catalog.text NOT NULL, owner pg_catalog.text NOT NULL,"
    " state pg_catalog.text NOT NULL,"
    " done pg_catalog.text[] NOT NULL DEFAULT '{}', running pg_catalog.text,"
    " statement pg_catalog.text, existed pg_catalog.oid[], pid INTEGER,"
    " backend_start pg_catalog.timestamptz,"
    " started_at pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now())%;";
static const char journal_step_3[] =
    "ALTER TABLE %j"
    " ADD COLUMN IF NOT EXISTS revision BIGINT NOT NULL DEFAULT 0,"
    " ADD COLUMN IF NOT EXISTS server_start pg_catalog.timestamptz,"
    " ADD COLUMN IF NOT EXISTS db_user pg_catalog.text,"
    " ADD COLUMN IF NOT EXISTS relation pg_catalog.oid,"
    " ADD COLUMN IF NOT EXISTS target pg_catalog.oid,"
    " ADD COLUMN IF NOT EXISTS invalid pg_catalog.oid[],"
    " ADD COLUMN IF NOT EXISTS base pg_catalog.json,"
    " ADD COLUMN IF NOT EXISTS session pg_catalog.json,"
    " ADD COLUMN IF NOT EXISTS session_known BOOLEAN,"
    " ADD COLUMN IF NOT EXISTS session_of pg_catalog.text,"
    " ADD COLUMN IF NOT EXISTS touched pg_catalog.json%;";

/* IF NOT EXISTS in each step, since two runs may do this at once: the second
** one finds all of it there, or fails (operation.c, created_meanwhile). */
void pgmig_history_add_tables(struct pgmig_sql *s)
{
    const struct pgmig_ledger *ledger = s->ledger;
    int journal = ledger->journaled ? ledger->format : 0;

    if (ledger->format < 1)
        pgmig_sql_addf(s, step_1);
    if (ledger->format < 2)
        pgmig_sql_addf(s, step_2);
    if (ledger->format < 3)
        pgmig_sql_addf(s, step_3);
    if (journal < 2)
        pgmig_sql_addf(s, journal_step_2);
    if (journal < 3)
        pgmig_sql_addf(s, journal_step_3);
    if (!ledger->has_runs)
        pgmig_runs_add_table(s);
}

/* Nothing is written unless it is behind: a sequence is never set back. Who may
** not set it is not told here: an INSERT still may work. CASE, since AND
** promises no order, and what comes behind the questions for privileges fails
** without them (manual, "Expression Evaluation Rules"). */
void pgmig_history_add_advance(struct pgmig_sql *s)
{
    pgmig_sql_addf(
        s,
        "SELECT pg_catalog.setval(s.id, h.last) FROM "
        "(SELECT pg_catalog.max(id) AS last FROM %h) AS h, "
        "(SELECT pg_catalog.pg_get_serial_sequence(%L, 'id')"
        "::pg_catalog.regclass AS id) AS s WHERE CASE WHEN "
        "pg_catalog.has_sequence_privilege(s.id::pg_catalog.oid, 'UPDATE') AND "
        "pg_catalog.has_sequence_privilege(s.id::pg_catalog.oid, 'USAGE') "
        "THEN h.last %> COALESCE(pg_catalog.pg_sequence_last_value(s.id), 0) "
        "ELSE false END",
        s->ledger->history);
}

/* When the change has begun: as the journal says, or with its transaction,
** which now() is the beginning of; or so many seconds before now, for what did
** not happen in this transaction. */
static void add_begun(struct pgmig_sql *s, const struct pgmig_entry *entry,
                      const struct pgmig_job *journaled)
{
    /* no row in the journal: it is NULL, and NOT NULL would refuse it */
    if (journaled != NULL) {
        pgmig_sql_add(s, ", COALESCE(");
        pgmig_journal_add_begun(s, journaled);
        pgmig_sql_add(s, ", pg_catalog.now())");
        return;
    }
    pgmig_sql_add(s, ", pg_catalog.now()");
    if (entry->seconds > 0) {
        pgmig_sql_addf(s, " %- pg_catalog.make_interval(secs => ");
        pgmig_buf_addf(&s->text, "%.6f)", entry->seconds);
    }
}

/* The columns are INTEGER: a line further down a file is not kept. */
static void add_number(struct pgmig_sql *s, int64_t n)
{
    if (n > 0 && n <= INT32_MAX)
        pgmig_sql_addf(s, "%d, ", (int)n);
    else
        pgmig_sql_add(s, "NULL, ");
}

/* What only a failure has. */
#define PLACE_COLUMNS "sqlstate, detail, file, line, \"column\", "

static void add_place(struct pgmig_sql *s, const struct pgmig_entry *entry)
{
    pgmig_sql_addf(s, "%L, %L, %L, ", entry->sqlstate, entry->detail,
                   entry->file);
    add_number(s, entry->line);
    add_number(s, entry->column);
}

/* Up to the last value, which may be made to depend on something. The columns
** for a place are named only where there is one. */
static void add_row(struct pgmig_sql *s, const struct pgmig_entry *entry,
                    const struct pgmig_job *journaled)
{
    bool placed = entry->sqlstate || entry->detail || entry->file;

    pgmig_sql_addf(s,
                   "INSERT INTO %h (%sversion, event, name, checksum, host, "
                   "program, run, message, started_at, format) VALUES (",
                   placed ? PLACE_COLUMNS : "");
    if (placed)
        add_place(s, entry);
    pgmig_sql_addf(s, "%s, %L, %L, %L, %L, %L, %L, %L",
                   entry->version ? entry->version : "NULL", entry->event,
                   entry->name, entry->checksum, entry->host, entry->program,
                   entry->run, entry->message);
    add_begun(s, entry, journaled);
    pgmig_sql_addf(s, ", %d", PGMIG_HISTORY_FORMAT);
}

void pgmig_history_add(struct pgmig_sql *s, const struct pgmig_entry *entry)
{
    add_row(s, entry, NULL);
    pgmig_sql_addf(s, ")%;");
}

void pgmig_history_add_unlock(struct pgmig_sql *s, const struct pgmig_job *job)
{
    if (!job->session.keeps_locks)
        pgmig_sql_add(s, ", pg_catalog.pg_advisory_unlock_all()");
}

/* The proof is a part of the row's own INSERT, as what its `format` is divided
** by: nothing can come between the two but a trigger of the table's own
** (program.c, add_last_proof). `finished_at` is the clock's time, so the
** difference is what it took. */
void pgmig_history_add_proven(struct pgmig_sql *s, const struct pgmig_job *job,
                              bool journaled)
{
    add_row(s, &job->entry, journaled ? job : NULL);
    pgmig_claim_add_divisor(s, job, job->direction == PGMIG_UP);
    pgmig_sql_addf(s, ") RETURNING pg_catalog.date_part('epoch', finished_at "
                      "%- started_at) AS " PGMIG_SECONDS);
    pgmig_history_add_unlock(s, job);
    pgmig_sql_answers(s, "? " PGMIG_SECONDS ":float ...");
}

/* The events in their order, of failures the last one of each migration. To
** sort and group all of ten thousand would take the server ten times longer;
** but failures may be tried again and again. Versions come as text: they may
** have more digits than a double holds. `at` is wanted only where times are
** compared. */
void pgmig_history_add_marks(struct pgmig_sql *s)
{
    pgmig_sql_addf(
        s,
        "SELECT COALESCE(version::pg_catalog.text, "
        "pg_catalog.concat('repeatable:', name)) AS key, event, "
        "checksum, message, %s AS run, CASE WHEN version IS NULL "
        "OR event %= ANY (" PGMIG_PASSING_EVENTS ") "
        "THEN pg_catalog.to_json(finished_at) %#>> '{}' END AS at, %s "
        "FROM %h AS h WHERE event %<> ALL (" PGMIG_PASSING_EVENTS ") "
        "OR id %= ANY (SELECT pg_catalog.max(id) FROM %h "
        "WHERE event %= ANY (" PGMIG_PASSING_EVENTS ") "
        "GROUP BY version, CASE WHEN version IS NULL THEN name END) "
        "ORDER BY h.id",
        s->ledger->format >= 2 ? "run" : "NULL::pg_catalog.text",
        s->ledger->format >= 3 ? "sqlstate, detail, line"
                               : "NULL::pg_catalog.text AS sqlstate, "
                                 "NULL::pg_catalog.text AS detail, "
                                 "NULL::pg_catalog.int4 AS line");
}

/* The newest ones, the oldest of them first. An old format has fewer columns:
** it is read as it is, since who only reads may not be able to upgrade it. */
void pgmig_history_add_list(struct pgmig_sql *s, const char *limit)
{
    int format = s->ledger->format;

    pgmig_sql_addf(
        s,
        "SELECT event, version::pg_catalog.text AS id, name, checksum, "
        "pg_catalog.to_json(started_at) %#>> '{}' AS started_at, "
        "pg_catalog.to_json(finished_at) %#>> '{}' AS finished_at, "
        "pg_catalog.date_part('epoch', finished_at %- started_at) AS duration, "
        "db_user, host, program, %s AS run, message%s FROM (SELECT * FROM %h "
        "ORDER BY id DESC LIMIT %s) AS h ORDER BY h.id",
        format >= 2 ? "run" : "NULL::pg_catalog.text",
        format >= 3 ? ", sqlstate, detail, file, line, \"column\"" : "", limit);
}
