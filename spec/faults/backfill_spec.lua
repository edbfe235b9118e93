-- Backfills under fire: killed at any moment, by several at once, and beside a replica whose replay
-- stands still. `n = n + 1` is the witness: a row that was changed twice, or never, shows it.
local cli = require "spec.cli.helper"
local core = require "pgmig.core"
local faults = require "spec.faults.support"
local pgmig = require "pgmig"
local standbys = require "spec.faults.standby"
local support = require "spec.support"

local KILLS = faults.whole and 200 or 12
local ROWS = faults.whole and 400000 or 40000

--- Whose work may be killed: the program, its server process, or its connection.
local function client(process) process:kill "KILL" end

local function session(_, db, how)
  db:query(("SELECT pg_catalog.%s(pid) FROM pg_stat_activity WHERE datname = current_database() "
    .. "AND pid <> pg_backend_pid() AND application_name LIKE 'pgmig%%'"):format(how))
end

local killers = {
  client,
  function(process, db) session(process, db, "pg_terminate_backend") end,
  function(process, db) session(process, db, "pg_cancel_backend") end,
}

describe("a backfill", function()
  local database, url, db, dir

  before_each(function()
    database = faults.database()
    url = support.server():url(database)
    db = pgmig.connect(url)
    dir = support.tempdir()
    support.write(dir, "001_fill.sql", '-- UP\nSELECT 1;\n-- BACKFILL table=t set="n = n + 1" '
      .. "run=later target=50ms\n")
    db:exec(([[CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0);
      INSERT INTO t SELECT i FROM generate_series(1, %d) AS i]]):format(ROWS))
    pgmig.migrator(db, dir):migrate()
  end)

  after_each(function()
    db:close()
    faults.drop(database)
  end)

  local function words(rest)
    return ("--dir %s --reconnect 20 backfill run%s"):format(dir, rest or "")
  end

  local function witness()
    local list = {}
    for _, row in ipairs(db:query "SELECT n, count(*) AS c FROM t GROUP BY n ORDER BY n") do
      list[#list + 1] = row.n .. " " .. row.c
    end
    return table.concat(list, ", ")
  end

  local function state()
    return db:query("SELECT state FROM schema_migrations_backfill")[1].state
  end

  local function begin() return cli.start(words(), { DATABASE_URL = url }) end

  --- Let one run begin again and again, and kill something of it each time.
  local function kill_often(times)
    local killed, process = 0, begin()
    while killed < times and state() ~= "done" do
      core.poll({}, {}, 0.05 + core.random() * 0.25)
      killers[killed % #killers + 1](process, db)
      killed = killed + 1
      if not process:is_running() then process = begin() end
    end
    if process:is_running() then process:code() end
    return killed
  end

  it("changes each row once, whatever is killed", function()
    local killed, rounds = 0, 0
    repeat
      killed, rounds = killed + kill_often(KILLS - killed), rounds + 1
      assert.equal(0, (cli.run(words(), { DATABASE_URL = url })))
      assert.equal(("%d %d"):format(rounds, ROWS), witness())
      db:exec "UPDATE schema_migrations_backfill SET state = 'ready', cursor = NULL, rows_seen = 0"
    until killed >= KILLS
  end)

  it("changes each row once, with several machines at once of which some are killed", function()
    local processes = {}
    for i = 1, 4 do processes[i] = begin() end
    support.wait(function()
      return db:query("SELECT rows_done AS n FROM schema_migrations_backfill")[1].n > 0
    end, "the first batch")
    processes[1]:kill "KILL"
    processes[2]:kill "KILL"
    db:exec "UPDATE schema_migrations_backfill SET lease_until = now() - interval '1 hour'"
    assert.equal(0, processes[3]:code())
    assert.equal(0, processes[4]:code())
    assert.equal("done", state())
    assert.equal(("1 %d"):format(ROWS), witness())
  end)

  it("ends, though rows are inserted all the time", function()
    local stop = support.tempdir() .. "/stop"
    os.execute(("(while [ ! -e %s ]; do psql -Xq -d %s -c 'INSERT INTO t SELECT (SELECT max(id) "
      .. "FROM t) + i, 100 FROM generate_series(1, 100) AS i'; sleep 0.1; done) >/dev/null 2>&1 &")
      :format(stop, support.quote(url)))
    local code = cli.run(words(), { DATABASE_URL = url })
    os.execute("touch " .. stop)
    assert.equal(0, code)
    assert.matches(("^1 %d"):format(ROWS), witness())
  end)
end)

describe("a backfill beside a replica", function()
  local standby, db, replica

  setup(function() standby = standbys.start() end)

  teardown(function()
    db:close()
    replica:close()
    standby.stop()
    faults.drop(standby.database)
  end)

  it("stops within two batches when its replay stands still, and goes on behind", function()
    db = pgmig.connect(support.server():url(standby.database))
    standby.catch_up()
    replica = pgmig.connect(standby.url)
    db:exec [[CREATE TABLE t (id int PRIMARY KEY, v text, n int NOT NULL DEFAULT 0);
      INSERT INTO t SELECT i, repeat('x', 200) FROM generate_series(1, 30000) AS i]]
    standby.catch_up()
    local batches, waited, reason = 0, 0, nil
    local done = db:backfill {
      name = "beside", table = "t", set = "n = n + 1", batch = 1000, target = 0.1,
      on_progress = function(event)
        if event.phase == "progress" and not reason then
          batches = batches + 1
          if batches == 3 then replica:exec "SELECT pg_wal_replay_pause()" end
        elseif event.phase == "waiting" and batches >= 3 and not reason then
          reason = event.message
          waited = batches
          replica:exec "SELECT pg_wal_replay_resume()"
        end
      end,
    }
    assert.matches("^replica %S+ is [%d.]+ MB behind %(limit [%d.]+ MB%)$", reason)
    assert.is_true(waited <= 5, waited .. " batches")
    assert.same({ "done", 30000 }, { done.state, done.rows })
    assert.equal(30000, db:query("SELECT sum(n) AS n FROM t")[1].n)
  end)
end)
