-- Backfills that SQL files ask for: how their lines read, what `up` does with them, and what has to
-- wait for them.
local pgmig = require "pgmig"
local support = require "spec.support"

local FILL = '-- BACKFILL table=t set="n = n + 1"\n'

describe("a BACKFILL line", function()
  local function parse(text) return require("pgmig.core").parse_script(text, "f.sql") end

  it("is read with its options, in UP", function()
    local script = parse [[
-- UP
CREATE TABLE t ();
-- BACKFILL table=app.t key=a,b set="a = ""b"" || 'x'" where="n > 1" batch=5 target=2s run=later
-- backfill table=t set=n=1
-- DOWN
DROP TABLE t;
]]
    assert.same({
      {
        table = "app.t", key = "a,b", set = [[a = "b" || 'x']], where = "n > 1", batch = "5",
        target = "2s", run = "later", line = 3, column = 1,
      },
      { table = "t", set = "n=1", line = 4, column = 1 },
    }, script:backfills "up")
    assert.is_nil(script:backfills "down")
  end)

  it("may be all there is", function()
    assert.is_true(parse(FILL):empty "up")
    assert.equal("", parse("-- UP\n" .. FILL):directive("up", "empty"))
  end)

  it("leaves comments alone that speak of backfills", function()
    for _, text in ipairs { "-- backfill the slugs", "-- Backfill: slug = lower(name)",
      "-- backfills table=t", "/* BACKFILL table=t set=x */" } do
      assert.is_nil(parse("-- UP\n" .. text .. "\nSELECT 1;"):backfills "up", text)
    end
  end)

  for _, case in ipairs {
    { "SELECT 1;\n-- BACKFILL: table=t set=x", 2, 'unknown option ":"' },
    { "-- BACKFILL orders set=x", 1, 'unknown option "orders"' },
    { "-- BACKFILL table=t sets=x", 1, 'unknown option "sets"' },
    { "-- BACKFILL table=t", 1, "BACKFILL needs set=" },
    { "-- BACKFILL set=x", 1, "BACKFILL needs table=" },
    { '-- BACKFILL table=t set="x', 1, "unterminated quoted value" },
    { '-- BACKFILL table=t set="x"y', 1, "unknown option" },
    { "-- BACKFILL table=t set= where=x", 1, "set needs a value" },
    { "-- BACKFILL table=t table=u set=x", 1, "table is specified more than once" },
    { "-- BACKFILL table=t set=x batch=many", 1, "batch must be a whole number" },
    { "-- BACKFILL table=t set=x target=soon", 1, "target must be" },
    { "-- BACKFILL table=t set=x run=never", 1, "run must be now or later" },
    { FILL .. "SELECT 1;", 2, "SQL after BACKFILL" },
    { FILL .. "-- UP\nSELECT 1;", 1, "SQL before the first section marker" },
    { "-- UP\nSELECT 1;\n-- DOWN\nSELECT 1;\n" .. FILL, 5, "BACKFILL in DOWN" },
  } do
    it("is refused with its place: " .. case[3], function()
      local ok, err = pcall(parse, case[1])
      assert.is_false(ok)
      assert.same({ "parse", "f.sql", case[2] }, { err.kind, err.file, err.line })
      assert.matches(case[3], err.message, 1, true)
    end)
  end
end)

