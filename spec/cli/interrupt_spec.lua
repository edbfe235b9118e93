-- Ctrl-C and kill.
local cli = require "spec.cli.helper"
local support = require "spec.support"

describe("a signal", function()
  local project
  before_each(function()
    project = cli.project()
    project.write("004_sleep.sql", "-- UP\nCREATE TABLE d ();\nSELECT pg_sleep(30);\n")
  end)
  after_each(function() project.close() end)

  --- Wait until the server sleeps for the migration.
  -- @return the pid of its process
  local function asleep()
    return support.wait(function()
      local row = project.db:query([[SELECT pid FROM pg_stat_activity
        WHERE datname = current_database() AND query = 'SELECT pg_sleep(30)'
        AND state = 'active']])[1]
      return row and row.pid
    end, "the statement")
  end

  --- Whether a process has a bit in one of its sets of signals (proc(5)), of the lowest sixteen.
  local function has_signal(pid, set, bit)
    local digits = support.read(("/proc/%d/status"):format(pid)):match(set .. ":%s*%x-(%x%x%x%x)\n")
    return math.floor(tonumber(digits, 16) / 2 ^ (bit - 1)) % 2 == 1
  end

  local function interrupted(words, signal)
    local started = cli.start(project.words(words), project.env())
    asleep()
    started:kill(signal)
    return started:code(), started
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

  --- Wait until the program has written something to its standard error.
  local function has_said(started, text)
    support.wait(function()
      local there, said = pcall(started.err, started)
      return there and said:find(text, 1, true)
    end, text)
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
    asleep()
    local second = cli.start(project.words "up", project.env())
    has_said(second, "another run holds the lock")
    second:kill "INT"
    assert.equal(130, second:code())
    assert.is_true(first:is_running()) -- the other one goes on
    first:kill "TERM"
    assert.equal(143, first:code())
    assert.equal(0, locks())
  end)

  it("ends the pause before another attempt", function()
    project.db:exec "CREATE TABLE busy ()"
    project.db:exec "BEGIN; LOCK TABLE busy"
    project.write("004_sleep.sql", "-- UP\nALTER TABLE busy ADD c int;\n")
    local started = cli.start(project.words "--lock-timeout 10ms --retries 100 up", project.env())
    has_said(started, "trying again in")
    started:kill "INT"
    assert.equal(130, started:code())
    project.db:exec "ROLLBACK"
    assert.equal("a b busy c schema_migrations", cli.tables(project.db))
    assert.equal(0, locks())
  end)

  it("that comes twice ends at once, also when the server does not answer", function()
    project.write("005_create_e.sql", "-- UP\nCREATE TABLE e ();\n")
    local started = cli.start(project.words "up", project.env())
    local pid = asleep()
    os.execute("kill -STOP " .. pid)
    finally(function() os.execute("kill -CONT " .. pid) end)
    started:kill "INT"
    support.wait(function() return has_signal(pid, "ShdPnd", 2) end, "the request to cancel")
    assert.is_true(started:is_running())
    started:kill "INT"
    assert.equal(130, started:code())
    local sent = "; the same applies to those sent after it, up to 005_create_e"
    assert.matches("whether 004_sleep took effect is not known"
      .. (project.db:server_version() >= 110000 and sent or ""), started:err(), 1, true)
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
    -- Lua itself would handle SIGINT
    support.wait(function() return has_signal(started:pid(), "SigCgt", 15) end, "its own handlers")
    started:kill "INT"
    assert.equal(130, started:code())
    assert.matches("^pgmig: interrupted [^\n]+\n$", started:err()) -- before or while it waits
  end)
end)
