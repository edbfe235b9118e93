-- A worker that ends while it migrates: signals to a real nginx. What was measured is printed.
local core = require "pgmig.core"
local servers = require "spec.nginx.server"
local socket = require "socket"
local support = require "spec.support"

describe("a signal to nginx during a migration", function()
  local dir, url, nginx

  before_each(function()
    dir, url = support.tempdir(), support.database()
    support.write(dir, "001_first.sql", "CREATE TABLE first (); SELECT pg_sleep(1.5);")
    support.write(dir, "002_second.sql", "CREATE TABLE second ();")
  end)

  after_each(function() if nginx then nginx:stop() end end)

  --- Start, and wait until the first migration is under way; the pid of its worker.
  local function migrating(options)
    options = options or {}
    options.worker = servers.worker(("database = %q, dir = %q"):format(url, dir))
    options.workers = options.workers or 2
    nginx = servers.start(options)
    local worker = servers.wait(5, function() return nginx:migrating() end)
    socket.sleep(0.2)
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
    report("HUP, the old worker ends after", servers.wait_for_end(worker))
    nginx:open()
    report("HUP, the gate is open after", core.now() - before)
    assert.equal("up first, up second", servers.history(url))
  end)

  for _, main in ipairs { "thread_pool pgmig threads=1;", "" } do
    local with = main == "" and " without a thread pool" or ""
    for _, name in ipairs { "TERM", "INT" } do
      it(name .. with .. ": cancelled, rolled back, the lock is free at once", function()
        support.write(dir, "001_first.sql", "CREATE TABLE first (); SELECT pg_sleep(60);")
        local worker, master = migrating { main = main }, nginx:master()
        assert.is_true(lock_is_held())
        nginx:signal(name)
        local _, free = servers.wait(5, function() return not lock_is_held() end)
        local _, gone = servers.wait(5, function() return not sessions() end)
        report(name .. with .. ", lock free, sessions gone, worker ended after", free + gone
          + servers.wait_for_end(worker))
        servers.wait_for_end(master)
        assert.is_true(free + gone < 2)
        assert.equal("0", rows())
        assert.equal("", support.psql(url, "SELECT to_regclass('first')"))
      end)
    end
  end

  it("KILL: the lock is free within two seconds, another worker takes over", function()
    support.write(dir, "001_first.sql", [[CREATE TABLE first ();
      SELECT pg_sleep(CASE WHEN EXISTS (SELECT FROM pg_class WHERE relname = 'hurry') THEN 0
        ELSE 60 END);]])
    local worker = migrating()
    support.psql(url, "CREATE TABLE hurry ()")
    nginx:signal("KILL", worker)
    local _, free = servers.wait(5, function() return not lock_is_held() end)
    report("KILL, the lock is free after", free)
    assert.is_true(free < 2)
    report("KILL, another worker is done after", free + nginx:open(10))
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
      ("PATH=$PATH:/usr/sbin nginx -t -e %s/error.log -c %s/nginx.conf"):format(nginx.folder,
        nginx.folder))
    assert.equal(0, code, err)
    assert.matches("test is successful", err)
    assert.is_nil(listener:accept())
    listener:close()
  end)
end)
