/*
** journal.c -- the SQL on the journal.
**
** Every change of a row, but for two that say so, is one UPDATE or DELETE that
** names owner and revision (add_where) and counts the rows that it has changed:
** none means that the row is not as the one who changes has left it, and 1 / 0
** ends the transaction (PROVEN). That holds while nobody writes the row without
** such a WHERE, and under READ COMMITTED, where an UPDATE that has waited for
** another one's looks at its WHERE again (manual, "Read Committed Isolation
** Level"). The proof is in the same statement, a WITH whose UPDATE has
** RETURNING: behind it anybody could come.
**
** What the session is like is not read here (state.h, touched.h, indexed.h): it
** was noted in settings of the transaction, which the UPDATE reads.
*/
#include "ledger/journal.h"

#include "base/error.h"
#include "ledger/indexed.h"
#include "ledger/state.h"
#include "ledger/touched.h"
#include "wire/conn.h"

/* Behind it: what to count the rows of. At most one, since `migration` is the
** key. */
#define PROVEN "SELECT 1 %/ pg_catalog.count(*) FROM "

/* ---- which row, in which state --------------------------------------- */

/* The key: the version, or for a repeatable migration its name. */
static void add_key(struct pgmig_sql *s, const struct pgmig_entry *entry)
{
    struct pgmig_buf key = {0};

    if (entry->version != NULL) {
        pgmig_sql_literal(s, entry->version);
        return;
    }
    pgmig_buf_addf(&key, "repeatable:%s", entry->name);
    if (key.failed)
        pgmig_sql_fail(s);
    else
        pgmig_sql_literal(s, key.data);
    pgmig_buf_free(&key);
}

/* WHERE: the row, if it is this owner's and has this revision. No two states
** of a row, over all attempts, have both in common. */
static void add_where(struct pgmig_sql *s, const struct pgmig_entry *entry,
                      const char *owner, long revision)
{
    pgmig_sql_addf(s, " WHERE migration %= ");
    add_key(s, entry);
    pgmig_sql_addf(s, " AND owner %= %L AND revision %= %l", owner, revision);
}

static void add_own(struct pgmig_sql *s, const struct pgmig_job *job)
{
    add_where(s, &job->entry, job->owner, job->revision);
}

/* The same of a row as somebody has read it. */
static void add_read(struct pgmig_sql *s, const struct pgmig_entry *entry)
{
    add_where(s, entry, entry->owner, entry->revision);
}

/* UPDATE, up to its first assignment: the next revision. */
static void add_update(struct pgmig_sql *s, long revision)
{
    pgmig_sql_addf(s, "UPDATE %j SET revision = %l", revision + 1);
}

/* ---- the claim ------------------------------------------------------- */

/* The primary key refuses a second one with 23505. The session is known:
** nothing has happened in it. */
static void add_new_row(struct pgmig_sql *s, const struct pgmig_job *job)
{
    pgmig_sql_addf(s, "INSERT INTO %j (migration, direction, owner, state, "
                      "session_known, revision) VALUES (");
    add_key(s, &job->entry);
    pgmig_sql_addf(s, ", '%s', %L, 'ready', true, %d)%;",
                   job->direction == PGMIG_UP ? "up" : "down", job->owner,
                   PGMIG_JOURNAL_FIRST);
}

/*
** Nobody else may have the row: not waited for, since a statement of the file
** that is under way has its own opinion of lock_timeout. NOWAIT of a SELECT is
** about rows; the table's lock it waits for in any case (manual, SELECT, "The
** Locking Clause"), so that one is taken first, and in the mode that the UPDATE
** needs later. FOR UPDATE stands in a subquery, since it cannot be with
** count(); what was lost goes through a setting, since the shape of the answer
** is another one where it is not wanted.
*/
void pgmig_journal_add_lock(struct pgmig_sql *s, const struct pgmig_job *job)
{
    pgmig_sql_addf(s, "LOCK TABLE %j IN ROW EXCLUSIVE MODE NOWAIT%;"
                      "SELECT " PGMIG_ASK_SERVER ", 1 %/ pg_catalog.count(*), "
                      "pg_catalog.set_config('pgmig.left', "
                      "COALESCE(pg_catalog.max(ours.lost), ''), true) "
                      "FROM (SELECT " PGMIG_STATE_LOST " AS lost FROM %j");
    add_own(s, job);
    pgmig_sql_addf(s, " FOR UPDATE NOWAIT) AS ours%;");
}

