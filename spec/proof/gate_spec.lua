-- The table of locks of what cannot run in a transaction (pgmig.proof.concurrent) against the
-- server: another session keeps each command waiting, and a third one reads its locks.
local concurrent = require "pgmig.proof.concurrent"
local effects = require "pgmig.proof.effects"
local pgmig = require "pgmig"
local support = require "spec.support"

local SETUP = [[
  CREATE TABLE t (id int PRIMARY KEY, a int); CREATE INDEX t_a ON t (a);
  CREATE TABLE other (id int);
  CREATE TABLE pt (d int) PARTITION BY RANGE (d);
  CREATE TABLE p1 PARTITION OF pt FOR VALUES FROM (0) TO (10);
  INSERT INTO t SELECT i, i FROM generate_series(1, 10) AS i]]

--- The locks of another session, by name: those that it has, and the one that it waits for.
local LOCKS = [[
  SELECT c.relname AS name, c.relkind AS kind, l.mode, l.granted
  FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
  WHERE l.pid = $1 AND l.locktype = 'relation' AND c.oid >= 16384]]

describe("the locks of what cannot run in a transaction", function()
  local url, gate, looker
  before_each(function()
    url = support.database()
    support.psql(url, SETUP)
    gate, looker = pgmig.connect(url), pgmig.connect(url)
  end)
  after_each(function()
    gate:close()
    looker:close()
  end)

  --- Hold a command at a wait.
  -- @param closed SQL of the session that it waits for
  -- @param sql the command
  -- @param seen fn(locks) returns what is looked for when it is there; locks = { [name] =
  --   { has = mode, wants = mode } }
  local function hold(closed, sql, seen)
    local command = pgmig.connect(url)
    gate:exec("BEGIN; " .. closed)
    command.handle:send(sql)
    command.handle:step()
    local result = support.wait(function()
      command.handle:step()
      local locks = {}
      for _, row in ipairs(looker:query(LOCKS, command:backend_pid())) do
        local mode = effects.mode_of(row.mode)
        locks[row.name] = locks[row.name] or {}
        local way = row.granted and "has" or "wants"
        locks[row.name][way] = effects.stronger(locks[row.name][way], mode)
      end
      local waits = looker:query("SELECT FROM pg_locks WHERE pid = $1 AND NOT granted",
        command:backend_pid())[1]
      return waits and seen(locks) or nil
    end)
    gate:exec "COMMIT"
    command:run()
    command.handle:finish()
    command:close()
    return result
  end

  local function has(name)
    return function(locks) return locks[name] and locks[name].has end
  end

  it("CREATE INDEX CONCURRENTLY: for who has written, and for every older snapshot", function()
    local known = concurrent.locks["CREATE INDEX CONCURRENTLY"]
    local create = "CREATE INDEX CONCURRENTLY i ON t (id)"
    assert.equal(known.table, hold("UPDATE t SET a = 0", create, has "t"))
    looker:exec "DROP INDEX i"
    assert.equal(known.table, hold("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; "
      .. "SELECT * FROM other", create, has "t"))
  end)

  it("DROP INDEX CONCURRENTLY: for who uses the table", function()
    local known = concurrent.locks["DROP INDEX CONCURRENTLY"]
    assert.same({ known.table, known.index }, hold("SELECT * FROM t",
      "DROP INDEX CONCURRENTLY t_a", function(locks)
        return locks.t and locks.t_a and { locks.t.has, locks.t_a.has }
      end))
  end)

  it("REINDEX CONCURRENTLY: for who has written", function()
    support.needs(pending, 12, "REINDEX CONCURRENTLY")
    local known = concurrent.locks["REINDEX CONCURRENTLY"]
    assert.same({ known.table, known.index }, hold("UPDATE t SET a = 0",
      "REINDEX INDEX CONCURRENTLY t_a", function(locks)
        return locks.t and locks.t_a and { locks.t.has, locks.t_a.has }
      end))
  end)

  it("DETACH PARTITION CONCURRENTLY: without a lock for who uses the parent", function()
    support.needs(pending, 14, "DETACH PARTITION CONCURRENTLY")
    local known = concurrent.locks["DETACH PARTITION CONCURRENTLY"]
    local detach = "ALTER TABLE pt DETACH PARTITION p1 CONCURRENTLY"
    assert.is_true(hold("SELECT * FROM pt", detach, function(locks)
      return next(locks) == nil
    end))
    looker:exec "ALTER TABLE pt ATTACH PARTITION p1 FOR VALUES FROM (0) TO (10)"
    assert.same({ known.table, known.partition }, hold("SELECT * FROM ONLY p1", detach,
      function(locks)
        return locks.p1 and locks.p1.wants and { locks.pt.has, locks.p1.wants }
      end))
  end)

  for command, sql in pairs {
    VACUUM = "VACUUM t", ["VACUUM FULL"] = "VACUUM FULL t", CLUSTER = "CLUSTER",
    REINDEX = "REINDEX SCHEMA public",
  } do
    it(command .. ": queues for the lock that is in the table", function()
      looker:exec "CLUSTER t USING t_a"
      local known = concurrent.locks[command]
      assert.equal(known.table, hold("LOCK TABLE t IN SHARE UPDATE EXCLUSIVE MODE; "
        .. "LOCK TABLE t IN ROW EXCLUSIVE MODE", sql, function(locks)
          return locks.t and locks.t.wants
        end))
    end)
  end

  it("is a table of all commands that were looked at", function()
    local names = {}
    for name in pairs(concurrent.locks) do names[#names + 1] = name end
    assert.equal(8, #names)
  end)
end)

describe("the observation", function()
  it("knows no version of a server: what it sees is what the server does", function()
    for _, name in ipairs {
      "effects", "events", "lua_calls", "observer", "reading", "relations", "trace", "twin",
    } do
      local code = support.read(("lua/pgmig/proof/%s.lua"):format(name)):gsub("%-%-[^\n]*", "")
      assert.is_nil(code:match ":server_version" or code:match "%f[%d]%d%d%d?000%f[%D]", name)
    end
  end)
end)

describe("what cannot run in a transaction", function()
  --- The record of a statement on tables that are there.
  local function record(sql)
    local dir = support.tempdir()
    support.write(dir, "1_t.sql", SETUP .. ";")
    support.write(dir, "2_x.sql", "-- pgmig: transaction=off\n" .. sql .. ";")
    local traced = pgmig.migrator(nil, dir):trace { applied_to = 1 }
    assert.is_nil(traced.error)
    return traced.effects[1]
  end

  it("is told with the relations that the catalogs show", function()
    local create = record "CREATE INDEX CONCURRENTLY i ON t (id)"
    assert.same({ ["public.t"] = "SHARE UPDATE EXCLUSIVE" }, create.locks)
    assert.same({ { index = "public.i", table = "public.t", new = true } }, create.builds)
    assert.equal("table", create.source)
    assert.matches("written to the table", create.waits)
    local drop = record "DROP INDEX CONCURRENTLY t_a"
    assert.same({ ["public.t"] = "SHARE UPDATE EXCLUSIVE",
      ["public.t_a"] = "SHARE UPDATE EXCLUSIVE" }, drop.locks)
    local full = record "VACUUM FULL t"
    assert.equal("ACCESS EXCLUSIVE", full.locks["public.t"])
    table.sort(full.rewrites)
    assert.same({ "public.t", "public.t_a", "public.t_pkey" }, full.rewrites)
    assert.same({ ["public.t"] = "SHARE UPDATE EXCLUSIVE" }, record "VACUUM t".locks)
    local all = record "VACUUM".locks
    assert.same({ "SHARE UPDATE EXCLUSIVE", "SHARE UPDATE EXCLUSIVE" },
      { all["public.t"], all["public.other"] })
  end)

  it("of newer servers, too", function()
    support.needs(pending, 14, "DETACH PARTITION CONCURRENTLY")
    local detach = record "ALTER TABLE pt DETACH PARTITION p1 CONCURRENTLY"
    assert.same({ ["public.pt"] = "SHARE UPDATE EXCLUSIVE", ["public.p1"] = "ACCESS EXCLUSIVE" },
      detach.locks)
    local reindex = record "REINDEX (CONCURRENTLY) TABLE t"
    assert.same({ ["public.t"] = "SHARE UPDATE EXCLUSIVE",
      ["public.t_a"] = "SHARE UPDATE EXCLUSIVE",
      ["public.t_pkey"] = "SHARE UPDATE EXCLUSIVE" }, reindex.locks)
    assert.is_true(reindex.builds[1].rebuilt)
    assert.is_true(reindex.relations["public.t_a"].existed)
  end)
end)
