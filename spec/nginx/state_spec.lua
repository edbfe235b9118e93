-- What the workers know of the schema: whose it is, and what becomes of it when something changes
-- under them, as a reload, the folder, or the dictionary, which the application may share.
local pgmig = require "pgmig"
local servers = require "spec.nginx.server"
local support = require "spec.support"

describe("what nginx knows of the schema", function()
  local dir, url, nginx

  before_each(function()
    dir, url = support.tempdir(), support.database()
    support.write(dir, "001_a.sql", "SELECT pg_sleep(0.3); CREATE TABLE a ();")
  end)

  after_each(function()
    if nginx then nginx:stop() end
    nginx = nil
  end)

  --- What a worker runs; `more` options as Lua.
  local function worker(database, more)
    return servers.worker(("database = %q, dir = %q, %s"):format(database, dir, more or ""))
  end

  local function start(options)
    options = options or {}
    options.worker = options.worker or worker(url)
    options.locations = [[
      location = /flush { content_by_lua_block { ngx.shared.pgmig:flush_all() ngx.say "done" } }
      location = /fill { content_by_lua_block {
        for i = 1, 20000 do ngx.shared.pgmig:set("app:" .. i, ("x"):rep(200)) end
        ngx.say "done"
      } }
      location = /late {
        access_by_lua_block { require("pgmig.nginx").setup { dir = "/" } }
        content_by_lua_block { ngx.say "done" }
      }]]
    nginx = servers.start(options)
  end

  local function status() return select(2, nginx:get "/schema.json") end

  local function wait_for_status(text)
    support.wait(function() return status():find(text, 1, true) end, status)
  end

  local function there(database, relation)
    return support.psql(database, ("SELECT to_regclass('%s') IS NOT NULL"):format(relation)) == "t"
  end

  local function applied(database, number)
    return support.psql(database, "SELECT count(*) FROM schema_migrations") == tostring(number)
  end

  describe("after a reload", function()
    before_each(function()
      start()
      nginx:open()
    end)

    it("of another database is nothing: the gate closes until that is migrated", function()
      local other = support.database()
      nginx:deploy(worker(other))
      nginx:reload()
      nginx:open()
      assert.is_true(there(other, "a"))
      support.write(dir, "001_a.sql", "SELECT nix;")
      nginx:deploy(worker(support.database()))
      nginx:reload()
      wait_for_status '"state":"failed"'
      assert.equal(503, (nginx:get "/"))
    end)

    it("of another table or folder is nothing", function()
      support.psql(url, "DROP TABLE a")
      nginx:deploy(worker(url, 'table = "other"'))
      nginx:reload()
      nginx:open()
      assert.is_true(there(url, "a"))
      support.run(("mkdir %s/more; cp %s/001_a.sql %s/more"):format(dir, dir, dir))
      dir = dir .. "/more"
      support.write(dir, "002_b.sql", "SELECT pg_sleep(0.3); CREATE TABLE b ();")
      nginx:deploy(worker(url))
      nginx:reload()
      nginx:open()
      assert.is_true(there(url, "b"))
    end)

    it("of a database that was set back is found out", function()
      local db = pgmig.connect(url)
      db:exec "TRUNCATE schema_migrations, schema_migrations_history; DROP TABLE a"
      db:close()
      nginx:reload()
      support.wait(function() return there(url, "a") end, status)
      nginx:open()
    end)
  end)

  it("is said at once: the gate is open exactly when the state is ready", function()
    for i = 2, 9 do support.write(dir, ("00%d_m.sql"):format(i), "SELECT pg_sleep(0.05);") end
    start()
    local seen, last = {}, status()
    while not seen["ready true"] and not seen["failed false"] do
      last = status()
      seen[last:match '"state":"(%l+)"' .. " " .. last:match '"ready":(%l+)'] = true
    end
    for pair in pairs(seen) do
      assert.is_truthy(({
        ["starting false"] = true, ["migrating false"] = true, ["ready true"] = true,
      })[pair], pair)
    end
    assert.is_nil(last:find '"running":{')
  end)

  describe("is remembered when the dictionary loses it", function()
    it("before the first request, as every worker has seen it", function()
      start()
      wait_for_status '"ready":true'
      nginx:get "/fill"
      assert.equal(200, (nginx:get "/"))
      assert.is_truthy(status():find('"ready":true', 1, true))
      assert.is_truthy(status():find('"version":"1"', 1, true))
    end)

    it("and found again by workers that come later", function()
      start { workers = 2 }
      nginx:open()
      nginx:get "/flush"
      local _, pid = nginx:get "/alive"
      nginx:signal("KILL", tonumber(pid))
      support.wait(function()
        local _, now = nginx:get "/alive"
        return now and now ~= pid
      end)
      for _ = 1, 20 do support.wait(function() return nginx:get "/" == 200 end) end
      assert.is_true(applied(url, 1))
    end)

    it("while a migration runs, and while it fails", function()
      support.write(dir, "001_a.sql", support.held .. " SELECT nix;")
      start()
      wait_for_status '"state":"migrating"'
      nginx:get "/flush"
      support.wait(function() -- JSON has its fields in any order
        return status():find '"running":{[^}]*"migration":"001_a"'
      end, status)
      support.release(url)
      wait_for_status '"state":"failed"'
      nginx:get "/flush"
      wait_for_status '"state":"failed"'
      support.write(dir, "001_a.sql", "CREATE TABLE a ();")
      nginx:open()
    end)

    it("and where it is too small for what there is to say", function()
      support.write(dir, "001_a.sql", ("DO $$ BEGIN RAISE '%s'; END $$;"):format(("x"):rep(9000)))
      start { http = "lua_shared_dict pgmig 12k;", workers = 2 }
      wait_for_status '"state":"failed"'
      nginx:get "/fill"
      support.write(dir, "001_a.sql", "CREATE TABLE a ();")
      nginx:open()
      for _ = 1, 20 do support.wait(function() return nginx:get "/" == 200 end) end
    end)
  end)

  it("is of files: another one is tried at once, and the old failure is no more", function()
    support.write(dir, "001_a.sql", "SELECT nix;")
    start()
    support.wait(function() return #nginx:logged "pgmig tries again in" >= 3 end)
    assert.equal("1", support.psql(url,
      "SELECT count(*) FROM schema_migrations_history WHERE event = 'failed'"))
    support.run(("rm %s/001_a.sql"):format(dir))
    support.write(dir, "001_b.sql", "SELECT nought;")
    local failed = support.wait(function()
      local text = status()
      return text:find('"migration":"001_b"', 1, true) and text:find('"state":"failed"', 1, true)
        and text
    end, status)
    assert.is_true(tonumber(failed:match '"attempts":(%d+)') < 3)
    assert.is_nil(failed:find("nix", 1, true))
    support.write(dir, "001_b.sql", "CREATE TABLE b ();")
    support.write(dir, "002_c.sql", "CREATE TABLE c ();")
    nginx:open()
    assert.is_nil(status():find '"failure"')
    assert.is_true(there(url, "c"))
    support.write(dir, "003_d.sql", "CREATE TABLE d ();") -- of the next release
    assert.matches('"wanted":"2"', status())
    assert.equal(200, (nginx:get "/"))
  end)

  describe("is nothing, and the log says where setup belongs, when it is called", function()
    local function refused(where)
      support.wait(function()
        return nginx:logged("setup must be called in init_worker_by_lua, not in " .. where,
          "error")[1]
      end, function() return nginx:log() end)
      assert.same({}, nginx:logged "no request")
    end

    it("in init_by_lua", function()
      start {
        worker = "",
        http = ("lua_shared_dict pgmig 1m; init_by_lua_block { %s }"):format(worker(url)),
      }
      refused "init_by_lua"
      assert.equal(503, (nginx:get "/"))
      assert.matches('"message":".*init_worker_by_lua', status())
    end)

    it("in a request", function()
      start { worker = "" }
      nginx:get "/late"
      refused "access_by_lua"
      assert.equal(503, (nginx:get "/"))
    end)

    it("for a second database", function()
      start { worker = worker(url) .. worker(support.database()) }
      support.wait(function() return nginx:logged("setup was already called", "error")[1] end)
      wait_for_status "two databases"
      assert.equal(503, (nginx:get "/"))
    end)
  end)
end)
