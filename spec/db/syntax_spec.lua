-- Statements that the server parses before the first migration runs: what its grammar does not know
-- is refused then, and nothing else is.
local bouncers = require "spec.faults.pgbouncer"
local history = require "spec.support.history"
local pgmig = require "pgmig"
local support = require "spec.support"
local syntax = require "pgmig.run.syntax"

local fails = history.fails

describe("the syntax of pending migrations", function()
  local url, db, dir

  before_each(function()
    url, dir = support.database(), support.tempdir()
    db = pgmig.connect(url)
  end)

  after_each(function() db:close() end)

  local function write(number, up, down)
    support.write(dir, ("%03d_m.sql"):format(number),
      "-- UP\n" .. up .. "\n-- DOWN\n" .. (down or "-- pgmig: empty") .. "\n")
  end

  local function migrator(options) return pgmig.migrator(db, dir, options) end

  local function migrate(options)
    local m = migrator(options)
    return m:migrate()
  end

  local function value(sql) return db:query(sql)[1].v end

  local function is_recent() return db:server_version() >= 140000 end

  --- The error that a plan is refused with; nil: the server can parse all of it.
  local function refusal(options)
    local m = migrator(options)
    local ok, err = pcall(m.plan, m)
    if ok then return nil end
    assert.equal("parse", err.kind, tostring(err))
    assert.is_string(err.sqlstate, tostring(err))
    return err
  end

  --- Whether a statement, in a file of its own, is refused.
  local function is_refused(sql)
    write(1, sql)
    local err = refusal()
    return err ~= nil, err
  end

  it("is checked in the last of them before the first runs", function()
    for i = 1, 39 do write(i, ("CREATE TABLE t%d (n int);"):format(i)) end
    write(40, "CREATE TABLE a (n int);\n  CREATE TABEL b (n int);")
    local m = migrator()
    local err = fails(m.migrate, m)
    assert.same({
      kind = "parse", file = dir .. "/040_m.sql", line = 3, column = 10,
      text = "  CREATE TABEL b (n int);", sqlstate = "42601", migration = "040_m",
      message = 'syntax error at or near "TABEL"', statement = "CREATE TABEL b (n int)",
    }, {
      kind = err.kind, file = err.file, line = err.line, column = err.column, text = err.text,
      sqlstate = err.sqlstate, migration = err.migration, message = err.message,
      statement = err.statement,
    })
    assert.same({}, err.applied)
    assert.is_nil(value "SELECT to_regclass('schema_migrations') AS v")
    assert.equal("idle", db:transaction_status())
  end)

  it("is refused with the same words and place as when it runs", function()
    local statements = {
      "SELEC 1;", "SELECT FROM;", "SELECT 'ö' AS ö, FROM t;", "INSERT INTO t VALUES (,);",
      "UPDATE t SET;", "DELETE t;", "WITH x AS (SELECT 1) SELECT * FORM x;", "VALUES (1 2);",
      "(SELECT 1) UNIN SELECT 2;", "CREATE VIEW v AS SELECT 1 +;", "GRANT ALL t TO public;",
      "CREATE FUNCTION f() RETURN int AS '' LANGUAGE sql;", "ALTER TABLE t ADD COLUMN;",
      "CREATE ROLE public;", "SELECT E'\\u12';", "CREATE ASSERTION a CHECK (true);",
      "SELECT 1 OVER (ROWS UNBOUNDED FOLLOWING);",
      "SELECT sum(1) OVER (ROWS UNBOUNDED FOLLOWING);",
      "CREATE TABLE t (f float(0));", "PREPARE p AS SELEC;", "DO LANGUAGE;", "SET search_path;",
      "CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELEC);",
      "CREATE SCHEMA s CREATE TABL t;",
    }
    if is_recent() then
      for _, sql in ipairs {
        "EXPLAIN SELEC 1;", "CREATE TABLE x AS SELEC 1;", "CALL p(,);",
        "DECLARE c CURSOR SELECT 1;",
        "CREATE MATERIALIZED VIEW m AS SELECT FROM WHERE;", "CREATE TEMP TABLE x AS SELECT 1 +;",
        "EXPLAIN ANALYZE;",
      } do statements[#statements + 1] = sql end
    end
    for _, sql in ipairs(statements) do
      local refused, err = is_refused("CREATE TABLE t (n int);\n\n  " .. sql)
      assert.is_true(refused, sql)
      local m = migrator { syntax_check = false }
      local other = fails(m.migrate, m)
      assert.equal("sql", other.kind, sql)
      for _, key in ipairs { "message", "line", "column", "text", "sqlstate", "hint", "context",
        "statement", "file", "migration" } do
        assert.equal(other[key], err[key], sql .. ": " .. key)
      end
    end
  end)

  it("is all that counts: what runs is not refused, whatever it needs", function()
    support.needs(pending, 11, "CALL")
    db:exec "CREATE TABLE old (a int)"
    local up = {
      -- of things that an earlier statement makes, or that are not as they will be
      "CREATE TABLE t (a int); INSERT INTO t VALUES (1); SELECT a FROM t;",
      "ALTER TABLE old ADD COLUMN b int; INSERT INTO old VALUES (1, 2); SELECT b FROM old;",
      "CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT $1'; SELECT f(1);",
      "CREATE PROCEDURE p() LANGUAGE sql AS ''; CALL p();",
      "CREATE TYPE e AS ENUM ('x'); SELECT 'x'::e; CREATE TABLE u AS SELECT 'x'::e AS e;",
      "CREATE OPERATOR <#-#> (PROCEDURE = int4pl, LEFTARG = int, RIGHTARG = int); "
        .. "SELECT 1 <#-#> 2;",
      "CREATE MATERIALIZED VIEW mv AS SELECT * FROM t; EXPLAIN SELECT * FROM mv;",
      "PREPARE q (int) AS SELECT a FROM t WHERE a = $1; EXECUTE q(1); DEALLOCATE q;",
      "DECLARE c CURSOR FOR SELECT a FROM t; FETCH c; CLOSE c;",
      "SELECT a INTO v FROM t; TABLE v; VALUES (1); (SELECT 1) UNION (SELECT 2);",
      "WITH x AS (INSERT INTO t VALUES (2) RETURNING a) SELECT * FROM x;",
      "CREATE RULE r AS ON INSERT TO old DO ALSO (INSERT INTO t VALUES (3); SELECT 1);",
      "DO $$ BEGIN PERFORM 1; END $$; SAVEPOINT s; RELEASE s; LOCK TABLE t; SET LOCAL x.y = '1';",
      "COPY t FROM stdin;\n1\n2\n\\.\nCOMMENT ON TABLE t IS 'x; y' -- the end",
      "CREATE SCHEMA s CREATE TABLE st (a int) CREATE VIEW sv AS SELECT 1 AS n;",
      -- whose strings another setting reads
      "SET standard_conforming_strings = off; SELECT 'it\\'s', '\\\\'; "
        .. "SET standard_conforming_strings = on; SELECT 'a\\';",
      "DO $$ BEGIN SET LOCAL standard_conforming_strings = off; END $$; "
        .. "SELECT '\\'' AS a -- ' x y z",
    }
    if is_recent() then
      up[#up + 1] = "CREATE FUNCTION g() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END;"
    end
    for i, sql in ipairs(up) do write(i, sql) end
    write(#up + 1, "-- pgmig: transaction=off\nBEGIN;\nCREATE TABLE own (a int);\nEND;\n"
      .. "START TRANSACTION;\nINSERT INTO own VALUES (1);\nCOMMIT;\nVACUUM own;\n"
      .. "CREATE INDEX CONCURRENTLY i ON own (a);")
    assert.equal(#up + 1, #migrate())
  end)

  it("costs neither locks nor errors in the server's log", function()
    db:exec "CREATE TABLE t (a int)"
    local holder = pgmig.connect(url)
    holder:exec "BEGIN; LOCK TABLE t"
    write(1, "INSERT INTO t VALUES (1); CREATE TABLE u AS SELECT * FROM t; DELETE FROM missing;")
    local before = #support.read(support.server().log)
    db:exec "SET lock_timeout = '1ms'"
    assert.is_nil(refusal())
    local function logged() return support.read(support.server().log):sub(before + 1) end
    assert.is_nil(logged():match "[^\n]*ERROR:[^\n]*")
    write(2, "DELETE FROM missing;\nSELEC 1;\nDELETE FROM missing;")
    assert.equal(3, refusal().line)
    holder:close()
    assert.is_nil(logged():match "[^\n]*missing[^\n]* does not exist[^\n]*")
  end)

  it("may be as deep as the server's parser goes", function()
    db:exec "CREATE TABLE t (a int)"
    local function insert(n)
      return ("INSERT INTO t VALUES (1, %s2%s);"):format(("("):rep(n), (")"):rep(n))
    end
    local function runs(n)
      local ok = pcall(db.exec, db, "BEGIN; ALTER TABLE t ADD COLUMN b int; " .. insert(n))
      db:exec "ROLLBACK"
      return ok
    end
    local deepest, too_deep = 1, 20000
    while deepest + 1 < too_deep do
      local n = math.floor((deepest + too_deep) / 2)
      if runs(n) then deepest = n else too_deep = n end
    end
    write(1, "ALTER TABLE t ADD COLUMN b int;")
    write(2, insert(deepest))
    assert.equal(2, #migrate())
  end)

  it("is not asked about in a session that reads strings as its migrations do not", function()
    write(1, "SELECT U&'d\\0061t', U&'!0061' UESCAPE '!';")
    db:exec "SET standard_conforming_strings = off"
    assert.equal(1, #migrate())
  end)

  it("is told of all places at once", function()
    write(1, "SELEC 1;\nSELECT 2;\nSELECT 3 +;")
    write(2, "CREATE TABLE t (a int);")
    write(3, "DROP TABL t;")
    local err = refusal()
    assert.equal(2, err.line)
    local also = "\nalso: " .. dir
    assert.equal("nothing was run: the server parses all statements first"
      .. also .. "/001_m.sql:4:11: syntax error at end of input"
      .. also .. '/003_m.sql:2:6: syntax error at or near "TABL"', err.detail)
    assert.equal(err.detail, refusal { pipeline = false }.detail)
    for i = 1, 30 do write(i, "SELEC 1;") end
    local _, others = refusal().detail:gsub("also", "")
    assert.equal(9, others)
  end)

  it("is not checked where that is switched off, or a hook writes the statements", function()
    write(1, "SELECT 1;")
    write(2, "SELEC 1;")
    assert.equal("parse", refusal().kind)
    assert.is_nil(refusal { syntax_check = false })
    local m = migrator():on("before_statement", function(ctx)
      ctx.sql = ctx.sql:gsub("SELEC ", "SELECT ")
    end)
    assert.equal(2, #m:migrate())
  end)

  it("is checked once, of a plan that is run later, and of one that goes back", function()
    write(1, "CREATE TABLE t (a int);", "DROP TABLE t;")
    write(2, "CREATE TABLE u (a int);", "DROP TABL u;")
    assert.equal(2, #migrate())
    local m = migrator()
    local err = fails(m.rollback, m, 2)
    assert.same({ "parse", 4, {} }, { err.kind, err.line, err.rolled_back })
    write(2, "CREATE TABL u (a int);", "DROP TABLE u;")
    m = migrator { policy = { edited = "allow" } }
    assert.equal("parse", fails(m.redo, m).kind)
    assert.equal("u", value "SELECT to_regclass('u')::text AS v")
    write(2, "CREATE TABLE u (a int);", "DROP TABLE u;")
    write(3, "SELECT 1;")
    local plan = m:plan()
    plan[1] = m:plan()[1]
    assert.equal(1, #m:run(plan))
  end)

  it("says nothing of what the parser warns of: running it does", function()
    db:exec "SET escape_string_warning = on"
    write(1, ("CREATE TABLE %s (a int);"):format(("n"):rep(70)))
    local notices = {}
    db:on_notice(function(notice) notices[#notices + 1] = notice.message end)
    assert.is_nil(refusal())
    assert.same({}, notices)
    migrator():migrate { on_event = function(event)
      if event.type == "notice" then notices[#notices + 1] = event.message end
    end }
    assert.equal(1, #notices)
  end)

  it("leaves what a migration says to that migration", function()
    write(1, "CREATE TABLE t (n int);")
    write(2, "DO $$ BEGIN RAISE NOTICE 'two'; END $$;")
    support.write(dir, "003_m.sql", "-- pgmig: transaction=off\n-- UP\n"
      .. "DO $$ BEGIN RAISE NOTICE 'three'; END $$;\n")
    local seen, m = {}, migrator()
    m:migrate { on_event = function(event)
      if event.type == "notice" then
        seen[#seen + 1] = tostring(event.migration) .. " " .. event.message
      end
    end }
    assert.same({ "002_m two", "003_m three" }, seen)
  end)

  it("leaves the session and the caller's transaction as they were", function()
    write(1, "SELEC 1;")
    db:exec "CREATE TEMP TABLE mine (a int); SET search_path = pg_temp; PREPARE own AS SELECT 1"
    assert.equal("parse", refusal().kind)
    assert.equal("own", value "SELECT string_agg(name, ' ') AS v FROM pg_prepared_statements")
    assert.equal("pg_temp", value "SELECT current_setting('search_path') AS v")
    local m = migrator { table = "public.schema_migrations" }
    db:transaction(function()
      db:exec "INSERT INTO mine VALUES (1)"
      assert.equal(1, #m:plan())
      assert.equal("open", db:transaction_status())
    end)
    assert.equal(1, value "SELECT count(*)::int AS v FROM mine")
  end)

  it("refuses nothing where the server does not get to the end", function()
    local statements = {}
    for i = 1, 3000 do statements[i] = ("SELECT %d, '%s';"):format(i, ("x"):rep(100)) end
    write(1, table.concat(statements, "\n"))
    write(2, "SELEC 1;")
    local m = migrator { syntax_check = false }
    local plan = m:plan()
    m.syntax_check = true
    db:exec "SET statement_timeout = '1ms'"
    for _, found in ipairs(syntax.find(m, plan, "up")) do
      assert.equal("002_m", found.migration)
    end
  end)

  it("is checked through a pooler, with one message on its way or many", function()
    write(1, "CREATE TABLE t (a int); INSERT INTO t VALUES (1);")
    write(2, "SELEC 1;")
    local pooler = bouncers.start(2)
    local other = pgmig.connect(pooler.url(db:place().name))
    finally(function()
      other:close()
      pooler.stop()
    end)
    for _, pipeline in ipairs { true, false } do
      local m = pgmig.migrator(other, dir, { pipeline = pipeline })
      local err = fails(m.plan, m)
      assert.same({ "parse", "42601", 2 }, { err.kind, err.sqlstate, err.line })
      assert.equal("idle", other:transaction_status())
      assert.equal(1, #m:plan(1))
    end
  end)

  it("is that of other tools' files, at their places", function()
    support.write(dir, "00001_a.sql", "-- +goose Up\nCREATE TABLE a (n int);\n"
      .. "-- +goose StatementBegin\nBEGIN; SELECT 1; SELECT 2; COMMIT;\n-- +goose StatementEnd\n"
      .. "SELECT ${n} FORM a;\n-- +goose Down\nDROP TABLE a;\n")
    local err = refusal { format = "goose", placeholders = { n = "1" } }
    assert.same({ 6, "42601" }, { err.line, err.sqlstate })
  end)

  it("is left to the run in Lua, and in files that are not held in memory", function()
    support.write(dir, "001_a.lua", 'return { up = function(db) db:exec "SELEC 1" end }')
    support.write(dir, "002_b.sql", "SELEC 1;\n" .. ("-- a line\n"):rep(120000))
    assert.is_nil(refusal())
    local m = migrator()
    assert.equal("sql", fails(m.migrate, m).kind)
  end)
end)