/* The proof comes after the row, as a statement of its own: where another run's
** end was waited for, its snapshot shows what that run has committed. Of the
** tracking table it proves that the migration is still to be done. The last
** command names the server process, since only the last answer is looked at. */
void pgmig_journal_add_claim(struct pgmig_sql *s, const struct pgmig_job *job)
{
    if (job->revision > 0)
        pgmig_journal_add_lock(s, job);
    else
        add_new_row(s, job);
    pgmig_sql_add(s, "SELECT 1");
    pgmig_claim_add_divisor(s, job, job->direction == PGMIG_DOWN);
    pgmig_sql_addf(s, "%;COMMIT%;SELECT " PGMIG_ASK_SERVER);
    pgmig_sql_answers(s, PGMIG_SERVER_SHAPE);
}

/* ---- the session ----------------------------------------------------- */

/* A word for this attempt at this revision: it tells later which note of the
** session is whose (pgmig_journal_add_known). */
static void add_moment(struct pgmig_sql *s, const struct pgmig_job *job)
{
    struct pgmig_buf moment = {0};

    pgmig_buf_addf(&moment, "%s:%ld", job->owner, job->revision);
    if (moment.failed)
        pgmig_sql_fail(s);
    else
        pgmig_sql_literal(s, moment.data);
    pgmig_buf_free(&moment);
}

/* Assignments, behind a comma: what was noted, and when. */
static void add_noted(struct pgmig_sql *s, const struct pgmig_job *job)
{
    pgmig_sql_add(s, ", session = " PGMIG_STATE_NOTED ", session_of = ");
    add_moment(s, job);
}

/* The session's beginning (base) and its state are the same, or differ by what
** was just restored. */
void pgmig_journal_add_session(struct pgmig_sql *s, const struct pgmig_job *job)
{
    pgmig_sql_add(s, "WITH ours AS (");
    add_update(s, job->revision);
    pgmig_sql_add(s,
                  ", base = " PGMIG_STATE_BASE_NOTED ", session_known = true");
    add_noted(s, job);
    add_own(s, job);
    pgmig_sql_addf(s, " RETURNING 1) " PROVEN "ours%;");
}

static void add_own_row(struct pgmig_sql *s, const struct pgmig_job *job)
{
    pgmig_sql_addf(s, "%j");
    add_own(s, job);
}

void pgmig_journal_add_restore(struct pgmig_sql *s, const struct pgmig_job *job)
{
    pgmig_state_add_restore(s, add_own_row, job);
}

/* ---- statements ------------------------------------------------------ */

/* The session that asks. Behind a pooler its server process will not be the one
** that runs the statement, which is found by its text (orphan.lua): then no
** number is better than one that misleads. Start of process and server come
** along, since numbers are used again. */
static void add_session(struct pgmig_sql *s)
{
    pgmig_sql_addf(
        s,
        ", (pid, backend_start, server_start, db_user) = (SELECT CASE WHEN "
        "a.pid %= %d THEN a.pid END, a.backend_start, "
        "pg_catalog.pg_postmaster_start_time(), session_user FROM "
        "pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) a)",
        pgmig_conn_backend_pid(s->conn));
}

/* The SHA-256 of a statement of the file, as a literal: of what stands in the
** file, also where a hook has sent something in its place, since it is the file
** that the next attempt compares. */
static void add_hash(struct pgmig_sql *s, const struct pgmig_job *job,
                     size_t at)
{
    const struct pgmig_statement *st =
        &job->script->sections[job->section].statements[at];
    char hash[65];

    if (pgmig_checksum(pgmig_source_at(&job->script->source, st->start),
                       st->end - st->start, hash, s->err) != 0)
        pgmig_sql_fail(s);
    else
        pgmig_sql_addf(s, "'%s'", hash);
}

