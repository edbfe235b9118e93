-- Migrations that are sent ahead of the server's answers: nobody may notice, but for the time.
local pgmig = require "pgmig"
local support = require "spec.support"

describe("migrations in a pipeline", function()
  local url, db, dir

  before_each(function()
    url, dir = support.database(), support.tempdir()
    db = pgmig.connect(url)
  end)

  after_each(function() db:close() end)

  local function write(number, up, down)
    support.write(dir, ("%03d_m%d.sql"):format(number, number),
      "-- UP\n" .. up .. "\n-- DOWN\n" .. (down or "-- pgmig: empty") .. "\n")
  end

  local function tables(first, last)
    for i = first, last do
      write(i, ("CREATE TABLE t%d (n int);"):format(i), ("DROP TABLE t%d;"):format(i))
    end
  end

  local function migrator(options) return pgmig.migrator(db, dir, options) end

  local function fails(options, run)
    local m = migrator(options)
    local ok, err = pcall(m.migrate, m, run)
    assert.is_false(ok)
    return err
  end

  local function value(sql) return db:query(sql)[1].v end

  local function labels(list)
    local out = {}
    for i, m in ipairs(list) do out[i] = tostring(m) end
    return table.concat(out, " ")
  end

  --- How often the driver waits.
  local function waits(count)
    tables(1, count)
    local n = 0
    local counting = pgmig.connect { url = url, wait = function(...)
      n = n + 1
      return pgmig.drivers.blocking(...)
    end }
    assert.equal(count, #pgmig.migrator(counting, dir):migrate())
    counting:close()
    return n
  end

  it("wait about once for each, not for each command", function()
    support.needs(pending, 11, "what pgmig needs for pipelines")
    local few = waits(2)
    db:exec "DROP SCHEMA public CASCADE; CREATE SCHEMA public"
    -- The server hands its answers out at each COMMIT, so a fast reader waits about once for it;
    -- without a pipeline it waits more than three times. spec/bench/link_spec counts round trips.
    assert.is_true(waits(300) - few < 2 * 300)
  end)

  it("keep what was committed before one that fails, and nothing of what is behind it", function()
    tables(1, 9)
    write(5, "CREATE TABLE t5 (n int);\nSELECT 'é', nowhere;")
    local err = fails()
    assert.same({ "sql", 3, 13, "42703" }, { err.kind, err.line, err.column, err.sqlstate })
    assert.equal(dir .. "/005_m5.sql", err.file)
    assert.equal("005_m5", err.migration)
    assert.equal("001_m1 002_m2 003_m3 004_m4", labels(err.applied))
    assert.equal(4, value "SELECT count(*) AS v FROM pg_tables WHERE tablename ~ '^t[0-9]$'")
    assert.equal(4, value "SELECT max(version) AS v FROM schema_migrations")
    assert.equal("failed", migrator():status().pending[1].state)
    write(5, "SELECT 1;")
    assert.equal("005_m5 006_m6 007_m7 008_m8 009_m9", labels(migrator():migrate()))
  end)

  it("say the same of every failure as without it", function()
    support.needs(pending, 12, "ALTER TYPE ... ADD VALUE in a transaction")
    local failures = {
      syntax = "SELEC 1;", missing = "INSERT INTO nowhere VALUES (1);",
      body = "DO $$\nBEGIN\n  PERFORM 1/0;\nEND $$;", twice = "SELECT 1; SELECT 2;\nSELECT 1/0;",
      deferred = "CREATE TABLE p (n int PRIMARY KEY);\nCREATE TABLE c (n int REFERENCES p "
        .. "DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO c VALUES (1);",
      own_row = "DELETE FROM schema_migrations WHERE version = 2;",
      commits = "CREATE PROCEDURE q() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$;\nCALL q();",
      enum = "CREATE TYPE e AS ENUM ('a');\nALTER TYPE e ADD VALUE 'b';\nSELECT 'b'::e;",
    }
    for name, up in pairs(failures) do
      tables(1, 3)
      write(2, up)
      local ahead = fails { syntax_check = false }
      local plain = fails { syntax_check = false, pipeline = false }
      assert.equal("001_m1", labels(ahead.applied), name)
      for _, key in ipairs { "kind", "message", "line", "column", "sqlstate", "hint", "detail",
        "context", "statement", "file", "migration" } do
        assert.equal(plain[key], ahead[key], name .. ": " .. key)
      end
      db:exec "DROP SCHEMA public CASCADE; CREATE SCHEMA public"
    end
  end)

  it("know a statement with a parameter for what it is", function()
    support.needs(pending, 11, "what pgmig needs for pipelines")
    write(1, "SELECT $1;")
    local err = fails()
    assert.same({ "sql", 2 }, { err.kind, err.line })
    assert.matches("such as $1", err.message, 1, true)
    assert.equal(0, value "SELECT count(*) AS v FROM schema_migrations")
  end)

  it("do not fill the memory, nor block, with what queries answer", function()
    local lines = {}
    for i = 1, 60 do lines[i] = ("SELECT repeat('x', 100000), '%s';"):format(("y"):rep(100000)) end
    write(1, table.concat(lines, "\n"))
    write(2, "SELECT repeat('x', 1000) FROM generate_series(1, 50000);")
    write(3, "SELECT 1;;;\n;SELECT 2;")
    assert.equal(3, #migrator():migrate())
  end)

  it("leave the pipeline for COPY and go on behind it", function()
    write(1, "CREATE TABLE c (n int);\nCOPY c FROM STDIN;\n1\n2\n\\.\nINSERT INTO c VALUES (3);\n"
      .. "COPY c TO STDOUT;\nCOPY c (n) FROM STDIN;\n4\n\\.")
    write(2, "INSERT INTO c VALUES (5);")
    write(3, "COPY c FROM STDIN;\nx\n\\.")
    local err = fails()
    assert.same({ "003_m3", 3, "22P02" }, { err.migration, err.line, err.sqlstate })
    assert.equal(5, value "SELECT count(*) AS v FROM c")
  end)

  it("do not take an INVALID index for the one that is asked for", function()
    write(1, "CREATE TABLE i (n int);\nINSERT INTO i VALUES (1), (1);")
    write(2, "-- pgmig: transaction=off\nCREATE UNIQUE INDEX CONCURRENTLY u ON i (n);")
    fails { retries = 0 }
    assert.equal(1, value "SELECT count(*) AS v FROM pg_index WHERE NOT indisvalid")
    write(2, "CREATE UNIQUE INDEX IF NOT EXISTS u ON i (n);")
    migrator():resolve(2, "restart")
    write(3, "SELECT 1;")
    assert.matches("this index is INVALID", fails().message)
    assert.equal(1, value "SELECT count(*) AS v FROM schema_migrations")
  end)

  it("go around those that need a look in between", function()
    tables(1, 7)
    write(2, "-- pgmig: transaction=off\nCREATE TABLE t2 (n int);")
    support.write(dir, "004_lua.lua", "return { up = function(db) db:exec 'SELECT 1' end }")
    os.remove(dir .. "/004_m4.sql")
    assert.equal("001_m1 002_m2 003_m3 004_lua 005_m5 006_m6 007_m7", labels(migrator():migrate()))
  end)

  it("each find the session as it was", function()
    write(1, "SET search_path = pg_catalog;\nSELECT pg_advisory_lock(1);\nSET SESSION ROLE "
      .. "pg_monitor;\nPREPARE p AS SELECT 1;\nSET standard_conforming_strings = off;")
    write(2, "CREATE TABLE seen AS SELECT current_setting('search_path') AS path, current_user "
      .. "AS who, '\\' AS backslash;")
    db:exec "ALTER DATABASE template1 RESET ALL"
    migrator():migrate()
    assert.same({ { path = '"$user", public', who = "postgres", backslash = "\\" } },
      db:query "SELECT path, who, backslash FROM public.seen")
    assert.equal(0, value "SELECT count(*) AS v FROM pg_locks WHERE locktype = 'advisory'")
  end)

  it("of a database that reads strings the old way are read as they are written", function()
    db:exec(("ALTER DATABASE %s SET standard_conforming_strings = off"):format(
      url:match "///([%w_]+)"))
    db:close()
    db = pgmig.connect(url)
    write(1, "SET standard_conforming_strings = on;")
    write(2, "CREATE TABLE b AS SELECT '\\'::text AS v;")
    write(3, "INSERT INTO b VALUES ('\\\\');")
    migrator():migrate()
    assert.equal("\\ \\\\", value "SELECT string_agg(v, ' ' ORDER BY length(v)) AS v FROM b")
  end)

  it("go down one after the other, up to one that fails", function()
    tables(1, 5)
    support.write(dir, "002_m2.sql", "-- UP\nCREATE TABLE t2 (n int);\n-- DOWN\nDROP TABLE no;\n")
    migrator():migrate()
    local m = migrator()
    local ok, err = pcall(m.rollback, m, { to = 0 })
    assert.is_false(ok)
    assert.equal("005_m5 004_m4 003_m3", labels(err.rolled_back))
    assert.equal("002_m2", err.migration)
    assert.equal(2, value "SELECT count(*) AS v FROM schema_migrations")
  end)

  it("tell what happens in order, notices with their migration", function()
    for i = 1, 3 do write(i, ("DO $$ BEGIN RAISE NOTICE 'in %d'; END $$;"):format(i)) end
    local seen = {}
    migrator():migrate { on_event = function(event)
      if event.type == "progress" then return end
      local word = event.type == "notice" and event.message or event.type
      seen[#seen + 1] = word .. " " .. tostring(event.migration.version)
    end }
    assert.equal("start 1, in 1 1, applied 1, start 2, in 2 2, applied 2, start 3, in 3 3, "
      .. "applied 3", table.concat(seen, ", "))
  end)

  it("tell how long each has taken as the server says, however late its answer is read", function()
    support.needs(pending, 11, "what pgmig needs for pipelines")
    write(1, "SELECT 1;")
    for i = 2, 4 do write(i, "SELECT pg_sleep(0.05);") end
    write(5, [[CREATE TABLE d (n int); CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql
      AS 'BEGIN PERFORM pg_sleep(0.05); RETURN NULL; END';
      CREATE CONSTRAINT TRIGGER late AFTER INSERT ON d DEFERRABLE INITIALLY DEFERRED
      FOR EACH ROW EXECUTE PROCEDURE late(); INSERT INTO d VALUES (1);]],
      "DROP TABLE d; DROP FUNCTION late();")
    for _, hooks in ipairs { {}, { committed = function() end } } do
      local m, told = pgmig.migrator(db, dir, { hooks = hooks }), {}
      m:migrate { on_event = function(event)
        if event.type ~= "applied" then return end
        told[#told + 1] = event.duration
        db:sleep(0.2) -- meanwhile the others end
      end }
      local history = m:history(5)
      for i = 1, 5 do
        assert.is_true(math.abs(history[i].duration - told[i]) < 2e-6, told[i])
        if i > 1 then assert.is_true(told[i] >= 0.05, told[i]) end
      end
      if not hooks.committed then m:rollback(5) end
    end
  end)

  it("are told of while they run", function()
    write(1, "SELECT 1;")
    write(2, "-- pgmig: statement_timeout=2min\n" .. support.held)
    assert.equal(2, #migrator():migrate { on_event = function(event)
      if event.type == "applied" and event.migration.version == 1 then support.release(url) end
    end })
  end)

  it("stop when a listener raises, and lose nothing", function()
    tables(1, 400)
    local m = migrator()
    local ok, err = pcall(m.migrate, m, { on_event = function(event)
      if event.type == "applied" and event.migration.version == 2 then error "enough" end
    end })
    assert.is_false(ok)
    assert.matches("enough", tostring(err))
    local there = value "SELECT count(*) AS v FROM schema_migrations"
    assert.is_true(there >= 2 and there < 400, there)
    assert.equal(400 - there, #migrator():migrate())
    assert.equal(0, value [[SELECT count(*) AS v FROM schema_migrations_history
      WHERE event <> 'up']])
  end)

  it("leave out what another run has done meanwhile", function()
    tables(1, 4)
    local other = pgmig.connect(url)
    migrator():migrate(1)
    local m = migrator { hooks = { before_all = function()
      other:exec [[INSERT INTO schema_migrations (version, name) VALUES (3, 'm3')]]
    end } }
    local skipped = {}
    local done = m:migrate { on_event = function(event)
      if event.type == "skipped" then skipped[#skipped + 1] = event.migration end
    end }
    other:close()
    assert.equal("002_m2 004_m4", labels(done))
    assert.equal("003_m3", labels(skipped))
  end)

  it("are tried again from the one that met a lock", function()
    tables(1, 5)
    db:exec "CREATE TABLE busy (n int)"
    write(3, "ALTER TABLE busy ADD m int;")
    local other = pgmig.connect(url)
    other:exec "BEGIN; LOCK TABLE busy"
    local retried
    local m = migrator { lock_timeout = "100ms", hooks = { retry = function(ctx)
      retried, ctx.delay = tostring(ctx.migration), 0
      other:exec "ROLLBACK"
    end } }
    assert.equal(5, #m:migrate())
    other:close()
    assert.equal("003_m3", retried)
  end)

  it("take the lock again when its connection is lost", function()
    local long = ("-- a long comment;"):rep(3000) -- so that not all are on their way at once
    for i = 1, 12 do write(i, "SELECT pg_sleep(0.25), $$" .. long .. "$$;") end
    local other, held = pgmig.connect(url), {}
    local LOCK = "FROM pg_stat_activity WHERE application_name = 'pgmig lock' "
      .. "AND datname = current_database()"
    local done = migrator():migrate { on_event = function(event)
      if event.type ~= "applied" then return end
      if event.migration.version == 1 then
        other:query("SELECT pg_terminate_backend(pid) " .. LOCK)
      end
      held[event.migration.version] = other:query("SELECT count(*) AS n " .. LOCK)[1].n
    end }
    other:close()
    assert.equal(12, #done)
    assert.equal(1, held[12])
    assert.equal(12, value "SELECT count(*) AS v FROM schema_migrations_history")
  end)

  it("are interrupted between two statements too", function()
    for i = 1, 3 do write(i, "SELECT 1;\nSELECT pg_sleep(30);\nSELECT 2;") end
    local started, given
    local interrupted = pgmig.connect { url = url, wait = function(handle, want, deadline)
      if started and handle and not given then
        given = true
        return 2
      end
      return pgmig.drivers.blocking(handle, want, deadline)
    end }
    local m = pgmig.migrator(interrupted, dir)
    local ok, err = pcall(m.migrate, m, { on_event = function(event)
      started = started or event.type == "start"
    end })
    interrupted:close()
    assert.is_false(ok)
    assert.equal("interrupted", err.kind)
    assert.equal(0, value "SELECT count(*) AS v FROM schema_migrations")
  end)
end)
