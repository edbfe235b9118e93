-- Any scheduler can wait for pgmig's connections.
local core = require "pgmig.core"
local pgmig = require "pgmig"
local socket = require "socket"
local support = require "spec.support"

local TASKS, ROUNDS, PAUSE = 50, 3, 0.2

--- Run functions as coroutines until all have ended. `poll(waiting, seconds)` waits for one of a
-- list of { handle, want, deadline }, and marks those that may go on as `ready`.
-- @return how many have waited at once
local function run_all(functions, poll)
  local waiting = {}
  local function resume(task)
    local ok, handle, want, deadline = coroutine.resume(task.thread)
    if not ok then error(handle, 0) end
    if coroutine.status(task.thread) == "dead" then return end
    task.handle, task.want, task.deadline, task.ready = handle, want, deadline, false
    waiting[#waiting + 1] = task
  end
  for _, fn in ipairs(functions) do resume { thread = coroutine.create(fn) } end
  local most, limit = 0, core.now() + support.patience(60)
  while #waiting > 0 do
    assert(core.now() < limit, "they do not end")
    most = math.max(most, #waiting)
    poll(waiting, 0.05)
    local all = waiting
    waiting = {}
    for _, task in ipairs(all) do
      local late = task.deadline and core.now() >= task.deadline
      if task.ready or late then resume(task) else waiting[#waiting + 1] = task end
    end
  end
  return most
end

--- One poll(2) for all.
local function poll_set(waiting, seconds)
  local fds, wants, tasks = {}, {}, {}
  for _, task in ipairs(waiting) do
    if task.handle then
      fds[#fds + 1], wants[#wants + 1], tasks[#tasks + 1] = task.handle:fd(), task.want, task
    end
  end
  for i, ready in ipairs(core.poll(fds, wants, seconds)) do tasks[i].ready = ready end
end

--- What luasocket's select takes for a socket.
local function selectable(task)
  return { getfd = function() return task.handle:fd() end, dirty = function() return false end,
    task = task }
end

local function select_set(waiting, seconds)
  local readers, writers = {}, {}
  for _, task in ipairs(waiting) do
    if task.handle then
      local object = selectable(task)
      if task.want:find "r" then readers[#readers + 1] = object end
      if task.want:find "w" then writers[#writers + 1] = object end
    end
  end
  local readable, writable = socket.select(readers, writers, seconds)
  for _, list in ipairs { readable, writable } do
    for _, object in ipairs(list) do object.task.ready = true end
  end
end

describe("a scheduler", function()
  local url
  before_each(function() url = support.database() end)

  local function sleepers()
    local list = {}
    for i = 1, TASKS do
      list[i] = function()
        local db = pgmig.connect { url = url, wait = pgmig.drivers.coroutine }
        for _ = 1, ROUNDS do db:query("SELECT pg_sleep($1)", PAUSE) end
        db:close()
      end
    end
    return list
  end

  local function timed(poll)
    local began = core.now()
    local most = run_all(sleepers(), poll)
    print(("\n%d x %d x %g s at once: %.2f s"):format(TASKS, ROUNDS, PAUSE, core.now() - began))
    assert.equal(TASKS, most)
  end

  it("of plain coroutines runs fifty connections at once", function() timed(poll_set) end)

  it("on luasocket's select runs fifty connections at once", function() timed(select_set) end)

  it("migrates two databases at once, with hooks that yield", function()
    local dir, other = support.tempdir(), support.database()
    support.write(dir, "001_a.sql", "CREATE TABLE a (); SELECT pg_sleep(0.1);")
    local order = {}
    local function migration(database, name)
      return function()
        local db = pgmig.connect { url = database, wait = pgmig.drivers.coroutine }
        local migrator = pgmig.migrator(db, dir)
        migrator:on("before_each", function(ctx)
          order[#order + 1] = name
          ctx.db:query "SELECT pg_sleep(0.1)"
        end)
        migrator:on("committed", function() order[#order + 1] = name end)
        assert.equal(1, #migrator:migrate())
        db:close()
      end
    end
    run_all({ migration(url, "one"), migration(other, "two") }, select_set)
    assert.equal(4, #order)
    assert.are_not.equal(order[1], order[2]) -- the second began before the first had ended
  end)

  it("may say that a signal has come, and nothing else", function()
    local function connect(answer)
      local asked = false
      return pgmig.connect { url = url, wait = function(handle, want, deadline)
        local late = asked
        asked = handle ~= nil and handle:is_open() and handle:transaction_status() == "none"
        if late then return answer end
        pgmig.drivers.blocking(handle, want, deadline)
      end }
    end
    local db = connect(10)
    local ok, err = pcall(db.query, db, "SELECT pg_sleep(1)")
    assert.is_false(ok)
    assert.equal("interrupted by signal 10", err.message)
    db:close()
    db = connect {}
    ok, err = pcall(db.query, db, "SELECT pg_sleep(1)")
    assert.is_false(ok)
    assert.equal("usage", err.kind)
    assert.matches("must return nothing or a signal number, not a table", err.message)
    db:close()
  end)

  describe("with two coroutines on one connection", function()
    local db, refused

    before_each(function()
      refused = {}
      run_all({ function()
        db = pgmig.connect { url = url, wait = pgmig.drivers.coroutine }
      end }, poll_set)
    end)

    after_each(function() db:close() end)

    --- Run one function, and let another coroutine try others as soon as that one waits.
    local function beside(fn, ...)
      local others = { ... }
      local function intrude()
        for i, other in ipairs(others) do
          local ok, err = pcall(other)
          assert.is_false(ok)
          refused[i] = pgmig.is_error(err, "usage") and err.message
        end
      end
      run_all({ fn, intrude }, poll_set)
      for i = 1, #others do
        assert.equal("this connection is in use by another coroutine", refused[i])
      end
    end

    it("refuses what comes into a request", function()
      local rows
      beside(function() rows = db:query "SELECT pg_sleep(0.1), 7 AS n" end,
        function() db:query "SELECT 1" end,
        function() db:exec "CREATE TABLE mine ()" end,
        function() db:copy("COPY pg_am TO STDOUT") end,
        function() db:transaction(function() end) end,
        function() pgmig.migrator(db, "migrations"):status() end)
      assert.equal(7, rows[1].n)
    end)

    it("refuses what would become part of a transaction", function()
      beside(function()
        pcall(db.transaction, db, function()
          db:exec "CREATE TABLE theirs (); SELECT pg_sleep(0.1)"
          error "no"
        end)
      end, function() db:exec "CREATE TABLE mine ()" end)
      assert.equal("|", support.psql(url, "SELECT to_regclass('mine'), to_regclass('theirs')"))
    end)

    it("refuses what would become part of a run", function()
      local dir = support.tempdir()
      support.write(dir, "001_a.sql", "CREATE TABLE a (); SELECT pg_sleep(0.1);")
      support.write(dir, "002_b.sql", "CREATE TABLE b ();")
      local migrator, done = pgmig.migrator(db, dir), nil
      migrator:on("before_each", function(ctx) ctx.db:query "SELECT pg_sleep(0.1)" end)
      beside(function() done = #migrator:migrate() end,
        function() db:exec "CREATE TABLE mine ()" end,
        function() pgmig.migrator(db, dir):migrate() end)
      assert.equal(2, done)
      assert.equal("", support.psql(url, "SELECT to_regclass('mine')"))
    end)

    it("lets in those that the first one resumes itself", function()
      local own, sum = pgmig.connect(url), 0
      local owner = coroutine.create(function()
        own:transaction(function()
          local rows = coroutine.wrap(function()
            for i = 1, 3 do coroutine.yield(own:query("SELECT $1::int AS n", i)[1].n) end
          end)
          for n in rows do sum = sum + n end
        end)
      end)
      assert(coroutine.resume(owner))
      assert.equal(6, sum)
      own:close()
    end)
  end)

  describe("looks names of hosts up itself", function()
    local names

    local function connect(source, answer)
      names = {}
      local options = { url = source, connect_timeout = 2 }
      options.resolve = function(name)
        names[#names + 1] = name
        return answer(name)
      end
      local ok, result = pcall(pgmig.connect, options)
      if ok then result:close() end
      return ok, result
    end

    it("before libpq does, each of them, and keeps their ports", function()
      local addresses = {
        ["one.invalid"] = { "127.0.0.1", "::1" }, ["two.invalid"] = { "127.0.0.2" },
      }
      local ok, err = connect("postgresql://u@one.invalid:1,two.invalid:2,127.0.0.1:3/x",
        function(name) return addresses[name] end)
      assert.is_false(ok)
      assert.same({ "one.invalid", "two.invalid" }, names)
      local text = tostring(err)
      for _, place in ipairs { '"127.0.0.1", port 1 ', '"::1", port 1 ', '"127.0.0.2", port 2 ',
        '"127.0.0.1", port 3 ' } do
        assert.is_truthy(text:find(place, 1, true), text)
      end
    end)

    it("not where there is nothing to look up", function()
      assert.is_true((connect(url, error)))
      connect("host=127.0.0.1 port=1", error)
      connect("host=db.invalid hostaddr=127.0.0.1 port=1", error)
      assert.same({}, names)
    end)

    it("and says why it cannot", function()
      local ok, err = connect("host=db.invalid port=1", function() return nil, "no idea", "ask" end)
      assert.is_false(ok)
      assert.equal("connect", err.kind)
      assert.equal("could not look up host db.invalid: no idea", err.message)
      assert.equal("ask", err.hint)
    end)
  end)
end)