/* `statement` keeps the text that is sent, for people and for what is looked
** for in the catalogs; the types json have no =, so their texts are compared.
** With `bare` the statement would run in a session without what base and
** session differ by. */
void pgmig_journal_add_running(struct pgmig_sql *s, const struct pgmig_job *job,
                               size_t at, const char *text,
                               const struct pgmig_statement *st, bool bare)
{
    pgmig_sql_add(s, "WITH ours AS (");
    add_update(s, job->revision);
    pgmig_sql_add(s, ", state = 'running'");
    add_session(s);
    pgmig_sql_add(s, ", running = ");
    add_hash(s, job, at);
    pgmig_sql_add(s, ", statement = ");
    pgmig_sql_piece(s, text + st->start, st->end - st->start);
    pgmig_sql_add(s, ", ");
    pgmig_indexed_add_columns(s);
    add_own(s, job);
    pgmig_sql_addf(s, " RETURNING session::pg_catalog.text %<> "
                      "base::pg_catalog.text AS differs) "
                      "SELECT 1 %/ pg_catalog.count(*)");
    if (bare) /* the logarithm of zero raises 2201E */
        pgmig_sql_add(s, ", pg_catalog.ln(CASE WHEN pg_catalog.bool_or("
                         "differs) THEN 0 ELSE 1 END::pg_catalog.float8)");
    pgmig_sql_addf(s, " FROM ours%;");
}

/* Behind a pooler (unseen) the session that ran the statement is gone: what was
** noted is not its. Within the statement's transaction it is known only that it
** is the same as before: what differs may end with the transaction, and is
** asked for again behind it (pgmig_journal_add_known). */
static void add_session_left(struct pgmig_sql *s, const struct pgmig_job *job,
                             struct pgmig_done done)
{
    if (done.unseen)
        return;
    add_noted(s, job);
    pgmig_sql_addf(s, ", session_known = %s",
                   done.within ? PGMIG_STATE_UNCHANGED : "true");
    if (done.elsewhere)
        pgmig_sql_add(s, ", base = " PGMIG_STATE_BASE_NOTED);
}

void pgmig_journal_add_done(struct pgmig_sql *s, const struct pgmig_job *job,
                            struct pgmig_done done)
{
    pgmig_sql_add(s, "WITH ours AS (");
    add_update(s, job->revision);
    pgmig_touched_add_column(s, done.within, done.alone);
    add_session_left(s, job, done);
    pgmig_sql_add(s, ", state = 'ready', running = NULL, statement = NULL, "
                     "done = pg_catalog.array_cat(done, ARRAY[");
    for (size_t i = done.first; i <= done.last; i++) {
        pgmig_sql_add(s, i > done.first ? ", " : "");
        add_hash(s, job, i);
    }
    pgmig_sql_add(s, "]::pg_catalog.text[])");
    add_own(s, job);
    pgmig_sql_addf(s, " RETURNING 1) " PROVEN "ours%;");
}

/* Also where the row has another owner by now, who waits for this: so it goes
** by the moment of the note, not by owner and revision, counts nothing up and
** proves nothing. It touches no row that says the same already, so that nobody
** has to wait for it without need. */
void pgmig_journal_add_known(struct pgmig_sql *s, const struct pgmig_job *job)
{
    pgmig_sql_addf(s, "UPDATE %j SET session_known = true, "
                      "session = " PGMIG_STATE_NOTED " WHERE migration %= ");
    add_key(s, &job->entry);
    pgmig_sql_addf(s, " AND session_of %= ");
    add_moment(s, job);
    pgmig_sql_addf(s, " AND NOT (session_known AND session::pg_catalog.text "
                      "%= pg_catalog.current_setting('pgmig.state'))%;");
}

/* No proof: where the row is another one's by now, it is his to say. */
void pgmig_journal_add_failed(struct pgmig_sql *s, const struct pgmig_job *job,
                              bool partial)
{
    add_update(s, job->revision);
    pgmig_sql_addf(s, ", state = '%s'", partial ? "partial" : "failed");
    add_own(s, job);
    pgmig_sql_end(s);
}

