-- A worker that ends while it migrates: signals to a real nginx. What was measured is printed.
local core = require "pgmig.core"
local program = require "spec.nginx.program"
local servers = require "spec.nginx.server"
local socket = require "socket"
local support = require "spec.support"

describe("a signal to nginx during a migration", function()
  local dir, url, nginx

  before_each(function()
    dir, url = support.tempdir(), support.database()
    support.write(dir, "001_first.sql", "CREATE TABLE first (); " .. support.held)
    support.write(dir, "002_second.sql", "CREATE TABLE second ();")
  end)

  after_each(function() if nginx then nginx:stop() end end)

  --- Start, and wait until the first migration is under way; the pid of its worker.
  local function migrating(options)
    options = options or {}
    options.worker = servers.worker(("database = %q, dir = %q"):format(url, dir))
    options.workers = options.workers or 2
    nginx = servers.start(options)
    local worker = support.wait(function() return nginx:migrating() end)
    support.wait(function()
      return support.psql(url, "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND "
        .. "datname = current_database() AND query ~ '^DO '") ~= "0"
    end, "the statement under way")
    return worker
  end

  local function rows() return support.psql(url, "SELECT count(*) FROM schema_migrations") end

  --- Whether a session of pgmig's is there that holds the lock, or works.
  local function sessions()
    return support.psql(url, [[SELECT count(*) FROM pg_stat_activity
      WHERE datname = current_database() AND application_name LIKE 'pgmig%']]) ~= "0"
  end

  local function lock_is_held()
    return support.psql(url, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND "
      .. "database = (SELECT oid FROM pg_database WHERE datname = current_database())") ~= "0"
  end

  local function report(what, seconds)
    print(("\n%s: %.2f s"):format(what, seconds))
  end

  it("QUIT: the migration is finished, no further one begins", function()
    local worker = migrating()
    nginx:signal "QUIT"
    support.wait(function()
      return support.read(("/proc/%d/cmdline"):format(worker)):find("shutting down", 1, true)
    end, "the end of the worker")
    support.release(url)
    report("QUIT, the worker ends after", servers.wait_for_end(worker))
    assert.equal("up first", servers.history(url))
    assert.is_false(sessions())
  end)

  it("HUP: the old worker finishes it, a new one applies the rest", function()
    local worker = migrating {
      main = "thread_pool pgmig threads=1; worker_shutdown_timeout 500ms;",
    }
    local before = core.now()
    nginx:reload()
    assert.equal(503, (nginx:get "/"))
    socket.sleep(0.7) -- longer than the timeout, which must not matter
    support.release(url)
    report("HUP, the old worker ends after", servers.wait_for_end(worker))
    nginx:open()
    report("HUP, the gate is open after", core.now() - before)
    assert.equal("up first, up second", servers.history(url))
  end)

  for _, main in ipairs { "thread_pool pgmig threads=1;", "" } do
    local with = main == "" and " without a thread pool" or ""
    for _, name in ipairs { "TERM", "INT" } do
      it(name .. with .. ": cancelled, rolled back, the lock is free at once", function()
        local worker, master = migrating { main = main }, nginx:master()
        assert.is_true(lock_is_held())
        nginx:signal(name)
        local _, free = support.wait(function() return not lock_is_held() end)
        local _, gone = support.wait(function() return not sessions() end)
        report(name .. with .. ", lock free, sessions gone, worker ended after", free + gone
          + servers.wait_for_end(worker))
        servers.wait_for_end(master)
        assert.equal("0", rows())
        assert.equal("", support.psql(url, "SELECT to_regclass('first')"))
      end)
    end
  end

  it("KILL: another worker takes over", function()
    local worker = migrating()
    nginx:signal("KILL", worker)
    support.wait(function()
      local now = nginx:migrating()
      return now and now ~= worker
    end)
    support.release(url)
    report("KILL, another worker is done after", nginx:open())
    assert.equal("interrupted first, up first, up second", servers.history(url))
  end)

  it("nginx -t: nobody connects", function()
    local listener = assert(socket.bind("127.0.0.1", 0))
    local _, port = listener:getsockname()
    listener:settimeout(0.5)
    local worker = ("database = 'host=127.0.0.1 port=%d connect_timeout=1', dir = %q")
      :format(port, dir)
    nginx = servers.start {
      worker = servers.worker(worker),
      http = ([[lua_shared_dict pgmig 1m;
        init_by_lua_block { require("pgmig.nginx").check { %s } }]]):format(worker),
    }
    assert.is_truthy(listener:accept()) -- the master, and then a worker
    nginx:stop()
    while listener:accept() do socket.sleep(0) end
    local code, _, err = support.run(
      ("%s -t -e %s/error.log -c %s/nginx.conf"):format(program.command, nginx.folder,
        nginx.folder))
    assert.equal(0, code, err)
    assert.matches("test is successful", err)
    assert.is_nil(listener:accept())
    listener:close()
  end)
end)
