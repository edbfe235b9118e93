-- Going to a version: up or down, whatever it takes.
local pgmig = require "pgmig"
local support = require "spec.support"

local function labels(list)
  local result = {}
  for i, m in ipairs(list) do result[i] = tostring(m) end
  return table.concat(result, " ")
end

describe("go_to", function()
  local db, dir

  before_each(function()
    db, dir = pgmig.connect(support.database()), support.tempdir()
  end)
  after_each(function() db:close() end)

  local function write(...)
    for _, name in ipairs { ... } do
      support.write(dir, name .. ".sql",
        ("-- UP\nCREATE TABLE t%s ();\n-- DOWN\nDROP TABLE t%s;\n"):format(name, name))
    end
  end

  local function go_to(version, options)
    local done = pgmig.migrator(db, dir, options):go_to(version)
    return labels(done.rolled_back) .. " / " .. labels(done.applied)
  end

  local function applied() return labels(pgmig.migrator(db, dir):applied()) end

  local function raises(kind, ...)
    local ok, err = pcall(go_to, ...)
    assert.is_false(ok)
    assert.is_true(pgmig.is_error(err, kind), tostring(err))
    return err
  end

  it("applies what is missing, rolls back what is newer, and does nothing twice", function()
    write("001_a", "002_b", "003_c", "004_d")
    assert.equal(" / 001_a 002_b 003_c", go_to(3))
    assert.equal("003_c 002_b / ", go_to "001")
    assert.equal(" / ", go_to(1))
    assert.equal(" / 002_b 003_c 004_d", go_to "004_d")
    assert.equal("004_d 003_c 002_b 001_a / ", go_to(0))
    assert.equal(" / ", go_to(0))
  end)

  it("applies behind the rollback what is pending below, and is not out of order then", function()
    write("001_a", "003_c", "005_e")
    go_to(5)
    write("002_b", "004_d")
    support.write(dir, "R__view.sql", "CREATE VIEW v AS SELECT 1;")
    local plan = pgmig.migrator(db, dir):plan_go_to(4)
    assert.same({ "005_e", "002_b 004_d", "004_d", "002_b" }, {
      labels(plan), labels(plan.again), tostring(plan.target),
      tostring(plan.again.warnings[1].migration),
    })
    raises("drift", 4, { policy = { out_of_order = "error" } })
    assert.equal("001_a 003_c 005_e", applied())
    assert.equal("005_e 003_c / 002_b", go_to(2, { policy = { out_of_order = "error" } }))
    assert.equal("002_b / ", go_to(1))
    assert.equal(" / 002_b 003_c 004_d 005_e R__view", go_to(5))
  end)

  it("runs its plan with both halves", function()
    write("001_a", "003_c")
    go_to(3)
    write("002_b")
    local migrator = pgmig.migrator(db, dir)
    assert.equal("003_c 002_b", labels(migrator:run(migrator:plan_go_to(2))))
    assert.equal("001_a 002_b", applied())
  end)

  it("does nothing where either half is refused", function()
    write("001_a", "003_c")
    go_to(3)
    support.write(dir, "002_b.sql", "-- UP\nSELEC 1;\n-- DOWN\n")
    raises("parse", 2)
    write "002_b"
    support.write(dir, "003_c.sql", "CREATE TABLE t003_c ();")
    assert.matches("no DOWN section", raises("plan", 2, { policy = { edited = "warn" } }).message)
    assert.matches("no migration 7", raises("plan", 7).message)
    assert.matches("requires a version", raises("usage", nil).message)
    assert.equal("001_a 003_c", applied())
  end)

  it("tells in an error what the first half has done", function()
    write("001_a", "003_c")
    go_to(3)
    support.write(dir, "002_b.sql", "-- UP\nSELECT nix;\n-- DOWN\n")
    local err = raises("sql", 2)
    assert.same({ "003_c", "", "002_b" }, { labels(err.rolled_back), labels(err.applied),
      err.migration })
    assert.equal("001_a", applied())
  end)
end)