void pgmig_journal_add_end(struct pgmig_sql *s, const struct pgmig_job *job)
{
    pgmig_sql_addf(s, "WITH gone AS (DELETE FROM %j");
    add_own(s, job);
    pgmig_sql_addf(s, " RETURNING 1) " PROVEN "gone%;");
}

void pgmig_journal_add_begun(struct pgmig_sql *s, const struct pgmig_job *job)
{
    pgmig_sql_addf(s, "(SELECT started_at FROM %j");
    add_own(s, job);
    pgmig_sql_add(s, ")");
}

/* ---- rows of others -------------------------------------------------- */

/* An old format is read as it is, with fewer columns; arrays and oids as text,
** which the caller takes apart. */
static void add_columns(struct pgmig_sql *s)
{
    pgmig_sql_addf(s, "migration, direction, owner, state, "
                      "done::pg_catalog.text AS done, running, statement, "
                      "existed::pg_catalog.text AS existed, pid, "
                      "backend_start::pg_catalog.text AS backend_start, "
                      "pg_catalog.to_json(started_at) %#>> '{}' "
                      "AS started_at");
    if (s->ledger->format < 3)
        return;
    pgmig_sql_add(s, ", revision, db_user, "
                     "server_start::pg_catalog.text AS server_start, "
                     "relation::pg_catalog.text AS relation, "
                     "target::pg_catalog.text AS target, "
                     "invalid::pg_catalog.text AS invalid, "
                     "session_known, " PGMIG_STATE_ROLE
                     " AS role, " PGMIG_STATE_PATH " AS path, " PGMIG_STATE_LOST
                     " AS lost, ");
    pgmig_touched_add_gone(s);
    pgmig_sql_add(s, " AS gone");
}

/* Whoever comes next has to wait for what the new owner does about a statement
** that was under way: so the row names the new owner's process. What it says of
** the statement stays. No proof: the row is the answer, or no row. */
void pgmig_journal_add_take(struct pgmig_sql *s,
                            const struct pgmig_entry *entry, const char *by)
{
    add_update(s, entry->revision);
    add_session(s);
    pgmig_sql_addf(s, ", owner = %L", by);
    add_read(s, entry);
    pgmig_sql_add(s, " RETURNING ");
    add_columns(s);
}

/* The row is locked, not changed: nobody can take it over before this commits.
** The index is renamed by name, and then looked for by its oid under the new
** one: so another index of the old name, which may have come meanwhile, fails
** the proof, and its renaming is rolled back. The logarithm of no row raises
** 2201E, that of one is 0. */
void pgmig_journal_add_set_aside(struct pgmig_sql *s,
                                 const struct pgmig_entry *entry,
                                 const struct pgmig_debris *index)
{
    pgmig_sql_addf(s, PROVEN "(SELECT 1 FROM %j");
    add_read(s, entry);
    pgmig_sql_addf(s, " FOR UPDATE) AS ours%;");
    /* the file's rights, up to the transaction's end (true: local) */
    if (index->role != NULL)
        pgmig_sql_addf(s, "SELECT pg_catalog.set_config('role', %L, true)%;",
                       index->role);
    pgmig_sql_addf(s,
                   "ALTER INDEX IF EXISTS %s RENAME TO %s%;"
                   "SELECT pg_catalog.ln(pg_catalog.count(*)"
                   "::pg_catalog.float8) FROM pg_catalog.pg_index i "
                   "JOIN pg_catalog.pg_class c ON c.oid %= i.indexrelid "
                   "WHERE NOT i.indisvalid "
                   "AND c.relname %= '%s'::pg_catalog.name "
                   "AND c.oid %= %L::pg_catalog.oid",
                   index->name, index->set_aside, index->set_aside, index->oid);
}

