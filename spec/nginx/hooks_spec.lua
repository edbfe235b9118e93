-- Hooks, naming rules and Lua migrations in a worker: they may yield, and what they say is seen.
local scratch = require "pgmig.scratch"
local servers = require "spec.nginx.server"
local socket = require "socket"
local support = require "spec.support"

describe("in a worker of nginx", function()
  local dir, url, nginx

  before_each(function() dir, url = support.tempdir(), support.database() end)
  after_each(function() if nginx then nginx:stop() end end)

  --- Start with options of setup, as Lua; `notify()` there asks this nginx through a cosocket.
  local function start(options)
    nginx = servers.start {
      worker = ([[
        local function notify()
          local file = assert(io.open "%s/port")
          local socket = ngx.socket.tcp()
          assert(socket:connect("127.0.0.1", file:read "*n"))
          file:close()
          assert(socket:send "GET /notify HTTP/1.0\r\n\r\n")
          ngx.log(ngx.NOTICE, "ANSWERED ", (assert(socket:receive "*l")))
          socket:close()
        end
        ngx.timer.at(0.2, function()
          require("pgmig.nginx").setup { database = %q, dir = %q, %s }
        end)]]):format(dir, url, dir, options),
      locations = "location = /notify { content_by_lua_block { ngx.say 'hello' } }",
    }
    support.write(dir, "port", tostring(nginx.port))
  end

  it("hooks yield: they sleep, and speak through cosockets", function()
    support.write(dir, "001_a.sql", "CREATE TABLE a ();")
    start [[hooks = {
      before_each = function(ctx) ngx.sleep(0.02) ctx.db:exec "CREATE TABLE by_hook ()" end,
      after_statement = function() notify() end,
      committed = function(ctx) ngx.log(ngx.NOTICE, "COMMITTED ", tostring(ctx.migration)) end,
    }]]
    nginx:open()
    assert.equal(1, #nginx:logged "ANSWERED HTTP/1.1 200 OK")
    assert.equal(1, #nginx:logged "COMMITTED 001_a")
    assert.equal("a|by_hook", support.psql(url, "SELECT to_regclass('a'), to_regclass('by_hook')"))
  end)

  it("Lua migrations yield, and fail with their line", function()
    support.write(dir, "001_a.lua", [[return { up = function(db)
      ngx.sleep(0.02)
      db:exec "CREATE TABLE a ()"
      error { "a table" }
    end }]])
    start ""
    support.wait(function() return nginx:logged("001_a.lua", "error")[1] end,
      function() return nginx:log() end)
    assert.same({}, nginx:logged "unknown reason")
    support.write(dir, "001_a.lua", [[return { up = function(db)
      ngx.sleep(0.02)
      db:exec "CREATE TABLE a ()"
    end }]])
    nginx:open()
    assert.equal("a", support.psql(url, "SELECT to_regclass('a')"))
  end)

  it("the folder of another tool runs as it is, and its table is shared", function()
    support.write(dir, "20240101000000_a.sql",
      "-- migrate:up\nCREATE TABLE a ();\n-- migrate:down\nDROP TABLE a;\n")
    support.write(dir, "20240102000000_b.sql", "-- migrate:up\nCREATE TABLE b ();\n")
    support.psql(url, "CREATE TABLE schema_migrations (version varchar(128) PRIMARY KEY);"
      .. "INSERT INTO schema_migrations VALUES ('20240101000000'); CREATE TABLE a ()")
    start [[format = "dbmate", shared = true]]
    nginx:open()
    assert.equal("20240101000000\n20240102000000",
      support.psql(url, "SELECT version FROM schema_migrations ORDER BY 1"))
    assert.equal("b", support.psql(url, "SELECT to_regclass('b')"))
  end)

  it("naming rules and events work, and migrations are logged", function()
    support.write(dir, "V7__a.sql", "DO $$ BEGIN RAISE WARNING 'careful'; END $$;")
    start [[
      naming = {
        parse = function(path)
          local version, name = path:match "^V(%d+)__(.+)%.sql$"
          return version and { version = version, name = name }
        end,
        format = function(version, name) return "V" .. version .. "__" .. name .. ".sql" end,
      },
      on_event = function(event) ngx.log(ngx.NOTICE, "EVENT ", event.type) end]]
    nginx:open()
    assert.equal("7", support.psql(url, "SELECT version FROM schema_migrations"))
    for _, text in ipairs { "EVENT start", "EVENT notice", "EVENT applied" } do
      assert.equal(1, #nginx:logged(text), text)
    end
    assert.equal(1, #nginx:logged("pgmig: applied 7_a", "notice"))
    assert.equal(1, #nginx:logged "careful")
  end)

  it("a veto keeps the gate closed, with its reason in the log", function()
    support.write(dir, "001_a.sql", "CREATE TABLE a ();")
    start 'hooks = { before_each = function() error({ code = "frozen" }) end }'
    support.wait(function() return nginx:logged("before_each: table: ", "error")[1] end)
    assert.same({}, nginx:logged "unknown reason")
    assert.equal(503, (nginx:get "/"))
  end)

  it("a hook that skips leaves the gate closed", function()
    support.write(dir, "001_a.sql", "CREATE TABLE a ();")
    start 'hooks = { before_each = function(ctx) ctx:skip "frozen" end }'
    support.wait(function() return nginx:logged("at version 0, but 1 is "
      .. "required", "error")[1] end)
    assert.equal(503, (nginx:get "/"))
  end)

  it("names of hosts are looked up without libpq, with and without a thread pool", function()
    support.write(dir, "001_a.sql", "CREATE TABLE a ();")
    for _, main in ipairs { "thread_pool pgmig threads=1;", "" } do
      nginx = servers.start {
        main = main,
        worker = servers.worker(("database = 'postgresql://u@nowhere.invalid/x', dir = %q")
          :format(dir)),
      }
      support.wait(function()
        return nginx:logged("could not look up host nowhere.invalid: Name or service", "error")[1]
      end, function() return nginx:log() end)
      nginx:stop()
    end
  end)

  describe("of several hosts", function()
    local listener, silent -- accepts, and never answers

    before_each(function()
      support.write(dir, "001_a.sql", "CREATE TABLE a ();")
      listener = assert(socket.bind("127.0.0.1", 0))
      silent = select(2, listener:getsockname())
    end)

    after_each(function() listener:close() end)

    local function start_with(timeout)
      local server = support.server()
      nginx = servers.start {
        worker = servers.worker(("database = 'host=nowhere.invalid,127.0.0.1,%s port=1,%d,%d "
          .. "connect_timeout=%d user=postgres dbname=%s', dir = %q"):format(server.host, silent,
          server.port, timeout, url:match "///([%w_]+)", dir)),
      }
    end

    it("one without an address is passed over, and a silent one is left", function()
      start_with(1)
      nginx:open()
      assert.equal("a", support.psql(url, "SELECT to_regclass('a')"))
    end)

    it("a worker that ends waits for none", function()
      start_with(600)
      listener:settimeout(support.patience(60))
      local silence = assert(listener:accept())
      local master = nginx:master()
      nginx:signal "QUIT"
      servers.wait_for_end(master)
      silence:close()
      assert.same({}, nginx:logged("signal 9"))
    end)
  end)

  it("a name is looked up in the thread, and connected to", function()
    local _, name = support.run "hostname"
    name = name:match "%S*"
    local _, address = support.run("getent ahostsv4 " .. support.quote(name))
    address = address:match "^127%.%S+"
    if not address then return pending("this machine's name is not that of a loopback address") end
    local own = scratch.start {
      settings = { listen_addresses = address, port = support.free_port() },
    }
    support.run(("printf 'host all all %s/32 md5\\n' >>%s/data/pg_hba.conf"):format(address,
      own.host))
    support.psql(own:url(), "SELECT pg_reload_conf()")
    support.write(dir, "001_a.sql", "CREATE TABLE a ();")
    nginx = servers.start {
      worker = servers.worker(("database = 'postgresql://postgres:%s@%s:%d/postgres', "
        .. "dir = %q"):format(own.password, name, own.port, dir)),
    }
    nginx:open()
    assert.equal("a", support.psql(own:url(), "SELECT to_regclass('a')"))
    nginx:stop()
    own:stop()
  end)

  it("leaves no globals, and asks for none", function()
    support.write(dir, "001_a.sql", "CREATE TABLE a ();")
    nginx = servers.start {
      worker = ([[
        local function names()
          local list = {}
          for name in pairs(_G) do list[#list + 1] = name end
          table.sort(list)
          return table.concat(list, " ")
        end
        local before = names()
        require("pgmig.nginx").setup { database = %q, dir = %q }
        ngx.timer.at(1, function()
          ngx.log(ngx.NOTICE, names() == before and "NO GLOBALS" or "GLOBALS: " .. names())
        end)]]):format(url, dir),
    }
    nginx:open()
    support.wait(function() return nginx:logged "GLOBALS"[1] end)
    assert.equal(1, #nginx:logged "NO GLOBALS")
  end)
end)
