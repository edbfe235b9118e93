-- A connection that is given up, at each point of an operation: it ends, with an error that is
-- true, and nothing of it is left.
local pgmig = require "pgmig"
local support = require "spec.support"

local MOST = 400 -- waits of an operation that is not given up

local files = {
  ["a COPY at the end"] = { "CREATE TABLE a (n int);\nCOPY a FROM STDIN;\n1\n2\n\\.\n" },
  ["two COPYs, and migrations around them"] = {
    "CREATE TABLE a (n int);",
    "COPY a FROM STDIN;\n1\n\\.\nSELECT 1;\nCOPY a FROM STDIN;\n2\n\\.\nSELECT 2;",
    "INSERT INTO a VALUES (3);",
  },
  ["a COPY to the client"] = { "CREATE TABLE a (n int);\nCOPY (SELECT repeat('x', 100000) "
    .. "FROM generate_series(1, 6)) TO STDOUT;" },
  ["settings, which are reset"] = { "SET work_mem = '8MB';\nCREATE TABLE a (n int);" },
  ["no transaction"] = { "-- pgmig: transaction=off\nCREATE TABLE a (n int);\n"
    .. "CREATE INDEX CONCURRENTLY a_n ON a (n);\nBEGIN;\nINSERT INTO a VALUES (1);\nCOMMIT;\n"
    .. "COPY a FROM STDIN;\n1\n\\.\n" },
}

describe("a connection given up", function()
  local url, admin, dir

  before_each(function()
    url, dir = support.database(), support.tempdir()
    admin = pgmig.connect(url)
  end)

  after_each(function() admin:close() end)

  --- A connection that, once armed, is given up at its k-th wait; count() says how many there were.
  local function connection(k)
    local waits, armed = 0, false
    local db
    db = pgmig.connect { url = url, wait = function(handle, want, deadline)
      if armed and handle == db.handle then
        waits = waits + 1
        if waits == k then
          handle:abandon "it was given up"
          return
        end
      end
      return pgmig.drivers.blocking(handle, want, deadline)
    end }
    return db, function() armed = true end, function() return waits end
  end

  --- Wait for the server process of a connection to end.
  local function wait_for_end(pid)
    support.wait(function()
      return not admin:query("SELECT 1 FROM pg_stat_activity WHERE pid = $1::int4", pid)[1]
    end, "the end of the server process")
  end

  local function applied()
    local rows = admin:query "SELECT to_regclass('schema_migrations') IS NOT NULL AS there"
    return rows[1].there and admin:query "SELECT count(*) AS n FROM schema_migrations"[1].n or 0
  end

  --- Run all, given up at the k-th wait; returns whether that came, and ends as it began.
  local function try(k, options)
    local db, arm, count = connection(k)
    local pid, migrator = db:backend_pid(), pgmig.migrator(db, dir, options)
    local plan = migrator:plan()
    arm()
    local ok, err = pcall(migrator.run, migrator, plan)
    local came = count() >= k
    db:close()
    wait_for_end(pid)
    if not ok then
      assert.is_true(pgmig.is_error(err), tostring(err))
      assert.matches(err.kind == "unknown" and "not known" or "it was given up", err.message)
      assert.is_true(err.kind == "unknown" or err.kind == "connect", err.kind)
      if err.kind == "connect" then assert.equal(#(err.applied or {}), applied(), "wait " .. k) end
    else
      assert.equal(#plan, applied())
    end
    admin:exec "DROP SCHEMA public CASCADE; CREATE SCHEMA public"
    return came
  end

  for name, list in pairs(files) do
    local ways = name == "no transaction" and { true } or { true, false }
    for _, pipeline in ipairs(ways) do
      it(("in a migration with %s%s says what is so"):format(name,
        pipeline and "" or ", without a pipeline"), function()
        for i, text in ipairs(list) do
          support.write(dir, ("%03d_m.sql"):format(i), "-- UP\n" .. text)
        end
        local k = 1
        while try(k, { pipeline = pipeline, reconnect = 0 }) and k < MOST do k = k + 1 end
        assert.is_true(k > 3 and k < MOST, tostring(k))
      end)
    end
  end

  it("in a COPY of the caller's ends it", function()
    admin:exec "CREATE TABLE t (a text)"
    local row, rows, ended = ("x"):rep(1000) .. "\n", 0, 0
    local copies = {
      function(db) db:copy("COPY t FROM STDIN", function()
        rows = rows + 1
        return rows % 2000 ~= 0 and row or nil
      end) end,
      function(db)
        db:copy "COPY (SELECT repeat('x', 100000) FROM generate_series(1, 50)) TO STDOUT"
      end,
      function(db) db:copy("COPY (SELECT 1) TO STDOUT", function() end) end,
    }
    for i, copy in ipairs(copies) do
      local k, came = 1, true
      while came and k < MOST do
        local db, arm, count = connection(k)
        arm()
        local ok, err = pcall(copy, db)
        came = count() >= k
        if came and not ok then -- else the answer was there already: it counts
          assert.same({ i, "connect" }, { i, err.kind }, tostring(err))
          assert.matches("it was given up", err.message)
          ended = ended + 1
        end
        db:close()
        k = k + (k < 10 and 1 or 7)
      end
      assert.is_true(k > 1, "copy " .. i)
    end
    assert.is_true(ended > 10, tostring(ended))
  end)
end)
