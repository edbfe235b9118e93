-- What a dry run says of a migration that was left half-way: what a run then does.
local support = require "spec.support"
local cli = require "spec.cli.helper"
local core = require "pgmig.core"

describe("a plan", function()
  local project
  before_each(function()
    project = cli.project()
    assert.equal(0, (project.run "up"))
    project.db:exec "CREATE TABLE t (n int); INSERT INTO t VALUES (1), (1)"
  end)
  after_each(function() project.close() end)

  --- A migration that stops somewhere.
  local function stop(sql)
    project.write("004_off.sql", "-- UP\n-- pgmig: transaction=off\n" .. sql)
    assert.equal(1, (project.run "up"))
  end

  local function plan(words)
    local code, out = project.run("plan " .. (words or ""))
    return code, out
  end

  --- What the JSON says of the half-done one.
  local function resume()
    local _, out = plan "--json"
    return cli.objects(out)[1].migrations[1].resume
  end

  local function journal()
    return project.db:query "SELECT owner, revision, state FROM schema_migrations_journal"[1]
  end

  it("says at which statement a run resumes, and which ones are done", function()
    stop("CREATE TABLE d (n int);\nINSERT INTO d VALUES (1);\nSELECT 1/0;\n"
      .. "INSERT INTO d VALUES (2);")
    local before = journal()
    local code, out = plan()
    assert.equal(0, code)
    assert.matches("would resume  004_off at statement 3 of 4  %(transaction=off%)\n"
      .. "  %S+:3: done: CREATE TABLE d %(n int%)\n  %S+:4: done: INSERT INTO d VALUES %(1%)\n"
      .. "  %S+:5: SELECT 1/0\n  %S+:6: INSERT", out)
    assert.same({ done = 2, drops = {} }, resume())
    assert.same(before, journal())
    project.write("004_off.sql", "-- UP\n-- pgmig: transaction=off\nCREATE TABLE d (n int);\n"
      .. "INSERT INTO d VALUES (1);\n")
    assert.matches("would record  004_off  %(all of its statements are done%)", (select(2, plan())))
    assert.equal(0, (project.run "up"))
    assert.equal(1, project.db:query("SELECT count(*) AS n FROM d")[1].n)
  end)

  it("says which INVALID index is dropped first, and drops none", function()
    stop "SELECT 1;\nCREATE UNIQUE INDEX CONCURRENTLY i ON t (n);"
    local code, out = plan()
    assert.equal(0, code)
    assert.matches("at statement 2 of 2[^\n]*\n  %S+:3: done: SELECT 1\n"
      .. "  first: drop the INVALID index public.i, which an earlier attempt left behind\n"
      .. "  %S+:4: CREATE UNIQUE", out)
    assert.same({ done = 1, drops = { "public.i" } }, resume())
    assert.equal(1, project.db:query("SELECT count(*) AS n FROM pg_class WHERE relname = 'i'")[1].n)
    project.db:exec "DELETE FROM t"
    local _, _, err = project.run "up"
    assert.matches("dropped the INVALID index public.i", err)
  end)

  it("finds that the statement under way is done", function()
    local sql = "CREATE INDEX CONCURRENTLY i ON t (n)"
    stop(sql .. ";\nSELECT 1/0;")
    project.db:exec(([[UPDATE schema_migrations_journal SET done = '{}', state = 'running',
      statement = '%s', running = '%s', pid = NULL]]):format(sql, core.checksum(sql)))
    project.db:exec "UPDATE schema_migrations_journal SET relation = 't'::regclass::oid"
    assert.same({ done = 1, drops = {} }, resume())
  end)

  it("says that `resolve` is needed, as the run does", function()
    support.needs(pending, 11, "CALL")
    project.db:exec [[CREATE PROCEDURE p() LANGUAGE plpgsql AS
      $$ BEGIN INSERT INTO t VALUES (3); COMMIT; PERFORM 1/0; END $$]]
    stop "SELECT 1;\nCALL p();"
    local code, out = plan()
    assert.equal(5, code)
    assert.matches("cannot resume  004_off: statement 2 failed, and what it had committed before "
      .. "that is not known; inspect the database, then: pgmig resolve 4 --done, or --redo\n", out,
      1, true)
    assert.same({ "unknown", "CALL p()" },
      { resume().problem.kind, resume().problem.statement })
    assert.equal(5, (project.run "up"))
    assert.equal(0, (project.run "resolve 4 --redo"))
    assert.matches("would resume  004_off at statement 2 of 2", (select(2, plan())))
  end)

  it("says that a finished statement was edited, as the run does", function()
    stop "SELECT 1;\nSELECT 1/0;"
    project.write("004_off.sql", "-- UP\n-- pgmig: transaction=off\nSELECT 2;\nSELECT 3;")
    local code, out = plan()
    assert.equal((project.run "up"), code)
    assert.matches("cannot resume  004_off: statement 1 was edited after it was run; restore its "
      .. "text, or discard the progress so far: pgmig resolve 4 --restart\n", out, 1, true)
  end)

  it("knows a way back that was left half-way, too", function()
    project.write("004_off.sql", "-- UP\n-- pgmig: transaction=off\nSELECT 1;\n-- DOWN\n"
      .. "-- pgmig: transaction=off\nSELECT 2;\nSELECT 1/0;")
    assert.equal(0, (project.run "up"))
    assert.equal(1, (project.run "down"))
    assert.matches("would resume  004_off at statement 2 of 2", (select(2, project.run
      "down --dry-run")))
  end)

  it("has each statement's SQL in JSON with --verbose", function()
    project.write("004_two.sql", "-- UP\nSELECT 1,\n  2;\n\nSELECT 'ü';")
    local _, out = plan "--json -v"
    local planned = cli.objects(out)[1].migrations[1]
    assert.equal(2, planned.statements)
    assert.same({
      { line = 2, column = 1, kind = "SELECT", statement = "SELECT 1,\n  2" },
      { line = 5, column = 1, kind = "SELECT", statement = "SELECT 'ü'" },
    }, planned.sql)
    _, out = plan "--json"
    assert.is_nil(cli.objects(out)[1].migrations[1].sql)
  end)
end)
