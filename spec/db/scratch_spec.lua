local scratch = require "pgmig.scratch"
local support = require "spec.support"

describe("a scratch server", function()
  local function gone(folder)
    return support.wait(function() return not os.rename(folder, folder) end, folder .. " to go")
  end

  local function is_running(url)
    return (support.run("pg_isready -q -d " .. support.quote(url))) == 0
  end

  it("runs in a folder of its own until it is stopped", function()
    local server = scratch.start()
    local url = server:url()
    assert.equal("postgres|UTF8|off|off", support.psql(url, [[
      SELECT current_user, current_setting('server_encoding'), current_setting('fsync'),
        CASE current_setting('listen_addresses') WHEN '' THEN 'off' END]]))
    assert.matches("ready to accept connections", support.read(server.log))
    server:stop()
    assert.is_false(is_running(url))
    assert.is_true(gone(server.host))
    server:stop() -- does nothing
  end)

  it("lets nobody else in", function()
    local _, out = support.run("stat --format=%a " .. support.server().host)
    assert.equal("700\n", out)
  end)

  it("asks for its password over TCP", function()
    local port = support.free_port()
    local server = scratch.start { settings = { listen_addresses = "127.0.0.1", port = port } }
    local function connect(password)
      return support.run(("PGPASSWORD=%s psql -XAtqw -h 127.0.0.1 -p %d -U postgres -c 'SELECT 1'")
        :format(password, port))
    end
    assert.equal(2, (connect ""))
    assert.equal(2, (connect "postgres"))
    assert.equal(0, (connect(server.password)))
    assert.is_true(#server.password >= 32)
    server:stop()
  end)

  it("lets its user write nowhere where root does", function()
    local host = support.server().host
    local above = host:match "^(.*)/"
    local _, owners = support.run(("stat --format=%%U %s %s/??*"):format(above, above))
    local _, me = support.run "id -un"
    for owner in owners:gmatch "%S+" do assert.equal(me, owner .. "\n") end
    if me ~= "root\n" then return end
    assert.equal("postgres\n", (select(2, support.run("stat --format=%U " .. host))))
    for _, command in ipairs { "touch %s/x", "ln -sf /nowhere %s/server.log", "rm %s/outcome" } do
      assert.not_equal(0, (support.run("runuser -u postgres -- " .. command:format(above))))
    end
  end)

  it("has URLs for any database name", function()
    local url = support.server():url()
    support.psql(url, [[CREATE DATABASE "a b/c?d=%41"]])
    assert.equal("a b/c?d=%41",
      support.psql(support.server():url("a b/c?d=%41"), "SELECT current_database()"))
  end)

  describe("in memory", function()
    -- The folder of a server that another process starts, after the commands `first`.
    local function place(first)
      local code = 'print((require("pgmig.scratch").start { memory = true }.host))'
      local command = support.lua_command(code):gsub("%S+$", "- <%0") -- a mount may hide the file
      local _, out, err = support.run(first .. command)
      return assert(out:match "^(/%S+)/pgmig%.%w+/s\n$", err)
    end

    local function only(megabytes)
      local mount = "mount -t tmpfs -o size=" .. megabytes .. "M none /dev/shm"
      return "unshare --mount sh -c '" .. mount .. " && exec env \"$@\"' - "
    end

    it("is where TMPDIR says, if it says something", function()
      local dir = support.tempdir()
      support.run("chmod 755 " .. dir:match "^(.*)/" .. " " .. dir)
      assert.equal(dir, place("TMPDIR=" .. dir .. " "))
    end)

    it("is in /dev/shm, where there is room, else in /tmp", function()
      if support.run(only(1) .. "true") ~= 0 then pending "needs root and mounts" end
      assert.equal("/tmp", place("TMPDIR= " .. only(500)))
      assert.equal("/dev/shm", place("TMPDIR= " .. only(1500)))
    end)
  end)

  it("takes settings", function()
    local server = scratch.start { settings = { application_name = "it's", max_connections = 17 } }
    local shown = support.psql(server:url(), "SHOW max_connections")
    server:stop()
    assert.equal("17", shown)
  end)

  it("shows its log when it does not start", function()
    local ok, err = pcall(scratch.start, { settings = { no_such_setting = 1 } })
    assert.is_false(ok)
    assert.matches("did not start; its log:\n.*no_such_setting", err)
    assert.is_true(gone(err:match '"(%S+)/data/postgresql.conf"'))
  end)

  it("says what to install when there is no PostgreSQL", function()
    local tools = support.tempdir()
    local code, _, err = support.run((
      "ln -s $(type -P sh luajit lua5.4) %s; PGMIG_TEST_BIN= PATH=%s %s"):format(
      tools, tools, support.lua_command [[require("pgmig.scratch").start()]]))
    assert.equal(1, code)
    assert.matches("apt%-get install libpq%-dev postgresql", err)
  end)

  it("is found by pg_config, and missed where that says", function()
    local tools = support.tempdir()
    support.write(tools, "pg_config", "#!/bin/sh\necho /nowhere\n")
    local _, _, err = support.run((
      "chmod +x %s/pg_config; PGMIG_TEST_BIN= PATH=%s:$PATH %s"):format(
      tools, tools, support.lua_command [[require("pgmig.scratch").start()]]))
    assert.matches("no PostgreSQL server in /nowhere: apt%-get install postgresql", err)
  end)

  describe("ends with its process", function()
    -- The process prints the server's folder and ends as `ending` says.
    local function folder_of(ending, prefix)
      local _, out = support.run((prefix or "") .. support.lua_command(([[
        local server = require("pgmig.scratch").start()
        print(server.host)
        io.stdout:flush()
        %s
      ]]):format(ending)))
      return assert(out:match "^(/%S+)\n$", out)
    end

    it("which returns", function() assert.is_true(gone(folder_of "")) end)

    it("which raises", function() assert.is_true(gone(folder_of "error 'x'")) end)

    it("which exits at once", function() assert.is_true(gone(folder_of "os.exit(3)")) end)

    for _, signal in ipairs { "INT", "TERM", "HUP", "KILL" } do
      it("which is ended by SIG" .. signal, function()
        local folder = folder_of(("os.execute 'kill -%s $PPID; sleep 1'"):format(signal))
        assert.is_true(gone(folder))
      end)
    end

    it("also while a child of it lives on", function()
      local folder = folder_of "os.execute 'sleep 30 >/dev/null 2>&1 & kill -KILL $PPID'"
      assert.is_true(gone(folder))
    end)

    it("also when its whole process group is killed", function()
      assert.is_true(gone(folder_of("os.execute 'kill -KILL 0'", "exec setsid -w env ")))
    end)
  end)
end)
