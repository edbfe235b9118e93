-- The tracking table has lost rows, and the history knows it.
local core = require "pgmig.core"
local pgmig = require "pgmig"
local support = require "spec.support"

describe("a tracking table that has lost its rows", function()
  local db, dir, migrator

  before_each(function()
    db = pgmig.connect(support.database())
    dir = support.tempdir()
    for i = 1, 3 do
      support.write(dir, ("%03d_m%d.sql"):format(i, i),
        ("-- UP\nCREATE TABLE IF NOT EXISTS t%d (); SELECT 1;\n-- DOWN\nDROP TABLE t%d;")
        :format(i, i))
    end
    migrator = pgmig.migrator(db, dir)
  end)

  after_each(function() db:close() end)

  local function rows()
    return db:query "SELECT version, name, applied_at::text AS at FROM schema_migrations ORDER BY 1"
  end

  local function states(status)
    local list = {}
    for i, m in ipairs(status.pending) do list[i] = m.state end
    return list
  end

  local function find(kind)
    for _, finding in ipairs(migrator:doctor()) do
      if finding.kind == kind then return finding end
    end
  end

  local function check_refused(pattern)
    local ok, err = pcall(migrator.migrate, migrator)
    assert.is_false(ok)
    assert.equal("drift", err.kind)
    assert.matches(pattern, err.message)
    assert.matches("forgotten=warn", err.hint, 1, true)
  end

  local losses = {
    ["emptied"] = "TRUNCATE schema_migrations",
    ["dropped"] = "DROP TABLE schema_migrations",
    ["made again"] = [[DROP TABLE schema_migrations; CREATE TABLE schema_migrations (version INTEGER
      PRIMARY KEY, name TEXT NOT NULL, applied_at TIMESTAMPTZ NOT NULL DEFAULT NOW())]],
  }

  for how, sql in pairs(losses) do
    it("is found out when it was " .. how .. ", and gets them back", function()
      migrator:migrate()
      local before = rows()
      db:exec(sql)
      check_refused "3 migrations, 001_m1 to 003_m3, are applied according to the history"
      assert.same({ "forgotten", "forgotten", "forgotten" }, states(migrator:status()))
      assert.equal("pgmig repair --all", find("forgotten").remedy)
      assert.equal(3, #migrator:repair())
      local after = rows()
      for i = 1, 3 do assert.same({ before[i].version, before[i].name },
        { after[i].version, after[i].name }) end
      assert.same({}, migrator:doctor())
      assert.same({}, migrator:migrate())
      support.write(dir, "002_m2.sql", "-- UP\nSELECT 2;\n")
      assert.equal("edited", migrator:status().applied[2].state) -- its checksum is known, too
    end)
  end

  it("is found out for one row, beside other things that are odd", function()
    migrator:migrate()
    db:exec "DELETE FROM schema_migrations WHERE version IN (1, 3)"
    support.write(dir, "002_m2.sql", "-- UP\nSELECT 2;\n")
    assert.equal('for v in 1 3; do pgmig repair "$v"; done', find("forgotten").remedy)
    migrator:repair(3)
    assert.equal("pgmig repair 1", find("forgotten").remedy)
    migrator:repair(2)
    check_refused "001_m1 is applied according to the history"
    migrator:repair(1)
    assert.same({}, migrator:migrate())
  end)

  it("widens it again where a version needs that", function()
    support.write(dir, "20240101120000_long.sql", "SELECT 1;")
    migrator:migrate()
    db:exec(losses["made again"])
    assert.equal(4, #migrator:repair())
    assert.same({}, migrator:doctor())
  end)

  it("runs them again where that is allowed", function()
    migrator:migrate()
    db:exec "TRUNCATE schema_migrations"
    local plan = pgmig.migrator(db, dir, { policy = { forgotten = "warn" } })
    assert.equal("forgotten", plan:plan().warnings[1].state)
    assert.equal(3, #plan:migrate())
    assert.same({}, migrator:doctor())
  end)

  it("is not walked past on the way back, unless that is allowed", function()
    migrator:migrate()
    local function check_refused_down(sql, method, ...)
      db:exec(sql)
      local ok, err = pcall(migrator[method], migrator, ...)
      assert.is_false(ok)
      assert.equal("drift", err.kind)
      assert.matches("003_m3 is applied according to the history", err.message)
      assert.matches("pgmig repair 3", err.hint, 1, true)
      assert.matches("forgotten=warn", err.hint, 1, true)
      migrator:repair()
    end
    check_refused_down("DELETE FROM schema_migrations WHERE version = 3", "rollback")
    check_refused_down("DELETE FROM schema_migrations WHERE version = 3", "rollback", { to = 0 })
    check_refused_down("DELETE FROM schema_migrations WHERE version = 3", "redo")
    db:exec "DELETE FROM schema_migrations"
    local ok, err = pcall(migrator.rollback, migrator)
    assert.is_false(ok)
    assert.matches("3 migrations, 001_m1 to 003_m3", err.message)
    migrator:repair()
    db:exec "DELETE FROM schema_migrations WHERE version = 1" -- older than what is undone
    assert.equal(1, #migrator:rollback())
    db:exec "DELETE FROM schema_migrations WHERE version = 2"
    migrator:repair(1)
    assert.equal(1, #pgmig.migrator(db, dir, { policy = { forgotten = "warn" } }):rollback())
  end)

  it("may be filled by baseline and fake", function()
    migrator:migrate()
    db:exec "TRUNCATE schema_migrations"
    assert.equal(2, #migrator:baseline(2))
    assert.equal(1, #migrator:fake(3))
    assert.same({}, migrator:doctor())
  end)

  it("is not suspected where rows went as they should", function()
    migrator:migrate()
    migrator:redo { steps = 2 }
    migrator:rollback { to = 0 }
    assert.same({ "pending", "pending", "pending" }, states(migrator:status()))
    assert.same({}, migrator:doctor())
    assert.equal(3, #migrator:migrate())
    support.write(dir, "004_fails.sql", "SELECT 1/0;")
    assert.is_false(pcall(migrator.migrate, migrator))
    assert.same({ "failed" }, states(migrator:status()))
  end)

  --- A status, with `meanwhile` called at each wait for the server, again and again.
  local function status_while(meanwhile)
    local other = pgmig.connect { url = db.options.url, wait = function(handle, want)
      meanwhile()
      return pgmig.drivers.blocking(handle, want, core.now() + 0.02)
    end }
    local status = pgmig.migrator(other, dir):status()
    other:close()
    return status
  end

  it("is not suspected while another run is at work between two looks", function()
    migrator:migrate()
    for turn = 1, 5 do
      local count = 0
      local status = status_while(function()
        count = count + 1
        if count <= 12 and (count + turn) % 2 == 0 then
          migrator:rollback(1)
        elseif count <= 12 then
          migrator:migrate()
        end
      end)
      for _, state in ipairs(states(status)) do assert.equal("pending", state) end
    end
  end)

  it("is not taken for one while it is rewritten", function()
    migrator:migrate()
    local writer = pgmig.connect(db.options.url)
    local waiting = [[SELECT FROM pg_catalog.pg_stat_activity WHERE wait_event_type = 'Lock'
      AND datname = current_database()]]
    local locked
    local status = status_while(function()
      if locked == nil then
        writer:exec "BEGIN; ALTER TABLE schema_migrations ALTER COLUMN version TYPE BIGINT"
        locked = true
      elseif locked and #db:query(waiting) > 0 then
        writer:exec "COMMIT"
        locked = false
      end
    end)
    writer:close()
    assert.is_false(locked)
    assert.equal(3, status.applied_count)
  end)

  it("is another tool's own affair where that keeps it", function()
    local folder = support.tempdir()
    support.write(folder, "20240101000000_a.sql",
      "-- migrate:up\nCREATE TABLE a ();\n-- migrate:down\nDROP TABLE a;\n")
    local shared = pgmig.migrator(db, folder, { format = "dbmate", shared = true })
    shared:migrate()
    db:exec "DROP TABLE a; DELETE FROM schema_migrations" -- as dbmate's rollback does
    assert.equal(1, #shared:migrate())
  end)
end)
