-- Settings of roles and databases, and their encodings: migrations must not depend on them.
local pgmig = require "pgmig"
local support = require "spec.support"

describe("whatever a database's settings are", function()
  local url, dir, admin

  before_each(function()
    url = support.database()
    dir = support.tempdir()
    admin = pgmig.connect(url)
  end)

  after_each(function() admin:close() end)

  local function set(setting, value)
    local name = admin:query "SELECT current_database()::text AS name"[1].name
    admin:exec(("ALTER DATABASE %s SET %s = %s"):format(name, setting, value))
  end

  -- In a new session: what `fn(migrator, db)` returns.
  local function with(options, fn)
    local db = pgmig.connect(url)
    local ok, result = pcall(fn, pgmig.migrator(db, dir, options), db)
    db:close()
    if not ok then error(result, 0) end
    return result
  end

  local function migrate(options)
    return with(options, function(migrator) return #migrator:migrate() end)
  end

  local modes = {
    { "default_transaction_isolation", "'repeatable read'" },
    { "default_transaction_isolation", "serializable" },
    { "default_transaction_read_only", "on" },
    { "default_transaction_deferrable", "on" },
  }

  local function write_history()
    support.write(dir, "001_t.sql", "CREATE TABLE t (a int); INSERT INTO t VALUES (1);")
    support.write(dir, "002_off.sql", [[
-- UP
-- pgmig: transaction=off
CREATE INDEX CONCURRENTLY i ON t (a);
DO $$ BEGIN INSERT INTO t VALUES (2); END $$;
BEGIN; INSERT INTO t VALUES (2); COMMIT;
VACUUM t;
CREATE UNIQUE INDEX CONCURRENTLY u ON t (a);
-- DOWN
-- pgmig: transaction=off
DROP INDEX CONCURRENTLY i;
]])
    support.write(dir, "003_off.lua", [[return { transaction = false, up = function(db)
      db:exec "INSERT INTO t VALUES (4)"
      db:exec "CREATE INDEX CONCURRENTLY l ON t (a)"
      db:transaction(function(tx) tx:exec "INSERT INTO t VALUES (5)" end)
    end, down = function() end }]])
    support.write(dir, "R__view.sql", "CREATE OR REPLACE VIEW v AS SELECT a FROM t;")
  end

  for _, mode in ipairs(modes) do
    it(("migrations run, fail, go on and roll back: %s = %s"):format(mode[1], mode[2]), function()
      write_history()
      set(mode[1], mode[2])
      local err = select(2, pcall(migrate))
      assert.equal("23505", err.sqlstate)
      assert.equal("failed", with({}, function(m) return m:history()[2].event end))
      admin:exec "DELETE FROM t WHERE a > 1"
      assert.equal(3, migrate())
      assert.equal(3, admin:query("SELECT count(*) AS n FROM t")[1].n)
      assert.same({}, with({}, function(m) return m:doctor() end))
      assert.equal(2, with({}, function(m) return #m:rollback(2) end))
    end)
  end

  it("the session has its own settings again afterwards", function()
    support.write(dir, "001_t.sql", "CREATE TABLE t ();")
    set("default_transaction_isolation", "serializable")
    set("default_transaction_read_only", "on")
    with({}, function(migrator, db)
      db:exec "SET default_transaction_read_only = off; SET default_transaction_deferrable = on"
      local function look()
        return db:query [[SELECT current_setting('default_transaction_isolation') AS isolation,
          current_setting('default_transaction_read_only') AS read_only,
          current_setting('default_transaction_deferrable') AS deferrable]][1]
      end
      local before = look()
      assert.same({ isolation = "serializable", read_only = "off", deferrable = "on" }, before)
      migrator:migrate()
      assert.same(before, look())
    end)
  end)

  local SLEEP = "os.execute 'sleep 0.5'"

  it("code of others may take its time", function()
    local version = admin:server_version()
    set("idle_in_transaction_session_timeout", "'100ms'")
    if version >= 140000 then set("idle_session_timeout", "'100ms'") end
    if version >= 170000 then set("transaction_timeout", "'300ms'") end
    support.write(dir, "001_a.lua", "return { up = function(db) " .. SLEEP
      .. " db:exec 'CREATE TABLE a ()' end }")
    support.write(dir, "002_b.lua", "return { transaction = false, up = function(db) " .. SLEEP
      .. " db:exec 'CREATE TABLE b ()' db:transaction(function(tx) " .. SLEEP
      .. " tx:exec 'CREATE TABLE c ()' end) end }")
    local lost = 0
    with({ hooks = { before_all = function() os.execute "sleep 0.5" end,
      before_each = function() os.execute "sleep 0.5" end,
      committed = function() os.execute "sleep 0.5" end } }, function(migrator)
      migrator:migrate { on_event = function(event)
        if event.type == "lost" then lost = lost + 1 end
      end }
    end)
    assert.equal(0, lost)
    assert.equal(2, admin:query("SELECT count(*) AS n FROM schema_migrations")[1].n)
  end)
end)

describe("in a database of another encoding", function()
  local function database(encoding)
    local name = "encoded_" .. encoding:lower()
    support.psql(support.server():url(), "DROP DATABASE IF EXISTS " .. name)
    support.psql(support.server():url(), ("CREATE DATABASE %s ENCODING '%s' LC_COLLATE 'C' "
      .. "LC_CTYPE 'C' TEMPLATE template0"):format(name, encoding))
    return support.server():url(name)
  end

  for _, encoding in ipairs { "SQL_ASCII", "LATIN1", "UTF8" } do
    it("an error has its place, and names come back: " .. encoding, function()
      local db, dir = pgmig.connect(database(encoding)), support.tempdir()
      local migrator = pgmig.migrator(db, dir)
      support.write(dir, "001_caf\195\169.sql",
        "CREATE TABLE t (\"caf\195\169\" text); INSERT INTO t VALUES ('\195\169');")
      assert.equal("001_caf\195\169", tostring(migrator:migrate()[1]))
      assert.equal("caf\195\169", migrator:applied()[1].name)
      assert.equal("\195\169", db:query("SELECT * FROM t")[1]["caf\195\169"])
      support.write(dir, "002_bad.sql",
        "-- \195\169\195\169\195\169\nSELECT '\195\169\195\169' AS \"\195\169\",\n"
        .. "  '\195\169', nope\nFROM t;")
      local ok, err = pcall(migrator.migrate, migrator)
      assert.is_false(ok)
      assert.same({ 3, 8 }, { err.line, err.column })
      assert.matches("'\195\169', nope", err.text, 1, true)
      assert.equal("failed", migrator:history()[2].event)
      db:close()
    end)
  end

  it("a character that it has not is an error that is told", function()
    local db, dir = pgmig.connect(database "LATIN1"), support.tempdir()
    support.write(dir, "001_euro.sql", "SELECT 1;\nSELECT '\226\130\172';")
    local ok, err = pcall(pgmig.migrator(db, dir).migrate, pgmig.migrator(db, dir))
    assert.is_false(ok)
    assert.same({ "22P05", 2 }, { err.sqlstate, err.line })
    db:close()
  end)
end)
