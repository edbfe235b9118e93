-- The one door for all that writes: with the lock held it is looked and decided again.
local pgmig = require "pgmig"
local support = require "spec.support"

describe("what writes", function()
  local db, other, dir, migrator

  before_each(function()
    local url = support.database()
    dir = support.tempdir()
    db, other = pgmig.connect(url), pgmig.connect(url)
    migrator = pgmig.migrator(db, dir)
    for i, name in ipairs { "a", "b", "c" } do
      support.write(dir, ("%03d_%s.sql"):format(i, name),
        ("-- UP\nCREATE TABLE %s (n int);\n-- DOWN\nDROP TABLE %s;\n"):format(name, name))
    end
  end)

  after_each(function()
    db:close()
    other:close()
  end)

  local function raises(kind, fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok)
    assert.equal(kind, err.kind, tostring(err))
    return err
  end

  --- The migrator of another machine, whose folder has one file more.
  local function other_machine(name, text)
    local theirs = support.tempdir()
    os.execute(("cp %s/*.sql %s; rm -f %s/%s_*"):format(dir, theirs, theirs, name:sub(1, 3)))
    support.write(theirs, name, text)
    return pgmig.migrator(other, theirs)
  end

  it("does not begin while a run is at work, where a person has decided", function()
    support.write(dir, "002_b.sql", "-- UP\n-- pgmig: transaction=off\nCREATE TABLE b (n int);\n"
      .. "CALL nothing();\n-- DOWN\n")
    raises("sql", migrator.migrate, migrator)
    local JOURNAL = "SELECT * FROM schema_migrations_journal"
    local before, errs = db:query(JOURNAL), {}
    pcall(function()
      pgmig.migrator(other, dir, { hooks = { before_all = function()
        for _, call in ipairs { { "repair" }, { "repair", 2 }, { "resolve", 2, "restart" } } do
          errs[#errs + 1] = select(2, pcall(migrator[call[1]], migrator, call[2], call[3]))
        end
        error "enough"
      end } }):migrate()
    end)
    assert.equal(3, #errs)
    for _, err in ipairs(errs) do
      assert.equal("lock", err.kind)
      assert.equal("another run is at work", err.message)
      assert.equal("pgmig lock", err.holder.application_name)
    end
    assert.same(before, db:query(JOURNAL))
    assert.equal("002_b", migrator:resolve(2, "restart").label)
  end)

  it("refuses to settle a statement that is still at work on the server", function()
    support.write(dir, "002_b.sql", "-- UP\n-- pgmig: transaction=off\nCREATE TABLE b (n int);\n"
      .. "CALL nothing();\n-- DOWN\n")
    raises("sql", migrator.migrate, migrator)
    other.handle:send "SELECT pg_sleep(60)"
    other.handle:step()
    db:exec(("UPDATE schema_migrations_journal SET state = 'running', pid = %d, running = done[1], "
      .. "backend_start = (SELECT backend_start FROM pg_stat_activity WHERE pid = %d), "
      .. "statement = 'CALL nothing()'"):format(other:backend_pid(), other:backend_pid()))
    local err = raises("lock", migrator.resolve, migrator, 2, "redo")
    assert.equal("a statement of 002_b is still running on the server", err.message)
    assert.matches(tostring(other:backend_pid()), err.hint, 1, true)
    db:query("SELECT pg_terminate_backend($1)", other:backend_pid())
    assert.equal("002_b", migrator:resolve(2, "redo").label)
  end)

  it("settles nothing that has changed since it was looked at", function()
    support.write(dir, "002_b.sql", "-- UP\n-- pgmig: transaction=off\nCREATE TABLE b (n int);\n"
      .. "CALL nothing();\n-- DOWN\n")
    raises("sql", migrator.migrate, migrator)
    db:exec [[CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
      CREATE TRIGGER keep BEFORE DELETE ON schema_migrations_journal
      FOR EACH ROW EXECUTE PROCEDURE keep()]] -- as if it were another row by now
    local err = raises("lock", migrator.resolve, migrator, 2, "restart")
    assert.matches("another session changed the journal of 002_b", err.message)
    assert.equal("failed", migrator:history(1)[1].event)
  end)

  it("applies nothing where another migration has got the number meanwhile", function()
    migrator:migrate(1)
    local plan = migrator:plan()
    other_machine("002_theirs.sql", "-- UP\nCREATE TABLE theirs (n int);\n-- DOWN\n"):migrate(2)
    local err = raises("drift", migrator.run, migrator, plan)
    assert.matches("002_theirs was applied under this number, and 002_b is another", err.message, 1,
      true)
    for _, record in ipairs { "baseline", "fake" } do
      plan.record_only = record
      raises("drift", migrator.run, migrator, plan)
    end
    assert.equal(2, db:query("SELECT count(*) AS n FROM schema_migrations")[1].n)
  end)

  it("leaves out what another run of the same files has done meanwhile", function()
    local plan, skipped = migrator:plan(), {}
    pgmig.migrator(other, dir):migrate(2)
    local done = migrator:run(plan, { on_event = function(event)
      if event.type == "skipped" then skipped[#skipped + 1] = event.migration.label end
    end })
    assert.same({ "001_a", "002_b" }, skipped)
    assert.equal("003_c", done[1].label)
  end)

  it("tells what has become out of order meanwhile, or stops", function()
    migrator:migrate(1)
    local plan, warnings = migrator:plan(2), {}
    other_machine("009_z.sql", "-- UP\nSELECT 1;\n-- DOWN\n"):fake(9)
    local strict = pgmig.migrator(db, dir, { policy = { out_of_order = "error" } })
    raises("drift", strict.run, strict, plan)
    migrator:run(plan, { on_event = function(event)
      if event.type == "warning" then warnings[#warnings + 1] = event.message end
    end })
    assert.same({ "002_b is lower than the newest applied migration",
      "009_z is applied, but its file is missing" }, warnings)
  end)

  it("undoes nothing below what another run has applied meanwhile", function()
    migrator:migrate(2)
    local plan = migrator:plan_rollback()
    pgmig.migrator(other, dir):migrate()
    local err = raises("plan", migrator.run, migrator, plan)
    assert.equal("003_c was applied by another run in the meantime", err.message)
    assert.equal(3, #migrator:applied())
  end)

  it("undoes once what two runs wanted to undo", function()
    migrator:migrate()
    local plan = migrator:plan_rollback()
    pgmig.migrator(other, dir):rollback()
    assert.same({}, migrator:run(plan))
    assert.equal(2, #migrator:applied())
  end)

  it("holds the lock between the two halves of a redo", function()
    migrator:migrate()
    local holders = {}
    for _, event in ipairs { "after_all", "before_all" } do
      migrator:on(event, function()
        holders[#holders + 1] = other:query([[SELECT string_agg(pid::text, ' ') AS pids
          FROM pg_locks WHERE locktype = 'advisory' AND classid = 1885826409]])[1].pids
      end)
    end
    migrator:redo()
    assert.equal(4, #holders)
    for i = 2, 4 do assert.equal(holders[1], holders[i]) end
  end)
end)
