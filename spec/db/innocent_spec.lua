-- A connection was lost, and its server process's number is another session's by now: as after a
-- restart in a container, where numbers begin anew. That session is let alone.
local orphan = require "pgmig.db.orphan"
local pgmig = require "pgmig"
local programs = require "spec.faults.programs"
local support = require "spec.support"

describe("the end of a lost connection's server process", function()
  local url, admin, db

  before_each(function()
    url = support.database()
    admin = pgmig.connect(url)
    db = pgmig.connect(url)
    pgmig.migrator(db, support.tempdir()):status()
  end)

  after_each(function()
    db:close()
    admin:close()
  end)

  it("comes when that is known by its number and its start", function()
    local lost = orphan.identity(db)
    local new = pgmig.connect(url)
    orphan.fence(new, lost)
    new:close()
    assert.is_false((pcall(db.query, db, "SELECT 1")))
  end)

  for what, change in pairs {
    ["number alone"] = { backend_start = "2001-01-01T00:00:00Z" },
    ["number, on a server that was restarted"] = { server_start = "2001-01-01T00:00:00Z" },
  } do
    it("does not come by its " .. what, function()
      local lost = orphan.identity(db)
      for key, value in pairs(change) do lost[key] = value end
      local new = pgmig.connect(url)
      orphan.fence(new, lost)
      new:close()
      assert.equal(1, db:query("SELECT 1 AS n")[1].n)
    end)
  end
end)

--- Whether processes here can have numbers of their own.
local function can_number()
  return (support.run "unshare --pid --fork --mount-proc true") == 0
end

local SERVER = [[cd %s && exec unshare --pid --fork --kill-child --mount-proc %s%s/postgres ]]
  .. [[-D data -k %s -c listen_addresses= -c fsync=off >>log 2>&1]]

describe("a server that is restarted in a container", function()
  local folder, url, pipe, sessions

  local function start()
    pipe = assert(io.popen("echo $$ >" .. folder .. "/pid; "
      .. SERVER:format(folder, programs.as_user, programs.bin, folder), "w"))
    support.wait(function()
      return pcall(function() pgmig.connect(url):close() end)
    end, "the server")
  end

  local function stop()
    if not pipe then return end
    os.execute(("kill -9 %s && rm -f %s/data/postmaster.pid"):format(
      support.read(folder .. "/pid"):match "%d+", folder))
    pipe:close()
    pipe = nil
  end

  --- Sessions of an application, among them one with the number.
  local function open_sessions(number)
    local found = false
    while not found do
      local session = pgmig.connect(url)
      sessions[#sessions + 1] = session
      assert(session:backend_pid() < number + 20, "the number is not used again")
      found = session:backend_pid() == number
    end
  end

  before_each(function()
    folder, sessions = programs.folder(), {}
    url = ("postgresql:///postgres?host=%s&user=postgres"):format(folder)
    support.run(("cd %s && %s%s/initdb --pgdata=data --username=postgres --auth=trust --no-sync")
      :format(folder, programs.as_user, programs.bin))
  end)

  after_each(stop)

  it("keeps the sessions that have the numbers of lost ones", function()
    if not can_number() then return pending "numbers of their own are not allowed here" end
    start()
    local db, dir = pgmig.connect(url), support.tempdir()
    support.write(dir, "001_a.sql", "CREATE TABLE a ();")
    local migrator, events = pgmig.migrator(db, dir), {}
    local restarted = false
    migrator:on("before_each", function()
      if restarted then return end
      restarted = true
      stop()
      start()
      open_sessions(db:backend_pid())
    end)
    migrator:run(migrator:plan(), { on_event = function(event) events[event.type] = true end })
    for _, session in ipairs(sessions) do
      assert.equal(1, session:query("SELECT 1 AS n")[1].n)
      session:close()
    end
    assert.is_true(events.lost and events.applied)
    db:close()
  end)
end)

-- Nothing has told the number of its server process, but its locks name the one that works for it.
describe("a lock that was given to a connection which was lost before the answer", function()
  local url, earlier, db, migrator

  before_each(function()
    url = support.database()
    earlier = pgmig.connect(url)
    db = pgmig.connect(url)
    local dir = support.tempdir()
    support.write(dir, "001_a.sql", "-- UP\nCREATE TABLE a ();\n")
    migrator = pgmig.migrator(db, dir, { lock_wait = 0 })
    migrator:status()
  end)

  after_each(function()
    earlier:close()
    db:close()
  end)

  local function take(session)
    session:exec "BEGIN"
    session:query("SELECT pg_advisory_xact_lock(1885826409, hashtext($1)), "
      .. "pg_advisory_xact_lock(1885826411, $2)",
      migrator.ledger.handle:qualified(), db:backend_pid())
  end

  it("is let go: the session is ended, and the run goes on", function()
    local left = pgmig.connect(url)
    take(left)
    assert.equal(1, #migrator:migrate())
    assert.is_false((pcall(left.query, left, "SELECT 1")))
  end)

  it("is left alone in a session that is older than the process it names", function()
    take(earlier)
    local ok, err = pcall(migrator.migrate, migrator)
    assert.is_false(ok)
    assert.equal("lock", err.kind)
    assert.equal(1, earlier:query("SELECT 1 AS one")[1].one)
  end)
end)
