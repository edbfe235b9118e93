-- Ctrl-C and kill.
local cli = require "spec.cli.helper"
local core = require "pgmig.core"

local LIMIT = 200 -- tenths of a second

describe("a signal", function()
  local project
  before_each(function()
    project = cli.project()
    project.write("004_sleep.sql", "-- UP\nCREATE TABLE d ();\nSELECT pg_sleep(30);\n")
  end)
  after_each(function() project.close() end)

  --- Until the server sleeps for the migration; false when it never does.
  local function asleep()
    for _ = 1, LIMIT do
      local rows = project.db:query [[SELECT 1 FROM pg_stat_activity
        WHERE datname = current_database() AND query = 'SELECT pg_sleep(30)' AND state = 'active']]
      if #rows > 0 then return true end
      core.poll({}, {}, 0.1)
    end
    return false
  end

  local function interrupted(words, signal)
    local started = cli.start(project.words(words), project.env())
    assert.is_true(asleep())
    started:kill(signal)
    return started:code(LIMIT), started
  end

  for signal, expected in pairs { INT = 130, TERM = 143 } do
    it(("SIG%s rolls back what runs, says where it stands, and ends with %d")
      :format(signal, expected), function()
      local code, started = interrupted("up", signal)
      assert.equal(expected, code)
      assert.matches("applied +003_create_c", started:out())
      assert.matches("interrupted by SIG" .. signal, started:err())
      assert.matches("applied before that, and kept: 001_create_a, 002_create_b, 003_create_c\n",
        started:err())
      assert.matches("004_sleep was rolled back and is not applied\n", started:err())
      assert.equal("a b c schema_migrations", cli.tables(project.db))
    end)
  end

  --- Until the program has written something to its standard error.
  local function has_said(started, text)
    for _ = 1, LIMIT do
      local there, said = pcall(started.err, started)
      if there and said:find(text, 1, true) then return true end
      core.poll({}, {}, 0.1)
    end
    return false
  end

  local function locks()
    return project.db:query("SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory' "
      .. "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")[1].n
  end

  it("leaves no lock behind", function()
    interrupted("up", "INT")
    assert.equal(0, locks())
    project.write("004_sleep.sql", "-- UP\nSELECT 1;\n")
    assert.equal(0, (project.run "up"))
  end)

  it("ends the wait for another run", function()
    local first = cli.start(project.words "up", project.env())
    assert.is_true(asleep())
    local second = cli.start(project.words "up", project.env())
    assert.is_true(has_said(second, "another run holds the lock"))
    second:kill "INT"
    assert.equal(130, second:code(LIMIT))
    assert.is_nil(first:code(0)) -- the other one goes on
    first:kill "TERM"
    assert.equal(143, first:code(LIMIT))
    assert.equal(0, locks())
  end)

  it("ends the pause before another attempt", function()
    project.db:exec "CREATE TABLE busy ()"
    project.db:exec "BEGIN; LOCK TABLE busy"
    project.write("004_sleep.sql", "-- UP\nALTER TABLE busy ADD c int;\n")
    local started = cli.start(project.words "--lock-timeout 10ms --retries 100 up", project.env())
    assert.is_true(has_said(started, "trying again in"))
    started:kill "INT"
    assert.equal(130, started:code(LIMIT))
    project.db:exec "ROLLBACK"
    assert.equal("a b busy c schema_migrations", cli.tables(project.db))
    assert.equal(0, locks())
  end)

  it("that comes twice ends at once, also when the server does not answer", function()
    project.write("005_create_e.sql", "-- UP\nCREATE TABLE e ();\n")
    local started = cli.start(project.words "up", project.env())
    assert.is_true(asleep())
    local pid = project.db:query("SELECT pid FROM pg_stat_activity WHERE "
      .. "query = 'SELECT pg_sleep(30)' AND datname = current_database()")[1].pid
    os.execute("kill -STOP " .. pid)
    finally(function() os.execute("kill -CONT " .. pid) end)
    started:kill "INT"
    core.poll({}, {}, 0.3)
    assert.is_nil(started:code(0))
    started:kill "INT"
    assert.equal(130, started:code(LIMIT))
    assert.matches("whether 004_sleep took effect is not known; the same applies to those sent "
      .. "after it, up to 005_create_e", started:err(), 1, true)
    assert.matches("004_sleep: see `pgmig status`", started:err())
  end)

  it("is an event in JSON", function()
    local code, started = interrupted("up --json", "INT")
    assert.equal(130, code)
    local objects = cli.objects(started:out())
    local last = objects[#objects]
    assert.same({ "error", "interrupted", "004_sleep" }, { last.event, last.kind, last.migration })
    assert.equal("001_create_a 002_create_b 003_create_c", cli.labels(last.applied))
  end)

  it("ends wait with 130", function()
    local started = cli.start("wait --timeout 60 -d host=/nowhere")
    core.poll({}, {}, 0.5)
    assert.is_nil(started:code(0))
    started:kill "INT"
    assert.equal(130, started:code(LIMIT))
    assert.equal("pgmig: interrupted while waiting\n", started:err())
  end)
end)
