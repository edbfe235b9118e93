-- Repeatable migrations: run again whenever their file changes, after the versioned ones.
local pgmig = require "pgmig"
local support = require "spec.support"

describe("a repeatable migration", function()
  local db, dir, migrator

  before_each(function()
    db, dir = pgmig.connect(support.database()), support.tempdir()
    migrator = pgmig.migrator(db, dir)
    support.write(dir, "001_a.sql",
      "-- UP\nCREATE TABLE a (n int);\n-- DOWN\nDROP TABLE a CASCADE;\n")
    support.write(dir, "R__view.sql", "CREATE OR REPLACE VIEW v AS SELECT n FROM a;\n")
  end)

  after_each(function() db:close() end)

  local function labels(list)
    local out = {}
    for i, m in ipairs(list) do out[i] = m.label end
    return out
  end

  it("runs after the versioned ones, and leaves the tracking table alone", function()
    support.write(dir, "R__after.sql", "CREATE OR REPLACE VIEW after AS SELECT 1 AS one;\n")
    assert.same({ "001_a", "R__after", "R__view" }, labels(migrator:migrate()))
    assert.equal(1, db:query("SELECT count(*) AS n FROM schema_migrations")[1].n)
    assert.same({}, migrator:migrate())
    local event = migrator:history(1)[1]
    assert.same({ "up", "view", nil }, { event.event, event.name, event.version })
  end)

  it("runs again when its file has changed, and only then", function()
    migrator:migrate()
    assert.equal("applied", migrator:status().repeatable[1].state)
    support.write(dir, "R__view.sql", "CREATE OR REPLACE VIEW v AS SELECT n, 2 AS two FROM a;\n")
    assert.equal("pending", migrator:status().repeatable[1].state)
    assert.same({ "R__view" }, labels(migrator:migrate()))
    assert.same({}, db:query "SELECT two FROM v")
    assert.same({}, migrator:migrate())
  end)

  it("runs again when its file is what it was two changes ago", function()
    local first = support.read(dir .. "/R__view.sql")
    migrator:migrate()
    support.write(dir, "R__view.sql", "DROP VIEW v; CREATE VIEW v AS SELECT 1 AS x;\n")
    migrator:migrate()
    support.write(dir, "R__view.sql", "DROP VIEW v;\n" .. first)
    assert.same({ "R__view" }, labels(migrator:migrate()))
  end)

  it("waits until no versioned one is pending", function()
    support.write(dir, "002_b.sql", "-- UP\nCREATE TABLE b (n int);\n-- DOWN\nDROP TABLE b;\n")
    assert.same({ "001_a" }, labels(migrator:migrate(1)))
    assert.same({ "002_b", "R__view" }, labels(migrator:migrate()))
  end)

  it("is rolled back whole when it fails, and tried again next time", function()
    support.write(dir, "R__view.sql", "CREATE TABLE t (n int);\nSELECT 1/0;\n")
    local ok, err = pcall(migrator.migrate, migrator)
    assert.is_false(ok)
    assert.equal(2, err.line)
    assert.same({ "001_a" }, labels(err.applied))
    assert.is_false(db:query("SELECT to_regclass('t') IS NOT NULL AS t")[1].t)
    local m = migrator:status().repeatable[1]
    assert.same({ "failed", "division by zero" }, { m.state, m.failure.message })
    support.write(dir, "R__view.sql", "CREATE TABLE t (n int);\n")
    assert.same({ "R__view" }, labels(migrator:migrate()))
  end)

  it("stays due when its failure is settled", function()
    migrator:migrate()
    local text = support.read(dir .. "/R__view.sql")
    support.write(dir, "R__view.sql", text .. "SELECT 1/0;\n")
    assert.is_false(pcall(migrator.migrate, migrator))
    assert.same({ "R__view" }, labels(migrator:repair()))
    assert.equal("pending", migrator:status().repeatable[1].state)
    support.write(dir, "R__view.sql", text)
    assert.same({}, migrator:migrate()) -- it is what was applied last
    assert.same({}, migrator:doctor())
  end)

  it("may be Lua, and may run without a transaction", function()
    support.write(dir, "R__lua.lua",
      "return { up = function(db) db:exec 'CREATE TABLE made ()' end }")
    support.write(dir, "R__index.sql",
      "-- pgmig: transaction=off\nCREATE INDEX CONCURRENTLY IF NOT EXISTS i ON a (n);\n")
    assert.same({ "001_a", "R__index", "R__lua", "R__view" }, labels(migrator:migrate()))
    assert.same({}, migrator:migrate())
  end)

  it("is not rolled back, nor part of baseline", function()
    assert.same({ "001_a" }, labels(migrator:baseline(1)))
    db:exec "CREATE TABLE a (n int)"
    assert.same({ "R__view" }, labels(migrator:migrate()))
    assert.same({ "001_a" }, labels(migrator:rollback { to = 0 }))
  end)

  it("may be named otherwise by the naming rule", function()
    local rule = {
      parse = function(path)
        local name = path:match "^repeat%-([%w_]+)%.sql$"
        if name then return { name = name, repeatable = true, label = "repeat-" .. name } end
        return pgmig.naming.default.parse(path)
      end,
      format = pgmig.naming.default.format,
    }
    support.write(dir, "repeat-grants.sql", "GRANT SELECT ON a TO PUBLIC;\n")
    local m = pgmig.migrator(db, dir, { naming = rule })
    assert.same({ "001_a", "repeat-grants", "R__view" }, labels(m:migrate()))
  end)

  it("is applied once by two runs at once", function()
    support.write(dir, "R__view.sql", "INSERT INTO a VALUES (1);\n")
    migrator:migrate { steps = 1 }
    local other = pgmig.connect(db.options.url)
    local second = pgmig.migrator(other, dir)
    local plan = second:plan()
    local first = pgmig.migrator(db, dir):migrate()
    assert.same({ "R__view" }, labels(first))
    assert.same({}, second:run(plan)) -- planned before, done meanwhile
    other:close()
    assert.equal(1, db:query("SELECT count(*) AS n FROM a")[1].n)
  end)
end)
