local pgmig = require "pgmig"
local support = require "spec.support"

describe("a migration", function()
  local url, db, dir, migrator

  before_each(function()
    url = support.database()
    db = pgmig.connect(url)
    dir = support.tempdir()
    migrator = pgmig.migrator(db, dir)
  end)

  after_each(function() db:close() end)

  local function fails(fn, ...)
    local ok, err = pcall(fn or migrator.migrate, migrator, ...)
    assert.is_false(ok)
    assert.is_true(pgmig.is_error(err), tostring(err))
    return err
  end

  local function one(sql, ...)
    return db:query("SELECT (" .. sql .. ") AS value", ...)[1].value
  end

  it("commits together with its tracking row", function()
    support.write(dir, "001_xid.sql", "CREATE TABLE x AS SELECT txid_current() AS id;")
    migrator:migrate()
    assert.equal(one "SELECT id::text FROM x",
      one "SELECT xmin::text FROM schema_migrations WHERE version = 1")
  end)

  it("runs its own BEGIN ... COMMIT in pgmig's transaction", function()
    support.write(dir, "001_wrapped.sql",
      "BEGIN ISOLATION LEVEL SERIALIZABLE;\nCREATE TABLE level AS\n" ..
      "SELECT current_setting('transaction_isolation') AS level;\nSELECT 1/0;\nCOMMIT;")
    assert.equal("22012", fails().sqlstate)
    assert.is_nil(one "SELECT to_regclass('level')::text")
    support.write(dir, "001_wrapped.sql",
      "BEGIN ISOLATION LEVEL SERIALIZABLE;\nCREATE TABLE level AS\n" ..
      "SELECT current_setting('transaction_isolation') AS level;\nCOMMIT;")
    local notes = {}
    migrator:migrate { on_event = function(event)
      if event.type == "warning" then notes[#notes + 1] = event.message end
    end }
    assert.equal("serializable", one "SELECT level FROM level")
    assert.matches("BEGIN and COMMIT", notes[1])
  end)

  it("does not depend on the database's defaults for transactions", function()
    db:exec(("ALTER DATABASE %s SET default_transaction_read_only = on;" ..
      "ALTER DATABASE %s SET default_transaction_isolation = 'serializable'"):format(
      one "quote_ident(current_database())", one "quote_ident(current_database())"))
    local other = pgmig.connect(url)
    support.write(dir, "001_level.sql",
      "CREATE TABLE level AS SELECT current_setting('transaction_isolation') AS level;")
    pgmig.migrator(other, dir):migrate()
    other:close()
    assert.equal("read committed", one "SELECT level FROM level")
  end)

  it("starts from a clean session", function()
    support.write(dir, "001_dirty.sql", [[
      CREATE SCHEMA app; SET search_path = app; SET work_mem = '123MB';
      CREATE TEMP TABLE t (); PREPARE p AS SELECT 1; LISTEN ch;
      DECLARE c CURSOR WITH HOLD FOR SELECT 1; SELECT pg_advisory_lock(42);
      CREATE ROLE pgmig_spec_role; GRANT pgmig_spec_role TO CURRENT_USER;
      SET ROLE pgmig_spec_role;]])
    support.write(dir, "002_look.sql", [[
      CREATE TABLE public.seen AS SELECT current_setting('search_path') AS path,
        current_setting('work_mem') AS mem, current_user::text AS who, session_user::text AS me,
        (SELECT count(*) FROM pg_prepared_statements) AS prepared,
        (SELECT count(*) FROM pg_cursors WHERE is_holdable) AS cursors,
        (SELECT count(*) FROM pg_listening_channels()) AS channels,
        (SELECT count(*) FROM pg_locks
          WHERE locktype = 'advisory' AND pid = pg_backend_pid()) AS locks,
        to_regclass('pg_temp.t')::text AS temp;]])
    migrator:migrate()
    local seen = db:query("SELECT * FROM public.seen")[1]
    db:exec "DROP ROLE pgmig_spec_role"
    assert.equal('"$user", public', seen.path)
    assert.not_equal("123MB", seen.mem)
    assert.equal(seen.me, seen.who)
    assert.same({ 0, 0, 0, 0 }, { seen.prepared, seen.cursors, seen.channels, seen.locks })
    assert.is_nil(seen.temp)
    assert.not_equal("123MB", one "current_setting('work_mem')")
  end)

  it("leaves the session clean also when it fails", function()
    support.write(dir, "001_dirty.sql",
      "PREPARE p AS SELECT 1; SELECT pg_advisory_lock(42); SET work_mem = '123MB'; SELECT 1/0;")
    fails()
    assert.equal(0, one "SELECT count(*) FROM pg_prepared_statements")
    assert.equal(0, one "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
    assert.not_equal("123MB", one "current_setting('work_mem')")
  end)

  it("keeps the caller's own settings when it changes none", function()
    db:exec "SET work_mem = '77MB'"
    support.write(dir, "001_plain.sql", "CREATE TABLE plain ();")
    migrator:migrate()
    assert.equal("77MB", one "current_setting('work_mem')")
  end)

  it("commits durably where the database's default is lower", function()
    support.write(dir, "001_commit.sql",
      "CREATE TABLE c AS SELECT current_setting('synchronous_commit') AS value;")
    db:exec "SET synchronous_commit = off"
    migrator:migrate()
    assert.equal("on", one "SELECT value FROM c")
    assert.equal("off", one "current_setting('synchronous_commit')")
  end)

  it("reads its strings as the standard says, whatever the session's setting", function()
    db:exec "SET standard_conforming_strings = off"
    support.write(dir, "001_strings.sql", "CREATE TABLE s AS SELECT 'a\\' AS value;")
    migrator:migrate()
    assert.equal("a\\", db:query("SELECT value FROM s")[1].value)
  end)

  it("waits for a lock as long as its file says", function()
    db:exec "CREATE TABLE busy ()"
    local other = pgmig.connect(url)
    other:exec "BEGIN; LOCK TABLE busy"
    support.write(dir, "001_wait.sql", "-- pgmig: lock_timeout=10ms retries=1\n" ..
      "ALTER TABLE busy ADD a int;")
    local err = fails()
    other:close()
    assert.equal("lock", err.kind)
    assert.equal("55P03", err.sqlstate)
    assert.equal(2, err.line)
    assert.equal(0, #migrator:applied())
  end)

  it("stops at its statement_timeout", function()
    support.write(dir, "001_slow.sql", "-- pgmig: statement_timeout=10ms\nSELECT pg_sleep(60);")
    local err = fails()
    assert.equal("57014", err.sqlstate)
    assert.matches("^it exceeded statement_timeout; ", err.hint)
  end)

  it("says what may have canceled it where the server speaks another language", function()
    local raise = "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '57014', MESSAGE = '%s'; END $$;"
    support.write(dir, "001_slow.sql", raise:format "storniere Anfrage wegen Zeitüberschreitung")
    assert.matches("^if it exceeded statement_timeout, ", fails().hint)
    support.write(dir, "001_slow.sql", raise:format "canceling statement due to user request")
    assert.is_nil(fails().hint)
  end)

  it("may use savepoints", function()
    support.write(dir, "001_save.sql",
      "CREATE TABLE a (); SAVEPOINT s; CREATE TABLE b (); ROLLBACK TO s; RELEASE s;")
    migrator:migrate()
    assert.is_string(one "SELECT to_regclass('a')::text")
    assert.is_nil(one "SELECT to_regclass('b')::text")
  end)

  it("may bring its COPY data", function()
    support.write(dir, "001_copy.sql", "-- UP\nCREATE TABLE t (a int, b text);\n" ..
      "COPY t FROM STDIN;\n1\tsemi;colon\n2\t-- DOWN\n\\.\n" ..
      "COPY t (b) FROM stdin WITH (FORMAT csv);\r\n" ..
      "\"x\"\"y\"\r\n\\.\r\nINSERT INTO t VALUES (3, 'end');\n-- DOWN\nDROP TABLE t;\n")
    migrator:migrate()
    assert.equal("semi;colon/-- DOWN/x\"y/end",
      one "SELECT string_agg(b, '/' ORDER BY coalesce(a, 2.5)) FROM t")
    assert.equal(1, #migrator:rollback())
  end)

  it("points at the line of COPY data that is wrong", function()
    support.write(dir, "001_copy.sql",
      "CREATE TABLE t (a int);\nCOPY t FROM STDIN;\n1\n2\nthree\n\\.\n")
    local err = fails()
    assert.equal(5, err.line)
    assert.equal("22P02", err.sqlstate)
    assert.equal(1, db:query("SELECT 1 AS one")[1].one)
  end)

  it("may copy to the client, who throws it away", function()
    support.write(dir, "001_out.sql",
      "COPY (SELECT generate_series(1, 100000)) TO STDOUT;\nCREATE TABLE after ();")
    migrator:migrate()
    assert.is_string(one "SELECT to_regclass('after')::text")
  end)

  it("may return many rows, which are not kept", function()
    support.write(dir, "001_rows.sql", "SELECT repeat('x', 1000) FROM generate_series(1, 50000);")
    assert.equal(1, #migrator:migrate())
  end)

  it("may be a plain dump", function()
    db:exec("CREATE TABLE d (a int); INSERT INTO d VALUES (1), (2);" ..
      "CREATE VIEW v AS SELECT * FROM d")
    local code, dump, err = support.run("pg_dump -d '" .. url .. "'")
    if err:find "server version mismatch" then pending "pg_dump is older than the server" end
    assert.equal(0, code)
    support.write(dir, "001_dump.sql", dump)
    local empty = pgmig.connect(support.database())
    pgmig.migrator(empty, dir):migrate()
    assert.equal(2, empty:query("SELECT count(*) AS n FROM public.v")[1].n)
    empty:close()
  end)

  it("cannot remove its own tracking row", function()
    for _, sql in ipairs { "DELETE FROM schema_migrations", "TRUNCATE schema_migrations",
      "DROP TABLE schema_migrations; CREATE TABLE schema_migrations (version int PRIMARY KEY, " ..
      "name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())" } do
      support.write(dir, "001_row.sql", "CREATE TABLE t (); " .. sql .. ";")
      assert.matches("tracking row", fails().message)
      assert.is_nil(one "SELECT to_regclass('t')::text")
    end
  end)

  it("whose deferred constraint fails is rolled back", function()
    support.write(dir, "001_deferred.sql", "CREATE TABLE p (id int PRIMARY KEY);" ..
      "CREATE TABLE c (p int REFERENCES p DEFERRABLE INITIALLY DEFERRED);" ..
      "INSERT INTO c VALUES (1);")
    local err = fails()
    assert.equal("23503", err.sqlstate)
    assert.matches("001_deferred.sql", err.file)
    assert.is_nil(one "SELECT to_regclass('p')::text")
    assert.equal(0, #migrator:applied())
  end)

  it("that cannot run in a transaction gets the directive as hint", function()
    support.needs(pending, 11, "CREATE PROCEDURE")
    support.write(dir, "001_call.sql", "CREATE PROCEDURE p() LANGUAGE plpgsql AS " ..
      "$$ BEGIN COMMIT; END $$;\nCALL p();")
    local err = fails()
    assert.equal("2D000", err.sqlstate)
    assert.matches("transaction=off", err.hint)
  end)

  it("that uses a fresh enum value is told to use two migrations", function()
    support.needs(pending, 12, "ALTER TYPE ... ADD VALUE in a transaction")
    db:exec "CREATE TYPE e AS ENUM ('a'); CREATE TABLE t (v e)"
    support.write(dir, "001_enum.sql", "ALTER TYPE e ADD VALUE 'b';\nINSERT INTO t VALUES ('b');")
    local err = fails()
    assert.equal("55P04", err.sqlstate)
    assert.matches("next migration", err.hint)
  end)

  it("does not run on a connection with an open transaction", function()
    support.write(dir, "001_t.sql", "SELECT 1;")
    db:exec "BEGIN"
    local err = fails()
    assert.equal("usage", err.kind)
  end)

  it("is applied once by many runs at once; the others wait, skip it and succeed", function()
    for i = 1, 5 do
      support.write(dir, ("%03d_slow.sql"):format(i),
        ("CREATE TABLE t%d AS SELECT 1 AS a FROM pg_sleep(0.1);"):format(i))
    end
    local command = support.lua_command(([[
      local pgmig = require "pgmig"
      local db = pgmig.connect(%q)
      io.write(#pgmig.migrator(db, %q):migrate(), "\n")
    ]]):format(url, dir)) .. " 2>&1"
    local runs, applied = {}, 0
    for i = 1, 4 do runs[i] = io.popen(command) end
    for i = 1, 4 do
      local output = runs[i]:read "*a"
      runs[i]:close()
      assert.matches("^%d+\n$", output)
      applied = applied + tonumber(output)
    end
    assert.equal(5, applied)
    assert.equal(5, #migrator:applied())
  end)

  describe("with transaction=off", function()
    it("runs statement by statement, without a transaction", function()
      support.write(dir, "001_index.sql", "CREATE TABLE t (a int);")
      support.write(dir, "002_index.sql", "-- pgmig: transaction=off\n-- UP\n" ..
        "CREATE INDEX CONCURRENTLY i ON t (a);\nVACUUM t;\n-- DOWN\nDROP INDEX CONCURRENTLY i;\n")
      assert.equal(2, #migrator:migrate())
      assert.is_true(one "SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass")
      assert.equal(1, #migrator:rollback())
      assert.is_nil(one "SELECT to_regclass('i')::text")
    end)

    it("keeps what was done before a failure, and says so", function()
      support.write(dir, "001_off.sql",
        "-- pgmig: transaction=off\nCREATE TABLE a ();\nCREATE TABLE b ();\nSELECT 1/0;\n")
      local err = fails()
      assert.equal(4, err.line)
      assert.matches("2 statements", err.hint)
      assert.is_string(one "SELECT to_regclass('b')::text")
      assert.equal(0, #migrator:applied())
    end)

    it("may hold its own transactions, but must end them", function()
      support.write(dir, "001_own.sql", "-- pgmig: transaction=off\n" ..
        "BEGIN;\nCREATE TABLE a ();\nCOMMIT;\nBEGIN;\nCREATE TABLE b ();\nROLLBACK;\n")
      migrator:migrate()
      assert.is_string(one "SELECT to_regclass('a')::text")
      assert.is_nil(one "SELECT to_regclass('b')::text")
      support.write(dir, "002_open.sql", "-- pgmig: transaction=off\nBEGIN;\nCREATE TABLE c ();\n")
      assert.matches("BEGIN without COMMIT", fails().message)
      assert.is_nil(one "SELECT to_regclass('c')::text")
      assert.equal(1, #migrator:applied())
    end)

    it("takes back its settings", function()
      support.write(dir, "001_set.sql", "-- pgmig: transaction=off lock_timeout=1234ms\n" ..
        "CREATE TABLE s AS SELECT current_setting('lock_timeout') AS value;\nSET work_mem = '9MB';")
      migrator:migrate()
      assert.equal("1234ms", one "SELECT value FROM s")
      assert.equal("0", one "current_setting('lock_timeout')")
      assert.not_equal("9MB", one "current_setting('work_mem')")
    end)
  end)
end)
