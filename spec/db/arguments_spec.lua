-- What the methods take as options: each word does what it says, or is refused before anything
-- runs.
local arguments = require "pgmig.arguments"
local pgmig = require "pgmig"
local support = require "spec.support"

local function labels(list)
  local result = {}
  for i, m in ipairs(list) do result[i] = tostring(m) end
  return table.concat(result, " ")
end

describe("the options of a call", function()
  local db, migrator

  setup(function()
    db = pgmig.connect(support.database())
    local dir = support.tempdir()
    for i, name in ipairs { "a", "b", "c" } do
      support.write(dir, ("%03d_%s.sql"):format(i, name),
        ("-- UP\nCREATE TABLE %s ();\n-- DOWN\nDROP TABLE %s;\n"):format(name, name))
    end
    migrator = pgmig.migrator(db, dir)
    migrator:migrate()
  end)

  teardown(function() db:close() end)

  local function refused(method, ...)
    local ok, err = pcall(migrator[method], migrator, ...)
    assert.is_false(ok, method)
    assert.is_true(pgmig.is_error(err, "usage"), tostring(err))
    assert.equal(3, #migrator:applied())
    return err
  end

  it("are refused where they are unknown, by each method that takes some", function()
    local before = { adopt = {}, create = { "x" }, repair = { 1 }, resolve = { 1, "done" },
      baseline = { 1 }, go_to = { 1 }, fake = { 1 }, unapply = { 1 },
      run = { { direction = "up" } } }
    for method in pairs(arguments.known) do
      if method ~= "parse" then
        local given = { (table.unpack or unpack)(before[method] or {}) }
        given[#given + 1] = { dryrun = true }
        local err = refused(method, (table.unpack or unpack)(given))
        assert.equal(method .. ": unknown option dryrun", err.message)
        assert.matches("^the options are: ", err.hint)
      end
    end
    assert.has_error(function() pgmig.parse("SELECT 1;", { fmt = "goose" }) end)
  end)

  it("are refused where they have another type, or another method has them", function()
    assert.equal("migrate: option to must be a number or string",
      refused("migrate", { to = {} }).message)
    assert.equal("rollback: option dry_run must be a boolean",
      refused("rollback", { dry_run = "yes" }).message)
    assert.equal("migrate: unknown option all", refused("migrate", { all = true }).message)
    assert.equal("redo: unknown option to", refused("redo", { to = 1 }).message)
    assert.equal("adopt: the options must be a table", refused("adopt", "goose").message)
  end)

  it("are refused where two of them say how far", function()
    assert.equal("rollback: option all cannot be combined with steps",
      refused("rollback", { all = true, steps = 1 }).message)
    assert.equal("rollback: option steps cannot be combined with to",
      refused("rollback", { steps = 1, to = 1 }).message)
    local err = refused("migrate", { to = 1, target = 2 })
    assert.matches("is given twice", err.message)
  end)

  it("only look where it is a dry run", function()
    assert.equal("003_c 002_b", labels(migrator:rollback { steps = 2, dry_run = true }))
    assert.equal("003_c 002_b", labels(migrator:plan_rollback { target = 1, dry_run = true }))
    assert.equal(3, #migrator:applied())
  end)

  it("mean the same in both directions", function()
    assert.equal("003_c 002_b 001_a", labels(migrator:rollback { all = true }))
    assert.equal("001_a 002_b", labels(migrator:migrate { to = 2, dry_run = true }))
    assert.equal("001_a", labels(migrator:migrate { to = 3, steps = 1 }))
    assert.equal("002_b", labels(migrator:migrate { target = 2 }))
    assert.equal("003_c", labels(migrator:migrate { to = "3" }))
    assert.equal(2, #migrator:history { limit = 2 })
  end)
end)
