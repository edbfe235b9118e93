-- The gate, and what opens it.
local pgmig = require "pgmig"
local servers = require "spec.nginx.server"
local support = require "spec.support"

describe("the gate in nginx", function()
  local dir, url, nginx

  before_each(function()
    dir, url = support.tempdir(), support.database()
    support.write(dir, "001_a.sql", "CREATE TABLE a ();")
    support.write(dir, "002_b.sql", "CREATE TABLE b ();")
  end)

  after_each(function() if nginx then nginx:stop() end end)

  --- What a worker runs: more options as Lua.
  local function worker(more)
    return servers.worker(("database = %q, dir = %q, %s"):format(url, dir, more or ""))
  end

  local function start(more, options)
    options = options or {}
    options.worker = options.worker or worker(more)
    nginx = servers.start(options)
    return nginx
  end

  local function applied()
    local list = support.psql(url, "SELECT string_agg(version::text, ' ' ORDER BY version) "
      .. "FROM schema_migrations")
    return list
  end

  --- Let a migration last until `support.release`.
  local function hold(name) support.write(dir, name, support.held .. "\nCREATE TABLE held ();") end

  it("answers 503 until the schema is there, then lets through", function()
    hold "002_b.sql"
    start()
    local status, body, headers = nginx:get "/"
    assert.equal(503, status)
    assert.matches('^{"error":"the schema is not ready","version":[^,]+,"wanted":"2"}\n$', body)
    assert.equal("application/json", headers["content-type"])
    assert.equal("1", headers["retry-after"])
    support.release(url)
    nginx:open()
    assert.equal("application\n", (select(2, nginx:get "/")))
    assert.equal("1 2", applied())
  end)

  it("opens before the backfills are done, which the worker does behind it", function()
    support.write(dir, "002_b.sql", "CREATE TABLE b AS SELECT i AS id, 0 AS n "
      .. "FROM generate_series(1, 3000) AS i; ALTER TABLE b ADD PRIMARY KEY (id);\n"
      .. "-- BACKFILL table=b set=\"n = n + 1\"\n")
    start()
    nginx:open()
    support.wait(function()
      return support.psql(url, "SELECT state FROM schema_migrations_backfill") == "done"
    end, "the backfill")
    assert.equal("3000", support.psql(url, "SELECT sum(n) FROM b"))
  end)

  it("says in status where the schema stands", function()
    hold "002_b.sql"
    start()
    local body = support.wait(function()
      local _, text = nginx:get "/schema.json"
      return text:find('"migration":"002_b"', 1, true) and text:find('"done":1', 1, true) and text
    end)
    for _, part in ipairs { '"state":"migrating"', '"version":"1"', '"wanted":"2"', '"ready":false',
      '"migration":"002_b"', '"done":1', '"total":2' } do
      assert.is_truthy(body:find(part, 1, true), body)
    end
    support.release(url)
    nginx:open()
    support.wait(function()
      local _, now = nginx:get "/schema.json"
      return now:find('"state":"ready"', 1, true) and now:find('"version":"2"', 1, true)
    end)
  end)

  it("closes again when a new release wants more, and opens when it is there", function()
    start()
    nginx:open()
    hold "003_c.sql"
    nginx:reload()
    assert.equal(503, (nginx:get "/"))
    support.release(url)
    nginx:open()
    assert.equal("1 2 3", applied())
  end)

  it("does not wait for what runs after the deploy, unless that is asked for", function()
    support.write(dir, "002_b.sql", "-- pgmig: phase=post\nCREATE TABLE b ();")
    start()
    nginx:open()
    assert.equal("1", applied())
    nginx:stop()
    start 'phase = "all"'
    nginx:open()
    assert.equal("1 2", applied())
  end)

  it("is open for an old release beside a newer one", function()
    local db = pgmig.connect(url)
    pgmig.migrator(db, dir):migrate()
    db:close()
    support.run("rm " .. dir .. "/002_b.sql")
    start()
    nginx:open()
    assert.equal("1 2", applied())
  end)

  it("stays open over a reload, and applies what came in below", function()
    start()
    nginx:open()
    support.write(dir, "000_below.sql", "CREATE TABLE below ();")
    support.write(dir, "R__view.sql", "CREATE OR REPLACE VIEW v AS SELECT 1 AS one;")
    nginx:signal "HUP"
    for _ = 1, 20 do assert.equal(200, (nginx:get "/")) end
    support.wait(function()
      return support.psql(url, "SELECT to_regclass('v'), to_regclass('below')") == "v|below"
    end, function() return nginx:log() end)
  end)

  it("waits for a deploy step with mode = check, and touches nothing", function()
    start 'mode = "check"'
    support.wait(function()
      local _, body = nginx:get "/schema.json"
      return body:find('"state":"waiting"', 1, true)
    end)
    assert.equal("", support.psql(url, "SELECT to_regclass('schema_migrations')"))
    local db = pgmig.connect(url)
    pgmig.migrator(db, dir):migrate()
    db:close()
    nginx:open()
  end)

  it("stays closed where another migration was applied under its number, in both modes", function()
    local db, theirs = pgmig.connect(url), support.tempdir()
    support.write(theirs, "001_a.sql", "CREATE TABLE a ();")
    support.write(theirs, "002_theirs.sql", "CREATE TABLE theirs ();")
    pgmig.migrator(db, theirs):migrate()
    db:close()
    for _, mode in ipairs { "check", "migrate" } do
      start(("mode = %q"):format(mode))
      local body = support.wait(function()
        local _, json = nginx:get "/schema.json"
        return json:find("002_theirs was applied under this number", 1, true) and json
      end)
      assert.matches('"ready":false', body, 1, true)
      assert.matches('"version":"1"', body, 1, true)
      assert.equal(503, (nginx:get "/"))
      nginx:stop()
    end
    nginx = nil
  end)

  it("may want a version without the files", function()
    local db = pgmig.connect(url)
    pgmig.migrator(db, dir):migrate(1)
    db:close()
    start(nil, {
      worker = servers.worker(('database = %q, mode = "check", target = 1'):format(url)),
    })
    nginx:open()
  end)

  it("goes no further than target", function()
    start "target = 1"
    nginx:open()
    assert.equal("1", applied())
  end)

  describe("stays closed, with a reason in the log,", function()
    local function closed(text, level)
      support.wait(function() return nginx:logged(text, level or "error")[1] end,
        function() return nginx:log() end)
      assert.equal(503, (nginx:get "/"))
      assert.same({}, nginx:logged "unknown reason")
      local status, body = nginx:get "/schema.json"
      assert.equal(200, status)
      return body
    end

    it("without the dictionary", function()
      start(nil, { http = "" })
      assert.matches('"state":"broken"', closed "lua_shared_dict pgmig 1m;")
    end)

    it("with an unknown option", function()
      start "tabel = 1"
      closed "unknown option tabel"
    end)

    it("without the folder", function()
      support.run("rm -r " .. dir)
      start()
      closed "No such file or directory"
    end)

    it("without a database, which nginx hides", function()
      start(nil, { worker = servers.worker(("dir = %q"):format(dir)) })
      closed("env DATABASE_URL;", "warn")
    end)

    it("without setup", function()
      start(nil, { worker = "" })
      assert.equal(503, (nginx:get "/"))
      assert.matches("setup was not called", select(2, nginx:get "/schema.json"))
    end)

    it("when a migration fails, which is tried again later, not at once", function()
      support.write(dir, "002_b.sql", "SELECT nix \"quoted\";")
      start()
      closed "002_b.sql:1:8"
      support.wait(function() return #nginx:logged("pgmig tries again in") >= 1 end)
      local _, body = nginx:get "/schema.json"
      for _, part in ipairs { '"state":"failed"', '"migration":"002_b"', '\\"' } do
        assert.is_truthy(body:find(part, 1, true), body)
      end
      assert.is_true(#nginx:logged("002_b.sql:1:8", "error") <= 3)
      support.write(dir, "002_b.sql", "CREATE TABLE b ();")
      nginx:signal "HUP" -- whoever reloads has mended something: it is tried at once
      nginx:open()
    end)

    it("while there is no server", function()
      start(nil, { worker = servers.worker(('database = "host=%s user=postgres", dir = %q'):format(
        dir, dir)) })
      local body = closed "Is the server running"
      assert.matches('"state":"failed"', body)
    end)

    it("and without a password in it", function()
      start(nil, { worker = servers.worker(
        ('database = "postgresql://u:secret word@@localhost:1/x", dir = %q'):format(dir)) })
      closed "invalid connection string"
      assert.same({}, nginx:logged "secret")
    end)
  end)

  it("works without the thread pool, and says what to add", function()
    start(nil, { main = "" })
    nginx:open()
    assert.equal(1, #nginx:logged("thread_pool pgmig threads=1;", "warn"))
  end)

  describe("check in init_by_lua", function()
    local function checked(more)
      return ([[lua_shared_dict pgmig 1m;
        init_by_lua_block { require("pgmig.nginx").check { database = %q, dir = %q, %s } }]])
        :format(url, dir, more or "")
    end

    it("warns of a schema that is not as wanted", function()
      start(nil, { http = checked() })
      local entry = support.wait(function() return nginx:logged("is required", "warn")[1] end)
      assert.matches("at version 0, but 2 is required", entry)
      nginx:open()
    end)

    it("refuses to start, or to reload, when it is asked to", function()
      assert.has_error(function() start(nil, { http = checked "refuse = true" }) end)
      local db = pgmig.connect(url)
      pgmig.migrator(db, dir):migrate()
      db:close()
      start(nil, { http = checked "refuse = true" })
      nginx:open()
      support.write(dir, "003_c.sql", "CREATE TABLE c ();")
      nginx:signal "HUP"
      support.wait(function() return nginx:logged("is required", "error")[1] end)
      assert.equal(200, (nginx:get "/"))
      assert.equal("1 2", applied())
    end)
  end)

end)
