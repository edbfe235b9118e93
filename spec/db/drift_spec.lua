-- Files and database that no longer fit together: each way has a name and a policy.
local pgmig = require "pgmig"
local support = require "spec.support"

describe("drift", function()
  local db, dir, migrator

  before_each(function()
    db, dir = pgmig.connect(support.database()), support.tempdir()
    migrator = pgmig.migrator(db, dir)
    for i, name in ipairs { "a", "b", "c" } do
      support.write(dir, ("%03d_%s.sql"):format(i, name),
        ("-- UP\nCREATE TABLE %s (n int);\n-- DOWN\nDROP TABLE %s;\n"):format(name, name))
    end
  end)

  after_each(function() db:close() end)

  local function with(policy) return pgmig.migrator(db, dir, { policy = policy }) end

  local function edit()
    support.write(dir, "001_a.sql", "-- UP\nCREATE TABLE a (n text);\n-- DOWN\n")
  end

  local function states()
    local s, list = migrator:status(), {}
    for _, m in ipairs(s.applied) do list[#list + 1] = m.label .. " " .. m.state end
    for _, m in ipairs(s.pending) do list[#list + 1] = m.label .. " " .. m.state end
    return list
  end

  --- What a run with a policy warns of, or raises.
  local function run(policy)
    local warnings = {}
    local m = with(policy)
    local ok, err = pcall(function()
      return m:run(m:plan(), { on_event = function(event)
        if event.type == "warning" then warnings[#warnings + 1] = event.message end
      end })
    end)
    return ok, ok and warnings or err
  end

  it("of an edited file is seen, and refused by default", function()
    migrator:migrate(2)
    edit()
    assert.same({ "001_a edited", "002_b applied", "003_c pending" }, states())
    local ok, err = run()
    assert.is_false(ok)
    assert.equal("drift", err.kind)
    assert.equal(dir .. "/001_a.sql", err.file)
    assert.matches("001_a was edited after it was applied", err.message)
    assert.matches("pgmig repair 1", err.hint)
    assert.equal(2, #migrator:applied()) -- nothing has run
    assert.same({ true, { "001_a was edited after it was applied" } }, { run { edited = "warn" } })
  end)

  it("of an edited file may be allowed", function()
    migrator:migrate(2)
    edit()
    assert.same({ true, {} }, { run { edited = "allow" } })
    assert.equal(3, #migrator:applied())
  end)

  it("is not seen in line ends and a byte order mark", function()
    migrator:migrate()
    local text = support.read(dir .. "/001_a.sql")
    support.write(dir, "001_a.sql", "\239\187\191" .. text:gsub("\n", "\r\n"))
    assert.same({ "001_a applied", "002_b applied", "003_c applied" }, states())
  end)

  it("is not seen in a file that is edited while it is not applied", function()
    migrator:migrate(1)
    migrator:rollback()
    edit()
    assert.equal(3, #migrator:migrate())
    assert.same({ "001_a applied", "002_b applied", "003_c applied" }, states())
  end)

  it("does not stop the way back from an edited file", function()
    migrator:migrate(1)
    support.write(dir, "001_a.sql", "-- UP\nCREATE TABLE a (n text);\n-- DOWN\nDROP TABLE a;\n")
    assert.equal(1, #migrator:rollback())
  end)

  it("of a missing file is told, and runs go on", function()
    migrator:migrate(2)
    os.remove(dir .. "/001_a.sql")
    assert.same({ "001_a missing", "002_b applied", "003_c pending" }, states())
    assert.same({ true, { "001_a is applied, but its file is missing" } }, { run() })
    support.write(dir, "004_d.sql", "-- UP\nSELECT 1;\n-- DOWN\n")
    local ok, err = run { missing = "error" }
    assert.is_false(ok)
    assert.matches("its file is missing", err.message)
    assert.same({ true, {} }, { run { missing = "allow" } })
  end)

  it("of a migration below the newest applied one is told, and it is applied", function()
    migrator:fake(2)
    assert.same({ "002_b applied", "001_a out_of_order", "003_c pending" }, states())
    local ok, err = run { out_of_order = "error" }
    assert.is_false(ok)
    assert.equal("drift", err.kind)
    assert.same({ true, { "001_a is lower than the newest applied migration" } }, { run() })
    assert.equal(3, #migrator:applied())
  end)

  it("of a renamed file is told, and settled by repair", function()
    migrator:migrate()
    os.rename(dir .. "/002_b.sql", dir .. "/002_better.sql")
    assert.same({ "001_a applied", "002_better renamed", "003_c applied" }, states())
    support.write(dir, "004_d.sql", "-- UP\nSELECT 1;\n-- DOWN\n")
    assert.same({ true, { "002_better was applied under the name b" } }, { run() })
    assert.equal(1, #migrator:repair(2))
    assert.equal("002_better applied", states()[2])
    assert.equal("better", db:query("SELECT name FROM schema_migrations WHERE version = 2")[1].name)
    assert.equal("repaired", migrator:history(1)[1].event)
  end)

  it("of an ignored file has a policy too", function()
    support.write(dir, "notes.sql", "SELECT 1;")
    assert.same({ dir .. "/notes.sql" }, migrator:plan().ignored)
    assert.same({}, with({ ignored = "allow" }):plan().ignored)
    local m = with { ignored = "error" }
    local ok, err = pcall(m.plan, m)
    assert.is_false(ok)
    assert.equal("naming", err.kind)
  end)

  it("of two files of one version is always an error", function()
    support.write(dir, "2_other.sql", "-- UP\nSELECT 1;\n-- DOWN\n")
    assert.is_false((run()))
    assert.matches("2_other", tostring(migrator:status().problems[1].message))
    local ok, err = pcall(with, { duplicate = "warn" })
    assert.is_false(ok)
    assert.matches("duplicate is always error", err.message)
  end)

  it("is accepted by repair", function()
    migrator:migrate()
    edit()
    local repaired = migrator:repair(1)
    assert.equal("001_a", repaired[1].label)
    assert.equal("001_a applied", states()[1])
    assert.same({}, migrator:repair(1)) -- nothing is left to be repaired
    assert.same({}, migrator:repair())
  end)

  it("cannot be seen where another tool wrote the row, until repair records a checksum", function()
    db:exec [[CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL,
      applied_at TIMESTAMPTZ NOT NULL DEFAULT NOW()); CREATE TABLE a (n int);
      INSERT INTO schema_migrations VALUES (1, 'a')]]
    assert.equal("no_checksum", migrator:doctor()[1].kind)
    migrator:repair()
    assert.same({}, migrator:doctor())
    edit()
    assert.equal("001_a edited", states()[1])
  end)

  it("policies are checked", function()
    for _, policy in ipairs { { edit = "warn" }, { edited = "maybe" } } do
      local ok, err = pcall(with, policy)
      assert.is_false(ok)
      assert.equal("usage", err.kind)
    end
  end)
end)
