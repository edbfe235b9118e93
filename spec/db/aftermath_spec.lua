-- Runs that were cut off: the next one writes down what became of them.
local cli = require "spec.cli.helper"
local pgmig = require "pgmig"
local support = require "spec.support"

describe("a run that was cut off", function()
  local project, migrator

  before_each(function()
    project = cli.project()
    migrator = pgmig.migrator(project.db, project.dir)
  end)

  after_each(function() project.close() end)

  local function wait_for(what, fn) support.wait(fn, what) end

  --- Start the program, and kill it as soon as its statement is under way.
  local function kill_at(words, statement)
    local process = cli.start(project.words(words), project.env())
    wait_for("the statement", function()
      return project.db:query([[SELECT 1 FROM pg_stat_activity WHERE state = 'active'
        AND datname = current_database() AND pid <> pg_backend_pid() AND query ~ $1]],
        statement)[1]
    end)
    process:kill "KILL"
    assert.equal(137, process:code())
    if project.db:server_version() >= 140000 then return end
    -- it would not notice, and works on
    project.db:query([[SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid() AND query ~ $1]], statement)
  end

  local function slow(name, head)
    project.write(name, "-- UP\n" .. (head or "") .. "CREATE TABLE slow (n int);\n"
      .. "SELECT pg_sleep(100);\n-- DOWN\nDROP TABLE slow;\n")
  end

  local function fast(name, head)
    project.write(name, "-- UP\n" .. (head or "") .. "CREATE TABLE slow (n int);\n"
      .. "SELECT 1;\n-- DOWN\nDROP TABLE slow;\n")
  end

  local function events()
    local list = {}
    for i, event in ipairs(migrator:history()) do
      list[i] = event.event .. " " .. tostring(event.version)
    end
    return table.concat(list, ", ")
  end

  local function runs()
    return project.db:query("SELECT count(*) AS n FROM schema_migrations_run_journal")[1].n
  end

  it("in a transaction is said to be rolled back, by the next run and by the history", function()
    slow "002_create_b.sql"
    kill_at("up", "pg_sleep")
    assert.equal("up 1", events())
    local found
    for _, finding in ipairs(migrator:doctor()) do
      if finding.kind == "interrupted" then found = finding end
    end
    assert.matches("^002_create_b: a run on .* did not record how it ended: ", found.message)
    fast "002_create_b.sql"
    local code, _, err = project.run "up"
    assert.equal(0, code)
    assert.matches("WARNING: 002_create_b: a run on .*it was rolled back, if it had begun", err)
    assert.equal("up 1, interrupted 2, up 2, up 3", events())
    local history = migrator:history()
    assert.equal(history[1].run, history[2].run)
    assert.not_equal(history[2].run, history[3].run)
    assert.matches("did not record how it ended", history[2].message)
    assert.equal(0, runs())
    assert.same({}, migrator:doctor())
  end)

  it("on its way down is said to be so", function()
    project.run "up -q"
    project.write("002_create_b.sql", "-- UP\nCREATE TABLE b (id int);\n-- DOWN\nDROP TABLE b;\n"
      .. "SELECT pg_sleep(100);\n")
    kill_at("down --all", "pg_sleep")
    local code, _, err = project.run "--policy edited=warn up"
    assert.equal(0, code)
    assert.matches("002_create_b: .*it was rolled back", err)
    assert.equal("up 1, up 2, up 3, down 3, interrupted 2, up 3", events())
  end)

  it("without a transaction is told with what its journal has", function()
    slow("002_create_b.sql", "-- pgmig: transaction=off\n")
    kill_at("up", "pg_sleep")
    fast("002_create_b.sql", "-- pgmig: transaction=off\n")
    local _, _, err = project.run "up"
    assert.matches("002_create_b: .*its statements done, according to the journal: 1", err)
    assert.matches("^up 1, interrupted 2, ", events())
  end)

  it("in a statement that runs alone is told with what became of that", function()
    local text = "-- UP\n-- pgmig: transaction=off\nCREATE TABLE slow (n int);\n%s\n-- DOWN\n"
    project.write("002_create_b.sql", text:format "CREATE INDEX CONCURRENTLY slow_n ON slow (n);")
    local other = pgmig.connect(project.url)
    other:exec "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1; CREATE TABLE held ()"
    kill_at("up", "^/. pgmig .* CREATE INDEX CONCURRENTLY")
    other:exec "ROLLBACK"
    other:close()
    assert.equal(0, (project.run "up"))
    local list = events()
    assert.matches("^up 1, interrupted 2, resolved 2, up 2, up 3$", list)
    assert.matches("statement 2 had ", migrator:history()[3].message)
  end)

  it("is written down by a run that has nothing else to do, but does not stop it", function()
    slow "002_create_b.sql"
    kill_at("up", "pg_sleep")
    os.remove(project.dir .. "/002_create_b.sql")
    os.remove(project.dir .. "/003_create_c.sql")
    local code, out, err = project.run "up"
    assert.same({ 0, "nothing to apply, at 001_create_a\n" }, { code, out })
    assert.matches("WARNING: 002_create_b: ", err)
    assert.same({ 0, out, "" }, { project.run "up" })
    assert.equal("up 1, interrupted 2", events())
  end)

  it("is written down by whatever takes the lock first, as repair does", function()
    slow "002_create_b.sql"
    kill_at("up", "pg_sleep")
    local _, _, err = project.run "repair 1"
    assert.matches("WARNING: 002_create_b: ", err)
    assert.equal("up 1, interrupted 2", events())
    assert.equal("failed", migrator:status().pending[1].state)
  end)

  it("because its server was out of reach is told, too", function()
    local db = pgmig.connect(project.url)
    local m = pgmig.migrator(db, project.dir, { reconnect = 0, hooks = {
      before_each = function(ctx)
        if ctx.migration.id == "2" then
          project.db:query("SELECT pg_terminate_backend($1)", db:backend_pid())
        end
      end,
    } })
    assert.is_false(pcall(m.migrate, m))
    db:close()
    migrator:migrate()
    assert.equal("up 1, interrupted 2, up 2, up 3", events())
  end)

  it("is nobody's trace where runs end as they should", function()
    local hooks = { before_each = function(ctx)
      if ctx.migration.id == "3" then ctx:skip "not now" end
    end }
    pgmig.migrator(project.db, project.dir, { hooks = hooks }):migrate()
    assert.equal(0, runs())
    migrator:migrate()
    migrator:redo(2)
    migrator:rollback()
    migrator:fake(3)
    assert.equal(0, runs())
    project.write("004_bad.sql", "SELECT 1/0;")
    assert.is_false(pcall(migrator.migrate, migrator))
    assert.equal(0, runs())
    assert.is_nil(events():find "interrupted")
    local plan = migrator:plan()
    assert.same({}, migrator:run(plan, { stop = function() return true end }))
    assert.equal(0, runs())
  end)

  it("is not what doctor and a run without anything to do take one at work for", function()
    migrator:migrate(1)
    local seen
    migrator:on("committed", function()
      local _, out = project.run "doctor"
      seen = seen or { runs(), out:match "interrupted" or "not interrupted",
        (project.run "up --to 1") }
    end)
    migrator:migrate()
    assert.same({ 1, "not interrupted", 0 }, seen)
  end)
end)
