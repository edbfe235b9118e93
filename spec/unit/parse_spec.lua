local core = require "pgmig.core"
local pgmig = require "pgmig"

local unpack = unpack or table.unpack

local function parse(...) return pgmig.parse(table.concat({ ... }, "\n") .. "\n") end

local function sql(section)
  local list = {}
  for i, statement in ipairs(section.statements) do list[i] = statement.sql end
  return list
end

--- Assert that a text is refused; returns the error.
local function refused(...)
  local ok, err = pcall(parse, ...)
  assert.is_false(ok)
  assert.is_true(pgmig.is_error(err, "parse"), tostring(err))
  return err
end

describe("sections", function()
  it("are found by -- UP and -- DOWN alone on their lines", function()
    local script = parse("-- a header", "", "-- UP", "SELECT 1;", "-- DOWN", "SELECT 2;")
    assert.same({ "SELECT 1" }, sql(script.up))
    assert.same({ "SELECT 2" }, sql(script.down))
    assert.is_true(script.marked)
    assert.equal(3, script.up.line)
    assert.equal(5, script.down.line)
  end)

  it("do not mind case, blanks, their order or CRLF", function()
    for _, up in ipairs { "-- UP", "--up", "  --   Up  ", "--\tUP\r" } do
      local script = parse("-- dOwN", "SELECT 2;", up, "SELECT 1;")
      assert.same({ "SELECT 1" }, sql(script.up), up)
      assert.same({ "SELECT 2" }, sql(script.down), up)
    end
  end)

  it("are all UP in a file without markers", function()
    local script = parse("SELECT 1;", "SELECT 2")
    assert.is_false(script.marked)
    assert.same({ "SELECT 1", "SELECT 2" }, sql(script.up))
    assert.is_nil(script.down)
  end)

  it("need no semicolon at their end", function()
    local script = parse("-- UP", "SELECT 1", "-- DOWN", "SELECT 2")
    assert.same({ "SELECT 1" }, sql(script.up))
    assert.same({ "SELECT 2" }, sql(script.down))
  end)

  local places = {
    ["in a string"] = "SELECT '\n-- DOWN\n' AS s;",
    ["in an escape string"] = "SELECT E'\\'\n-- DOWN\n' AS s;",
    ["in a dollar-quoted body"] = "DO $body$\n-- DOWN\n$body$;",
    ["in a quoted name"] = 'SELECT 1 AS "\n-- DOWN\n";',
    ["in a block comment"] = "/* a\n-- DOWN\n*/ SELECT 1;",
    ["in a nested block comment"] = "/* a /* b */\n-- DOWN\n*/ SELECT 1;",
    ["in COPY data"] = "COPY t FROM STDIN;\n-- DOWN\n\\.",
    ["at the end of a line"] = "SELECT 1; -- DOWN",
    ["behind a statement's first word"] = "SELECT -- DOWN\n1;",
    ["between parentheses"] = "CREATE TABLE t (\n-- DOWN\na int);",
    ["in a BEGIN ATOMIC body"] =
      "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC\n-- DOWN\nSELECT 1;\nEND;",
  }
  for where, text in pairs(places) do
    it("are not cut by a marker " .. where, function()
      local script = parse("-- UP", text, "SELECT 99;", "-- DOWN", "SELECT 0;")
      assert.equal("SELECT 99", script.up.statements[#script.up.statements].sql)
      assert.same({ "SELECT 0" }, sql(script.down))
    end)
  end

  it("refuse SQL before the first marker, with its line", function()
    local err = refused("SELECT 1;", "-- UP", "SELECT 2;")
    assert.equal(1, err.line)
    assert.matches("line 2", err.hint)
  end)

  it("refuse a second UP and a second DOWN", function()
    assert.equal(3, refused("-- UP", "SELECT 1;", "-- up", "SELECT 2;").line)
    assert.equal(4, refused("-- UP", "SELECT 1;", "-- DOWN", "-- DOWN").line)
  end)

  it("refuse a marker in the middle of a statement", function()
    local err = refused("-- UP", "UPDATE t SET a = 1", "-- DOWN", "WHERE b = 2;")
    assert.equal(3, err.line)
  end)

  it("refuse a DOWN without UP", function()
    assert.matches("no %-%- UP section", refused("-- DOWN", "SELECT 1;").message)
  end)
end)

describe("what only looks like a marker", function()
  local near = { "-- UP:", "--- UP ---", "/* DOWN */", "-- [down]", "-- UP!", "/* up */" }
  for _, text in ipairs(near) do
    it(("is refused in a file without markers: %s"):format(text), function()
      local err = refused("SELECT 1;", text, "SELECT 2;")
      assert.equal(2, err.line)
      assert.is_string(err.hint)
    end)
  end

  it("is refused for a DOWN that is missing", function()
    assert.equal(3, refused("-- UP", "SELECT 1;", "-- DOWN:", "SELECT 2;").line)
  end)

  it("is a comment once both sections are there", function()
    assert.is_table(parse("-- UP", "SELECT 1; ", "/* down */", "-- DOWN", "SELECT 2;").down)
  end)

  it("is a comment when it says more", function()
    assert.is_table(parse("-- up to here all is well", "SELECT 1;", "-- going down the hill").up)
  end)

  local foreign = {
    ["-- +goose Up"] = "goose", ["-- migrate:up"] = "dbmate", ["-- migrate:down"] = "dbmate",
    ["-- +migrate Up"] = "sql%-migrate", ["-- Up Migration"] = "node%-pg%-migrate",
    ["---- create above / drop below ----"] = "tern",
  }
  for text, tool in pairs(foreign) do
    it("is refused when it is another tool's: " .. text, function()
      assert.matches(tool, refused(text, "SELECT 1;").message)
    end)
  end
end)

describe("emptiness", function()
  it("of UP in a file with markers is refused", function()
    local err = refused("-- UP", "-- nothing yet", "-- DOWN", "SELECT 1;")
    assert.equal("the UP section has no SQL", err.message)
    assert.matches("template", err.hint)
  end)

  it("of UP is allowed where it is said", function()
    assert.same({}, parse("-- UP", "-- pgmig: empty", "-- DOWN", "SELECT 1;").up.statements)
    assert.is_true(parse("-- UP", "-- pgmig: empty").up.empty)
  end)

  it("of a whole file without markers is a warning", function()
    local script = parse("-- only a comment")
    assert.same({}, script.up.statements)
    assert.matches("no SQL", script.warnings[1].message)
  end)

  it("does not run DOWN as UP", function()
    local script = parse("-- UP", "-- pgmig: empty", "-- DOWN", "DROP TABLE users;")
    assert.same({}, script.up.statements)
    assert.same({ "DROP TABLE users" }, sql(script.down))
  end)
end)

describe("what has no end", function()
  local texts = {
    ["a string"] = { "SELECT 1;", "SELECT 'abc;", "SELECT 2;" },
    ["a quoted name"] = { "SELECT 1;", 'SELECT "abc;', "SELECT 2;" },
    ["a dollar body"] = { "SELECT 1;", "DO $a$ BEGIN; $b$", "SELECT 2;" },
    ["a comment"] = { "SELECT 1;", "/* /* */ SELECT 1;", "SELECT 2;" },
    ["a parenthesis"] = { "SELECT 1;", "SELECT (1;", "SELECT 2;" },
    ["COPY data"] = { "SELECT 1;", "COPY t FROM STDIN;", "1" },
  }
  for what, lines in pairs(texts) do
    it("is refused where it opened: " .. what, function()
      assert.equal(2, refused(unpack(lines)).line)
    end)
  end

  it("is named, with a hint that it has no end", function()
    for text, what in pairs {
      ["SELECT 'a"] = "quoted string", ['SELECT "a'] = "quoted identifier",
      ["SELECT $a$"] = "dollar-quoted string", ["/* a"] = "/* comment",
    } do
      local err = refused(text)
      assert.equal("unterminated " .. what, err.message)
      assert.equal(("the %s that begins here has no end"):format(what), err.hint)
    end
  end)
end)

describe("bytes", function()
  it("that are no UTF-8 are refused with their place", function()
    for _, bad in ipairs { "\255", "\192\128", "\237\160\128", "\244\144\128\128", "\195" } do
      local err = refused("SELECT 1;", "SELECT '" .. bad .. "';")
      assert.equal(2, err.line)
      assert.equal(9, err.column)
    end
  end)

  it("are looked at wherever they stand: in long texts, too", function()
    for n = 0, 200 do
      local before = ("é\n"):rep(n % 7) .. ("a"):rep(n)
      for _, bad in ipairs { "\255", "\0", "\195" } do
        local err = refused("SELECT '", before .. bad .. ("b"):rep(n % 70) .. "';")
        assert.same({ 2 + n % 7, n + 1 }, { err.line, err.column })
      end
      local fine = parse("SELECT '", before .. "é€𝄞", "'; SELECT 2;").up.statements[2]
      assert.same({ 3 + n % 7, 4 }, { fine.line, fine.column })
    end
  end)

  it("of NUL are refused", function()
    assert.matches("NUL", refused("SELECT 1;\0").message)
  end)

  it("of a BOM are let go, and no column counts them", function()
    local script = parse("\239\187\191-- UP", "SELECT 1;")
    assert.same({ "SELECT 1" }, sql(script.up))
    local plain = parse("\239\187\191SELECT 1;")
    assert.equal(1, plain.up.statements[1].column)
    assert.equal(3, plain.up.statements[1].offset)
  end)

  it("are counted as characters in columns", function()
    local script = parse("SELECT 'äöü€𝄞'; SELECT 2;")
    assert.equal(17, script.up.statements[2].column)
  end)
end)

describe("directives", function()
  it("are read at the top and in a section", function()
    local script = parse("-- pgmig: lock_timeout=2s", "-- UP",
      "-- pgmig: transaction=off statement_timeout=1min", "SELECT 1;", "-- DOWN", "SELECT 2;")
    assert.same({ lock_timeout = "2s" }, script.directives)
    assert.same({ transaction = "off", statement_timeout = "1min" }, script.up.directives)
    assert.is_false(script.up.transaction)
    assert.is_true(script.down.transaction)
  end)

  it("know an irreversible migration and its reason", function()
    assert.equal("data is gone", parse("-- UP", "SELECT 1;",
      "-- pgmig: irreversible data is gone").irreversible)
    assert.equal("", parse("-- pgmig: irreversible", "SELECT 1;").irreversible)
  end)

  local wrong = {
    "-- pgmig: transactions=off", "-- pgmig: transaction=of", "-- pgmig: transaction",
    "-- pgmig: lock_timeout=soon", "-- pgmig: retries=many",
    "-- pgmig: empty=yes", "-- pgmig: empty empty", "-- pgmig: lint-ignore=",
    "SELECT 1; -- pgmig: empty", "/* pgmig: empty */", "SELECT (\n-- pgmig: empty\n1);",
  }
  for _, text in ipairs(wrong) do
    it(("are refused when wrong: %s"):format(text), function()
      assert.is_number(refused(text, "SELECT 1;").line)
    end)
  end

  it("accept findings of check, more than once, each with a reason", function()
    local script = parse(
      "-- pgmig: lint-ignore=rewrite,queue small table, transaction=off is not needed", "-- UP",
      "-- pgmig: lint-ignore=held", "-- pgmig: lint-ignore=queue at night", "SELECT 1;")
    assert.same({}, script.warnings)
    assert.equal("rewrite,queue small table, transaction=off is not needed",
      script.directives["lint-ignore"])
    assert.equal("held", script.up.directives["lint-ignore"])
    assert.is_true(script.up.transaction)
  end)

  it("name the known keys", function()
    assert.matches("lock_timeout", refused("-- pgmig: locktimeout=1s", "SELECT 1;").hint)
  end)
end)

describe("transaction control", function()
  local refused_statements = {
    "COMMIT", "END", "ABORT", "ROLLBACK", "COMMIT AND CHAIN", "ROLLBACK AND CHAIN",
    "PREPARE TRANSACTION 'x'", "COMMIT PREPARED 'x'", "BEGIN", "START TRANSACTION",
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SET LOCAL TRANSACTION READ ONLY",
  }
  for _, statement in ipairs(refused_statements) do
    it(("in the middle is refused: %s"):format(statement), function()
      assert.equal(2, refused("SELECT 1;", statement .. ";", "SELECT 2;").line)
    end)
  end

  local outside = {
    "CREATE INDEX CONCURRENTLY i ON t (a)", "CREATE UNIQUE INDEX CONCURRENTLY ON t (a)",
    "DROP INDEX CONCURRENTLY i", "REINDEX TABLE CONCURRENTLY t", "REINDEX DATABASE d",
    "REINDEX (VERBOSE, CONCURRENTLY) INDEX i", "VACUUM", "VACUUM (ANALYZE) t", "CLUSTER",
    "ALTER SYSTEM SET work_mem = '1MB'", "CREATE DATABASE d", "DROP DATABASE d",
    "CREATE TABLESPACE s LOCATION '/x'", "ALTER DATABASE d SET TABLESPACE s", "DISCARD ALL",
    "ALTER TABLE p DETACH PARTITION c CONCURRENTLY",
  }
  for _, statement in ipairs(outside) do
    it(("is impossible for this, and the directive is named: %s"):format(statement), function()
      assert.matches("transaction=off", refused("SELECT 1;", statement .. ";").hint)
      assert.is_false(parse("-- pgmig: transaction=off", statement .. ";").up.transaction)
    end)
  end

  local inside = {
    "SAVEPOINT a", "RELEASE a", "ROLLBACK TO a", "ROLLBACK TO SAVEPOINT a", "CLUSTER t USING i",
    "CREATE INDEX i ON t (a)", "REINDEX TABLE t", "ALTER DATABASE d SET work_mem = '1MB'",
    "REFRESH MATERIALIZED VIEW CONCURRENTLY v", "SET CONSTRAINTS ALL DEFERRED",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", "PREPARE p AS SELECT 1",
    "DO $$ BEGIN COMMIT; END $$", "ALTER TABLE p DETACH PARTITION c", "DISCARD TEMP",
  }
  for _, statement in ipairs(inside) do
    it("is not meant by " .. statement, function()
      assert.equal(1, #parse(statement .. ";").up.statements)
    end)
  end

  it("around the whole section is lifted, with a warning", function()
    local script = parse("BEGIN;", "SELECT 1;", "COMMIT;")
    assert.same({ "SELECT 1" }, sql(script.up))
    assert.matches("BEGIN and COMMIT are skipped", script.warnings[1].message)
    assert.equal("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", script.up.begin)
  end)

  --- The lines that are warned of, for they do nothing.
  local function vain(...)
    local lines = {}
    for _, warning in ipairs(parse(...).warnings) do
      if warning.message:find "no effect outside a transaction" then
        lines[#lines + 1] = warning.line
      end
    end
    return lines
  end

  for _, statement in ipairs {
    "LOCK TABLE t", "SET LOCAL lock_timeout = '1s'", "savepoint a", "SET CONSTRAINTS ALL DEFERRED",
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    "DECLARE c SCROLL CURSOR FOR SELECT 'with hold'",
    "CREATE TEMPORARY TABLE t (a int) ON COMMIT DROP",
    "create temp table t on commit drop as table x",
  } do
    it("has no " .. statement .. " outside one, but with a warning", function()
      statement = statement .. ";"
      assert.same({ 2, 8 }, vain("-- pgmig: transaction=off", statement, "BEGIN;", statement,
        "SELECT 1;", statement, "COMMIT;", statement))
      assert.same({}, vain(statement:find "TRANSACTION" and statement or "SELECT 1;" .. statement))
    end)
  end

  it("is not needed by what outlives one", function()
    assert.same({}, vain("-- pgmig: transaction=off", "SET lock_timeout = '1s';",
      "SET SESSION a.b = 1;", "DECLARE c CURSOR WITH HOLD FOR SELECT 1;",
      "CREATE TEMP TABLE t () ON COMMIT DELETE ROWS;",
      "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE;", "CREATE TABLE u (commit int);"))
  end)

  it("is asked for in the first twenty places of a section only", function()
    assert.equal(20, #vain("-- pgmig: transaction=off", ("SAVEPOINT a;\n"):rep(50)))
  end)

  local OPEN, CLOSE = "SELECT pg_catalog.lo_open('1', 131072);", "SELECT pg_catalog.lo_close(0);"
  local WRITE = "SELECT pg_catalog.lowrite(0, '\\x00');"

  for what, calls in pairs {
    ["as pg_dump writes them"] = { OPEN, WRITE, WRITE, CLOSE, OPEN, CLOSE },
    ["as old ones did"] = {
      "SELECT pg_catalog.lo_open(pg_catalog.lo_create('1'), 131072);", WRITE, CLOSE },
    ["several in one statement"] = {
      "select lo_put(1, 0, E'a\\n'), /* and */ lo_unlink(2), LO_CREATE(3);" },
    ["on two at once"] = {
      "SELECT LO_OPEN(1, -1);", OPEN, WRITE, "SELECT lo_close(1);", CLOSE },
  } do
    it("around calls for large objects alone is left out: " .. what, function()
      local block = table.concat(calls, "\n")
      local expected = sql(parse("SELECT 1;", block, "SELECT 2;", block).up)
      for before, after in pairs { ["BEGIN;"] = "COMMIT;", ["START TRANSACTION;"] = "END WORK;" } do
        local text = table.concat({
          "SELECT 1;", before, block, after, "SELECT 2;", before, block, after }, "\n")
        local script = parse(text)
        assert.same(expected, sql(script.up))
        assert.matches("BEGIN and COMMIT are skipped", script.warnings[1].message)
        assert.same(expected, sql(parse("BEGIN;", text, "COMMIT;").up))
        local off = parse("-- pgmig: transaction=off", text)
        assert.equal(#expected + 4, #off.up.statements)
      end
    end)
  end

  for what, text in pairs {
    ["nothing"] = "BEGIN;",
    ["other statements"] = "BEGIN; SELECT lo_create(1); CREATE TABLE t ();",
    ["functions of others"] = "BEGIN; SELECT lo_create(1), mine();",
    ["a relation"] = "BEGIN; SELECT lo_unlink(oid) FROM t;",
    ["a savepoint"] = "BEGIN; SELECT lo_create(1); SAVEPOINT a;",
    ["an isolation level"] = "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT lo_create(1);",
    -- Its descriptors would not be those that it has in a transaction of its own.
    ["one that stays open"] = "BEGIN; " .. OPEN,
    ["one that is closed too often"] = "BEGIN; " .. OPEN .. CLOSE .. CLOSE,
    ["one, behind another that stays open"] = OPEN .. "BEGIN; " .. OPEN .. WRITE .. CLOSE,
    ["one, behind one in a query"] = "SELECT lowrite(lo_open(a, 131072), b) FROM t; BEGIN; " .. OPEN
      .. WRITE .. CLOSE,
    ["one, behind one in a DO"] = "DO 'BEGIN PERFORM lo_open(1, -1); END'; BEGIN; " .. OPEN
      .. CLOSE,
  } do
    it("around anything else is not: " .. what, function()
      assert.matches("in a migration that runs in a transaction",
        refused("CREATE TABLE u ();", text, "COMMIT;", "SELECT 2;").message)
    end)
  end

  it("takes over isolation level and mode", function()
    local script = parse("START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ WRITE;",
      "SELECT 1;", "END;")
    assert.equal("BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE", script.up.begin)
    script = parse("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, DEFERRABLE;", "SELECT 1;")
    assert.equal("BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE DEFERRABLE", script.up.begin)
    assert.same({ "SELECT 1" }, sql(script.up))
  end)

  it("that asks for READ ONLY or a snapshot is refused", function()
    assert.matches("READ ONLY", refused("BEGIN READ ONLY;", "SELECT 1;", "COMMIT;").message)
    assert.matches("SNAPSHOT", refused("SET TRANSACTION SNAPSHOT 'x';", "SELECT 1;").message)
  end)
end)

describe("psql commands", function()
  it("of pg_dump are skipped", function()
    local script = parse("\\restrict abc", "SELECT 1;", "\\unrestrict abc")
    assert.same({ "SELECT 1" }, sql(script.up))
  end)

  it("are refused by name", function()
    local err = refused("SELECT 1;", "\\copy t from program 'x'")
    assert.matches("\\copy", err.message, 1, true)
    assert.equal(2, err.line)
    assert.is_number(refused("SELECT 1 \\gexec").line)
    assert.is_number(refused("\\connect other").line)
  end)
end)

describe("settings that change how a file reads", function()
  it("are followed for standard_conforming_strings", function()
    local script = parse("SET standard_conforming_strings = off;", "SELECT 'a\\';b';",
      "SET standard_conforming_strings TO on;", "SELECT 'a\\'; SELECT 'b';")
    assert.same({ "SET standard_conforming_strings = off", "SELECT 'a\\';b'",
      "SET standard_conforming_strings TO on", "SELECT 'a\\'", "SELECT 'b'" }, sql(script.up))
  end)

  it("are refused for client_encoding, but for UTF-8", function()
    assert.equal(1, refused("SET client_encoding = 'LATIN1';").line)
    assert.equal(1, refused("SET NAMES 'latin1';").line)
    assert.is_table(parse("SET client_encoding = 'UTF8';").up)
  end)

  it("are refused where they are hidden in set_config", function()
    refused("SELECT set_config('standard_conforming_strings', 'off', false);")
    assert.is_table(parse("SELECT pg_catalog.set_config('search_path', '', false);").up)
  end)
end)

describe("statements", function()
  it("know their kind, place and COPY data", function()
    local up = parse("SELECT 1; create or replace view v as select 1;", "COPY t (a) FROM stdin;",
      "1", "\\\\.", "\\.", "DROP MATERIALIZED VIEW m;").up
    assert.equal("CREATE VIEW", up.statements[2].kind)
    assert.equal(11, up.statements[2].column)
    assert.equal(10, up.statements[2].offset)
    assert.equal("COPY", up.statements[3].kind)
    assert.equal("1\n\\\\.\n", up.statements[3].copy_data)
    assert.equal("DROP MATERIALIZED VIEW", up.statements[4].kind)
    assert.equal(6, up.statements[4].line)
  end)

  it("say CONCURRENTLY in their kind", function()
    local up = parse("-- pgmig: transaction=off", "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a);",
      "DROP INDEX CONCURRENTLY i; REINDEX INDEX i;").up
    assert.equal("CREATE INDEX CONCURRENTLY", up.statements[1].kind)
    assert.equal("DROP INDEX CONCURRENTLY", up.statements[2].kind)
    assert.equal("REINDEX", up.statements[3].kind)
  end)

  it("are known alone, too, as in their file", function()
    for _, text in ipairs { "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON s.t (a)",
      "/* again */ REINDEX INDEX CONCURRENTLY i", "VACUUM FULL t" } do
      local there = parse("-- pgmig: transaction=off", text .. ";").up.statements[1]
      local alone = core.statement(text)
      assert.same({ there.kind, there.index_change }, { alone.kind, alone.index_change })
    end
    assert.equal("", core.statement("").kind)
  end)

  it("have names that end at an escape of no character, however many of them", function()
    local name = 'U&"ab' .. ("\\D800"):rep(400000) .. '"'
    local up = parse("-- pgmig: transaction=off", "DROP INDEX CONCURRENTLY " .. name .. ";").up
    assert.equal('"ab"', up.statements[1].index_change.name)
  end)

  it("end COPY data at the line that is the marker alone, whatever backslashes it has", function()
    local data = { "\\N\\.\n", "x\\.\n", " \\.\n", "\\.x\n", "\\. \n", "\\\\.\n", "\\\n.\n",
      "\\.\r\r\n", "a\r\\.\n", "", "\n", ("\\N\t"):rep(50) .. "\n" }
    data[#data + 1] = table.concat(data)
    for _, lines in ipairs(data) do
      for _, marker in ipairs { "\\.\n", "\\.\r\n" } do
        local up = pgmig.parse("COPY t FROM STDIN;\n" .. lines .. marker .. "SELECT 1").up
        assert.equal(lines, up.statements[1].copy_data)
        assert.equal("SELECT 1", up.statements[2].sql)
      end
      for _, marker in ipairs { "\\.", "\\.\r" } do
        local up = pgmig.parse("COPY t FROM STDIN;\n" .. lines .. marker).up
        assert.equal(lines, up.statements[1].copy_data)
      end
      assert.truthy(refused("COPY t FROM STDIN;", lines).message:find "unterminated COPY data")
    end
  end)

  it("keep empty COPY data", function()
    assert.equal("", parse("COPY t FROM STDIN;", "\\.").up.statements[1].copy_data)
  end)

  it("are not made of lone semicolons and comments", function()
    assert.same({ "SELECT 1" }, sql(parse(";;", "/* a */ ; -- b", "SELECT 1;;").up))
  end)

  it("hold a rule's statements together", function()
    assert.equal(1, #parse("CREATE RULE r AS ON INSERT TO t DO (DELETE FROM a; DELETE FROM b);")
      .up.statements)
  end)
end)