/* A person has said what became of the statement. `done` gets the hash that was
** running; RESTART leaves no row, so that the next attempt begins with a new
** one. */
void pgmig_journal_add_change(struct pgmig_sql *s,
                              enum pgmig_ledger_change change,
                              const struct pgmig_entry *entry)
{
    static const char *const sets[] = {
        [PGMIG_CHANGE_DONE] = ", done = pg_catalog.array_append(done, running),"
                              " running = NULL, statement = NULL, "
                              "state = 'ready'",
        [PGMIG_CHANGE_REDO] = ", running = NULL, statement = NULL, "
                              "state = 'failed', session_known = true, "
                              "session = " PGMIG_STATE_WITHOUT_LOST};

    pgmig_sql_add(s, "WITH changed AS (");
    if (change == PGMIG_CHANGE_RESTART) {
        pgmig_sql_addf(s, "DELETE FROM %j");
    } else {
        add_update(s, entry->revision);
        pgmig_sql_add(s, sets[change]);
        /* what is gone is no harm, somebody says: the rest is still needed */
        if (change == PGMIG_CHANGE_REDO)
            pgmig_touched_add_column(s, false, false);
    }
    add_read(s, entry);
    pgmig_sql_addf(s, " RETURNING 1) " PROVEN "changed%;");
}

/* ---- runs ------------------------------------------------------------ */
/*
** Nothing is decided by these rows: they tell the next run what one that was
** cut off was about to do (lua/pgmig/state/aftermath.lua).
*/

void pgmig_runs_add_table(struct pgmig_sql *s)
{
    pgmig_sql_addf(s, "CREATE TABLE IF NOT EXISTS %r (run pg_catalog.text "
                      "PRIMARY KEY, direction pg_catalog.text NOT NULL, "
                      "plan pg_catalog.text NOT NULL, host pg_catalog.text, "
                      "program pg_catalog.text, db_user pg_catalog.text "
                      "NOT NULL DEFAULT session_user, pid INTEGER, "
                      "backend_start pg_catalog.timestamptz, "
                      "server_start pg_catalog.timestamptz, "
                      "started_at pg_catalog.timestamptz NOT NULL "
                      "DEFAULT pg_catalog.now())%;");
}

/* Behind a pooler the next transaction may have another server process: then no
** number is kept. It may be sent twice, when a connection is lost, and is there
** once. */
void pgmig_runs_add_begin(struct pgmig_sql *s, const struct pgmig_entry *entry,
                          const char *plan)
{
    pgmig_sql_addf(
        s,
        "INSERT INTO %r (run, direction, plan, host, program, pid, "
        "backend_start, server_start) SELECT %L, %L, %L, %L, %L, "
        "CASE WHEN a.pid %= %d THEN a.pid END, "
        "a.backend_start, pg_catalog.pg_postmaster_start_time() FROM "
        "pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) a "
        "ON CONFLICT (run) DO NOTHING%;",
        entry->run, entry->event, plan, entry->host, entry->program,
        pgmig_conn_backend_pid(s->conn));
}

void pgmig_runs_add_end(struct pgmig_sql *s, const char *run)
{
    pgmig_sql_addf(s, "DELETE FROM %r WHERE run %= %L%;", run);
}

/* The columns of the journal's query, type by type, since they are one
** UNION. */
static void add_runs(struct pgmig_sql *s)
{
    pgmig_sql_addf(
        s, "SELECT run, direction, host, 'run'::pg_catalog.text, "
           "NULL::pg_catalog.text, program, plan, NULL::pg_catalog.text, pid, "
           "backend_start::pg_catalog.text, pg_catalog.to_json(started_at) "
           "%#>> '{}', 0::pg_catalog.int8, db_user, "
           "server_start::pg_catalog.text, NULL::pg_catalog.text, "
           "NULL::pg_catalog.text, NULL::pg_catalog.text, "
           "NULL::pg_catalog.bool, NULL::pg_catalog.text, "
           "NULL::pg_catalog.text, NULL::pg_catalog.text, "
           "NULL::pg_catalog.text FROM %r");
}

/* ---- both lists ---------------------------------------------------------- */

void pgmig_journal_add_list(struct pgmig_sql *s)
{
    pgmig_sql_add(s, "SELECT ");
    add_columns(s);
    pgmig_sql_addf(s, " FROM %j AS j");
    /* runs that have not told their end stand in a table of their own */
    if (s->ledger->format >= 3 && s->ledger->has_runs) {
        pgmig_sql_add(s, " UNION ALL ");
        add_runs(s);
    }
}
