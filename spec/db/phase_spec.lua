-- Migrations that run before, and after, the deploy of an application.
local pgmig = require "pgmig"
local support = require "spec.support"

describe("phases", function()
  local db, dir, migrator

  local function write(name, head, sql)
    support.write(dir, name .. ".sql", ("%s\n-- UP\n%s\n-- DOWN\nSELECT 1;\n"):format(head,
      sql or "SELECT 1;"))
  end

  local function pre(name) write(name, "", nil) end
  local function post(name) write(name, "-- pgmig: phase=post", nil) end

  local function labels(list)
    local found = {}
    for i, m in ipairs(list) do found[i] = tostring(m) end
    return table.concat(found, " ")
  end

  local function refusal(options)
    local ok, err = pcall(migrator.migrate, migrator, options)
    assert.is_false(ok)
    return err
  end

  before_each(function()
    db = pgmig.connect(support.database())
    dir = support.tempdir()
    migrator = pgmig.migrator(db, dir, { policy = { out_of_order = "error" } })
  end)

  after_each(function() db:close() end)

  it("run each at its time, and all in the order of versions without one", function()
    pre "001_a"; post "002_b"; pre "003_c"; post "004_d"
    assert.equal("001_a 002_b 003_c 004_d", labels(migrator:plan()))
    assert.equal("001_a 002_b 003_c 004_d", labels(migrator:plan { phase = "all" }))
    assert.equal("001_a", labels(migrator:plan { phase = "pre", steps = 1 }))
    assert.equal("001_a 003_c", labels(migrator:migrate { phase = "pre" }))
    assert.equal("", labels(migrator:migrate { phase = "pre" }))
    assert.equal("002_b", labels(migrator:plan { phase = "post", to = 3 }))
    assert.equal("002_b 004_d", labels(migrator:migrate { phase = "post" }))
  end)

  it("let the next release begin before the last one's post migrations have run", function()
    pre "001_a"; post "002_b"
    migrator:migrate { phase = "pre" }
    pre "003_c"
    migrator:migrate { phase = "pre" }
    local status = migrator:status()
    assert.equal("pending", status.pending[1].state)
    assert.equal("post", status.pending[1].phase)
    assert.equal("pre", status.applied[1].phase)
    assert.equal("002_b", labels(migrator:migrate()))
  end)

  it("are out of order among their own", function()
    pre "001_a"; post "003_c"
    migrator:migrate()
    post "002_b"
    assert.equal("out_of_order", migrator:pending()[1].state)
    local err = refusal { phase = "post" }
    assert.equal("drift", err.kind)
    assert.matches("002_b is lower", err.message)
    support.run("rm " .. dir .. "/002_b.sql")
    pre "002_x"
    assert.equal("out_of_order", migrator:pending()[1].state)
  end)

  it("do not run post before what it may need", function()
    pre "001_a"; post "002_b"; pre "003_c"
    local err = refusal { phase = "post" }
    assert.equal("plan", err.kind)
    assert.matches("001_a is pending, and must be applied before 002_b", err.message)
    assert.matches("pgmig up %-%-phase pre", err.hint)
    assert.equal(0, #migrator:applied())
    migrator:migrate(1)
    assert.equal("002_b", labels(migrator:migrate { phase = "post" }))
    assert.equal("003_c", labels(migrator:pending()))
  end)

  it("have repeatable migrations, which run when nothing of their phase is left", function()
    pre "001_a"; post "002_b"; pre "R__view"; post "R__late"
    assert.equal("001_a", labels(migrator:migrate { phase = "pre", steps = 1 }))
    assert.equal("R__view", labels(migrator:migrate { phase = "pre" }))
    assert.equal("002_b R__late", labels(migrator:migrate { phase = "post" }))
    assert.equal("", labels(migrator:migrate()))
  end)

  it("choose what is tried on a clone, too", function()
    pre "001_a"; write("002_b", "-- pgmig: phase=post", "CREATE TABLE b ();"); pre "003_c"
    local function tried(method, phase)
      local found, last = {}, nil
      for _, effect in ipairs(migrator[method](migrator, { phase = phase }).effects) do
        if effect.migration ~= last then found[#found + 1] = effect.migration end
        last = effect.migration
      end
      return table.concat(found, " ")
    end
    assert.equal("001_a 003_c", tried("trace", "pre"))
    assert.equal("001_a 002_b 003_c", tried "trace")
    assert.equal(2, migrator:check({ phase = "pre" }).migrations)
    assert.equal(3, migrator:check().migrations)
  end)

  it("are said by Lua migrations, whose code only a run executes", function()
    pre "001_a"
    support.write(dir, "002_b.lua", [[
      local later = { ["phase"] = 'post' } -- not this one
      _G.executed = true
      return { up = function() end, phase = "post" }]])
    support.write(dir, "003_c.lua", 'return { up = function() end, ["phase"] = "pre" }')
    assert.equal("001_a 003_c", labels(migrator:plan { phase = "pre" }))
    assert.is_nil(_G.executed)
    migrator:migrate { phase = "pre" }
    assert.equal("002_b", labels(migrator:migrate { phase = "post" }))
    _G.executed = nil
    support.write(dir, "004_d.lua", 'return { up = function() end, phase = "later" }')
    local err = refusal()
    assert.equal("parse", err.kind)
    assert.matches('phase must be "pre" or "post", not later', err.message)
  end)

  it("are refused where they would say nothing", function()
    write("001_a", "-- pgmig: phase=after")
    assert.matches("001_a.sql:1:11: phase must be pre or post", tostring(refusal()))
    write("001_a", "", "SELECT 1;\n-- DOWN\n-- pgmig: phase=post")
    assert.matches("001_a.sql:5:1: phase must be above the DOWN section", tostring(refusal()))
    write("001_a", "")
    local err = refusal { phase = "later" }
    assert.equal("usage", err.kind)
    assert.matches("phase must be pre, post or all, not later", err.message)
  end)
end)