describe("a migration with a backfill", function()
  local url, db, dir, migrator

  local function new(options) return pgmig.migrator(db, dir, options) end

  before_each(function()
    url = support.database()
    db = pgmig.connect(url)
    dir = support.tempdir()
    migrator = new()
    db:exec [[CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0);
      INSERT INTO t SELECT i FROM generate_series(1, 700) AS i]]
  end)

  after_each(function() db:close() end)

  local function raises(fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok)
    assert.is_true(pgmig.is_error(err), tostring(err))
    return err
  end

  local function sum() return db:query("SELECT sum(n) AS n FROM t")[1].n end

  local function state()
    local list = {}
    for _, row in ipairs(db:query [[SELECT migration, step, state, rows_done
      FROM schema_migrations_backfill ORDER BY migration, step]]) do
      list[#list + 1] = ("%s.%d %s %d"):format(row.migration, row.step, row.state, row.rows_done)
    end
    return table.concat(list, ", ")
  end

  it("fills what it names when it is committed, and forgets that when it is rolled back", function()
    support.write(dir, "001_a.sql", "-- UP\nALTER TABLE t ADD m int;\n"
      .. '-- BACKFILL table=t set="n = n + 1" where="id > 100"\n'
      .. '-- BACKFILL table=t set="m = id" run=later\n-- DOWN\nALTER TABLE t DROP m;')
    support.write(dir, "002_b.sql", "-- UP\nCREATE TABLE seen AS SELECT sum(n) AS n FROM t;\n"
      .. "-- DOWN\nDROP TABLE seen;")
    local events = {}
    migrator:migrate { on_event = function(event)
      if event.type == "backfill" and event.phase == "done" then events[#events + 1] = event end
    end }
    assert.equal(1, #events)
    assert.equal(600, db:query("SELECT n FROM seen")[1].n)
    assert.equal("1.1 done 600, 1.2 ready 0", state())
    migrator:rollback(2)
    assert.equal("", state())
    migrator:migrate()
    assert.equal(1200, sum())
  end)

  it("is rolled back where the backfill cannot be", function()
    support.write(dir, "001_a.sql", "-- UP\nALTER TABLE t ADD m int;\n"
      .. '-- BACKFILL table=t set="k = 1"')
    local err = raises(migrator.migrate, migrator)
    assert.matches('backfill of t: column "k" of relation "t" does not exist', err.message)
    assert.same({ dir .. "/001_a.sql", 3 }, { err.file, err.line })
    assert.equal(0, #migrator:applied())
    support.write(dir, "001_a.sql", '-- UP\n-- BACKFILL table=t set="n = 1; SELECT 1"')
    err = raises(migrator.plan, migrator)
    assert.same({ "parse", 2 }, { err.kind, err.line })
  end)

  it("may run without a transaction, and under a role of its own", function()
    support.write(dir, "001_a.sql", "-- UP\n-- pgmig: transaction=off\n"
      .. "CREATE INDEX CONCURRENTLY i ON t (n);\n" .. FILL)
    support.write(dir, "002_b.sql", "-- UP\nSET search_path = pg_catalog; SET ROLE pg_monitor;\n"
      .. FILL:gsub("table=t", "table=public.t"))
    migrator:migrate()
    assert.equal(1400, sum())
    assert.equal("1.1 done 700, 2.1 done 700", state())
  end)

  it("waits to be run by hand with backfill = later, and so does what must follow it", function()
    support.write(dir, "001_a.sql", "-- UP\nSELECT 1;\n" .. FILL)
    support.write(dir, "002_b.sql", "-- UP\nCREATE TABLE b ();")
    support.write(dir, "003_c.sql", "-- pgmig: after-backfill=001\n-- UP\nCREATE TABLE c ();")
    migrator = new { backfill = "later" }
    local warnings = {}
    local err = raises(migrator.migrate, migrator, { on_event = function(event)
      if event.type == "warning" then warnings[#warnings + 1] = event.message end
    end })
    assert.matches("003_c must not start before the backfill of t %(001_a%) is done", err.message)
    assert.equal(2, #err.applied)
    assert.matches("to be run later", warnings[1])
    assert.equal("1.1 ready 0", state())
    assert.equal(0, sum())
    assert.equal(1, #new():migrate()) -- now
    assert.equal(700, sum())
    support.write(dir, "004_d.sql", "-- pgmig: after-backfill=7\n-- UP\nCREATE TABLE d ();")
    err = raises(migrator.migrate, migrator)
    assert.matches("the backfill of 7, which is not applied", err.message)
  end)

  it("is gone on with by the next run, also where nothing is pending", function()
    support.write(dir, "001_a.sql", "-- UP\nSELECT 1;\n" .. FILL)
    local batches = 0
    local ok, err = pcall(migrator.migrate, migrator, { on_event = function(event)
      if event.type == "backfill" and event.phase == "progress" then batches = batches + 1 end
      if batches == 2 then error "stop" end
    end })
    assert.is_false(ok)
    assert.matches("stop", tostring(err))
    assert.equal(1, #migrator:applied())
    assert.is_true(sum() > 0 and sum() < 700)
    assert.equal(0, #migrator:migrate())
    assert.equal(700, sum())
    db:exec "UPDATE schema_migrations_backfill SET state = 'paused'"
    assert.equal(0, #migrator:migrate())
    assert.equal(700, sum())
  end)

  it("stops the run where a row fails, which the next run goes on behind", function()
    db:exec "ALTER TABLE t ADD CONSTRAINT odd CHECK (n < 1 OR id <> 555)"
    support.write(dir, "001_a.sql", "-- UP\nSELECT 1;\n" .. FILL)
    support.write(dir, "002_b.sql", "-- UP\nCREATE TABLE b ();")
    local err = raises(migrator.migrate, migrator)
    assert.matches("backfill of t at the row with id = 555: .*odd", err.message)
    assert.equal(1, #err.applied)
    assert.equal("1.1 failed 554", state())
    db:exec "ALTER TABLE t DROP CONSTRAINT odd"
    assert.equal(1, #migrator:migrate())
    assert.equal(700, sum())
  end)

  it("is part of a script for psql, which leaves the filling to pgmig", function()
    support.write(dir, "001_a.sql", "-- UP\nSELECT 1;\n" .. FILL)
    local parts = {}
    migrator:script(migrator:plan(), function(text) parts[#parts + 1] = text end)
    local path = support.write(support.tempdir(), "script", table.concat(parts))
    assert.equal(0, (support.run(("psql -Xq -d %s -f %s"):format(support.quote(url), path))))
    assert.equal("1.1 ready 0", state())
    migrator:migrate()
    assert.equal(700, sum())
  end)
end)
