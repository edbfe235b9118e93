-- Files and database that no longer fit together: each way has a name and a policy.
local core = require "pgmig.core"
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

  it("that nobody can see, as the file cannot be read, is not called edited", function()
    migrator:migrate()
    support.run(("cd %s && rm 002_b.sql && ln -s 002_b.sql 002_b.sql"):format(dir)) -- a loop
    assert.same({ "001_a applied", "002_b unreadable", "003_c applied" }, states())
    support.write(dir, "004_d.sql", "SELECT 1;")
    local ok, err = run()
    assert.same({ false, "drift" }, { ok, err.kind })
    assert.matches("002_b cannot be compared with what was applied: cannot open the file: ",
      err.message, 1, true)
    assert.matches("--policy edited=warn", err.hint, 1, true)
    local found = migrator:doctor()
    assert.same({ 1, "unreadable" }, { #found, found[1].kind })
    local _, warnings = run { edited = "warn" }
    assert.matches("002_b cannot be compared", warnings[1])
  end)

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

  it("of edited files is seen in a folder of any length, and in files of any size", function()
    local function write(i, text)
      support.write(dir, ("%03d_t%d.sql"):format(i, i), "SELECT 1; -- " .. text)
    end
    local long = ("x"):rep(70000)
    for i = 4, 60 do write(i, i % 7 == 0 and long or "short") end
    migrator:migrate()
    assert.is_nil((table.concat(states(), "\n"):find "edited"))
    local edited = { [4] = true, [7] = true, [13] = true, [35] = true, [49] = true, [60] = true }
    for i in pairs(edited) do write(i, i % 7 == 0 and long .. "y" or "shorT") end
    for i, state in ipairs(states()) do
      assert.equal(edited[i] and "edited" or "applied", state:match "%a+$")
    end
  end)

  it("is not seen where a run applies another text of a file that was just read", function()
    migrator:migrate(1)
    local file_checksums = core.file_checksums
    finally(function() core.file_checksums = file_checksums end)
    function core.file_checksums(...)
      core.file_checksums = file_checksums
      local before = file_checksums(...)
      local other = pgmig.connect(db.options)
      local run_between = pgmig.migrator(other, dir)
      run_between:rollback()
      edit()
      run_between:migrate(1)
      other:close()
      return before
    end
    assert.equal("001_a applied", states()[1])
    assert.equal(file_checksums, core.file_checksums)
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

  it("does not stop the way back from an edited file, and is said there", function()
    migrator:migrate(2)
    support.write(dir, "001_a.sql", "-- UP\nCREATE TABLE a (n text);\n-- DOWN\nDROP TABLE a;\n")
    assert.same({}, migrator:plan_rollback(1).warnings) -- that one is as it was
    assert.equal("001_a was edited after it was applied: DOWN runs from the file as it is now",
      migrator:plan_rollback(2).warnings[1].message)
    assert.equal(2, #migrator:rollback(2))
  end)

  it("that would stop the second half of a redo stops the first", function()
    migrator:migrate()
    edit()
    local ok, err = pcall(migrator.redo, migrator, 2)
    assert.same({ false, "drift" }, { ok, err.kind })
    assert.matches("001_a was edited", err.message)
    assert.equal(3, migrator:status().applied_count)
    assert.equal(2, #with({ edited = "warn" }):redo(2).applied)
    os.remove(dir .. "/001_a.sql")
    assert.equal(2, #migrator:redo(2).applied)
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

  describe("of a number that stands for another migration", function()
    local sentence = "002_b was applied under this number, and 002_other is another migration"

    before_each(function()
      migrator:migrate(2)
      os.rename(dir .. "/002_b.sql", dir .. "/003_b.sql")
      os.remove(dir .. "/003_c.sql")
      support.write(dir, "002_other.sql", "-- UP\nCREATE TABLE other (n int);\n-- DOWN\n")
    end)

    it("is refused, and no repair is offered", function()
      assert.same({ "001_a applied", "002_other replaced", "003_b renumbered" }, states())
      for _, m in ipairs { migrator, pgmig.migrator(db, dir, { drift_check = false }) } do
        local ok, err = pcall(m.migrate, m)
        assert.is_false(ok)
        assert.equal("drift", err.kind)
        assert.matches(sentence, err.message, 1, true)
        assert.matches("also: 003_b is applied already, as 002_b", err.detail, 1, true)
        assert.equal("give 002_other another number, and 003_b its old one", err.hint)
      end
      assert.equal(2, #migrator:applied())
    end)

    it("is refused on the way back, by fake, and by repair", function()
      for _, call in ipairs {
        { "rollback" }, { "redo" }, { "fake", 2 }, { "repair", 2 }, { "repair" },
      } do
        local ok, err = pcall(migrator[call[1]], migrator, call[2])
        assert.is_false(ok)
        assert.equal("drift", err.kind)
        assert.matches(sentence, err.message, 1, true)
      end
      assert.same({ "001_a applied", "002_other replaced", "003_b renumbered" }, states())
    end)

    it("is accepted only where a person says so by name", function()
      assert.is_false(pcall(migrator.repair, migrator, nil, { replaced = true }))
      assert.equal("002_other", migrator:repair(2, { replaced = true })[1].label)
      assert.same({ "001_a applied", "002_other applied", "003_b pending" }, states())
    end)

    it("is mended by doctor's commands", function()
      local remedies = {}
      for _, finding in ipairs(migrator:doctor()) do remedies[#remedies + 1] = finding.remedy end
      assert.same(0, (support.run(table.concat(remedies, " && "))))
      assert.same({ "001_a applied", "002_b applied", "004_other pending" }, states())
      assert.equal("004_other", migrator:migrate()[1].label)
    end)
  end)

  it("of a migration that has another number now is refused: it would run twice", function()
    migrator:migrate(2)
    os.rename(dir .. "/002_b.sql", dir .. "/007_b.sql")
    assert.same({ "001_a applied", "002_b missing", "003_c pending", "007_b renumbered" }, states())
    local ok, err = run()
    assert.is_false(ok)
    assert.equal("007_b is applied already, as 002_b", err.message)
    assert.equal(1, #migrator:migrate(3)) -- it is not about that one
    migrator:fake(7)
    assert.same({ "001_a applied", "002_b missing", "003_c applied", "007_b applied" }, states())
  end)

  it("of pairs of files is mended by doctor's commands, too", function()
    dir = support.tempdir()
    local m = pgmig.migrator(db, dir, { naming = pgmig.naming.paired })
    support.write(dir, "001_a.up.sql", "CREATE TABLE a (n int);")
    support.write(dir, "001_a.down.sql", "DROP TABLE a;")
    m:migrate()
    os.rename(dir .. "/001_a.up.sql", dir .. "/001_b.up.sql")
    os.rename(dir .. "/001_a.down.sql", dir .. "/001_b.down.sql")
    support.write(dir, "001_b.up.sql", "CREATE TABLE b (n int);")
    local finding = m:doctor()[1]
    assert.equal("replaced", finding.kind)
    assert.equal(0, (support.run(finding.remedy)))
    assert.equal("002_b", m:pending()[1].label)
    assert.equal("ready", m:status().pending[1].down)
  end)

  it("of a name alone says that nobody can tell, where no checksum is recorded", function()
    db:exec [[CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL,
      applied_at TIMESTAMPTZ NOT NULL DEFAULT NOW());
      INSERT INTO schema_migrations VALUES (1, 'z')]]
    assert.equal("001_a renamed", states()[1])
    assert.matches("no checksum is recorded: make sure that it is the same",
      migrator:doctor()[1].message)
  end)

  describe("of all files", function()
    before_each(function()
      migrator:migrate()
      dir = support.tempdir()
      migrator = pgmig.migrator(db, dir)
    end)

    local sentence = "none of the 3 applied migrations (the newest is 003_c) is in "

    it("is told on every run, with the folder and the database", function()
      local where = db:query("SELECT current_database() AS name")[1].name
      local ok, warnings = run()
      assert.is_true(ok)
      assert.same({ sentence .. dir .. ": is that the right folder, and " .. where
        .. " the right database?" }, warnings)
      assert.equal(warnings[1], migrator:status().warning)
      assert.equal(1, #migrator:plan_rollback().warnings)
      assert.same({ true, {} }, { run { missing = "allow" } })
      assert.is_false((run { missing = "error" }))
      assert.same({ "all_missing" }, { migrator:doctor()[1].kind })
      assert.is_nil(migrator:doctor()[2])
    end)

    it("stops a run that has something to do: those files are for another database", function()
      support.write(dir, "20240101_z.sql", "-- UP\nCREATE TABLE z (n int);\n-- DOWN\n")
      local ok, err = run()
      assert.is_false(ok)
      assert.equal("drift", err.kind)
      assert.matches(sentence, err.message, 1, true)
      assert.equal(3, #migrator:applied())
      assert.is_true((run { missing = "warn" }))
    end)
  end)

  it("of many missing files is one warning", function()
    for i = 4, 9 do
      support.write(dir, ("%03d_x.sql"):format(i), "-- UP\nSELECT 1;\n-- DOWN\n")
    end
    migrator:migrate()
    os.execute("rm " .. dir .. "/00[4-9]_x.sql")
    assert.same({ true, { "6 applied migrations have no file, 004_x to 009_x" } }, { run() })
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
