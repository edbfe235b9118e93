-- Code that runs within a migration, and ends the transaction that it runs in.
local pgmig = require "pgmig"
local support = require "spec.support"

describe("a migration whose own code ends its transaction", function()
  local url, db, dir

  before_each(function()
    url = support.database()
    db = pgmig.connect(url)
    dir = support.tempdir()
  end)

  after_each(function() db:close() end)

  local function exists(name)
    return db:query("SELECT to_regclass($1) IS NOT NULL AS there", name)[1].there
  end

  local function recorded()
    return db:query "SELECT count(*) AS n FROM schema_migrations"[1].n == 1
  end

  local function fails(hooks)
    local ok, err = pcall(pgmig.migrator(db, dir, { hooks = hooks }).migrate,
      pgmig.migrator(db, dir, { hooks = hooks }))
    assert.is_false(ok)
    assert.is_true(pgmig.is_error(err), tostring(err))
    return err
  end

  local function write_lua(code)
    support.write(dir, "001_lua.lua", ("return { up = function(db)\n  %s\nend }"):format(code))
  end

  local ways = {
    ["db:exec 'COMMIT'"] = "committed",
    ["db:exec 'COMMIT AND CHAIN'"] = "committed",
    ["db:exec 'COMMIT; BEGIN'"] = "committed",
    ["db:exec 'END; CREATE TABLE after_it ()'"] = "committed",
    ["db:exec 'COMMIT; BEGIN; INSERT INTO half VALUES (1)'"] = "committed",
    ["pcall(db.exec, db, 'COMMIT; SELECT 1/0')"] = "committed",
    ["pcall(db.exec, db, 'COMMIT; BEGIN; SELECT 1/0')"] = "committed",
    ["db:exec 'COMMIT'; error 'and gives up'"] = "committed",
    ["db:exec 'COMMIT'; db:query 'SELECT 1/0'"] = "committed",
    ["db:exec 'COMMIT'; db:transaction(function(tx) tx:exec 'SELECT 1' end)"] = "committed",
    ["db:copy('COPY half FROM STDIN', '1\\n'); db:exec 'COMMIT'"] = "committed",
    ["db:exec 'ROLLBACK'"] = "aborted",
    ["db:exec 'ROLLBACK; BEGIN; CREATE TABLE after_it ()'"] = "aborted",
    ["db:exec 'ABORT AND CHAIN'"] = "aborted",
  }

  for code, fate in pairs(ways) do
    if not code:find "AND CHAIN" or pgmig.connect(support.server():url()):server_version() >= 120000
    then
      it("fails, and says what is there, after " .. code, function()
        write_lua("db:exec 'CREATE TABLE half (a int)'; " .. code)
        local err = fails()
        assert.equal(fate, err.transaction)
        assert.equal("lua", err.kind)
        assert.matches("ended the migration's transaction", err.message)
        assert.matches(fate == "committed" and "counts as applied" or "is not applied", err.detail)
        assert.same({ fate == "committed", fate == "committed" }, { exists "half", recorded() })
        assert.equal("failed", pgmig.migrator(db, dir):history()[1].event)
      end)
    end
  end

  it("may set savepoints, and must let errors through", function()
    write_lua "db:exec 'SAVEPOINT a; CREATE TABLE gone (); ROLLBACK TO a; CREATE TABLE kept ()'"
    pgmig.migrator(db, dir):migrate()
    assert.same({ true, false, true }, { exists "kept", exists "gone", recorded() })
    support.write(dir, "002_caught.lua",
      "return { up = function(db) pcall(db.exec, db, 'SELECT 1/0') end }")
    local err = fails()
    assert.matches("was caught", err.message)
    assert.is_nil(err.transaction)
    assert.is_true(recorded())
  end)

  it("may not close the connection either", function()
    write_lua "db:exec 'CREATE TABLE half ()'; db:close()"
    local err = fails()
    assert.matches("closed the migration's connection", err.message)
    assert.equal("unknown", err.transaction)
    db = pgmig.connect(url)
    assert.same({ false, false }, { exists "half", recorded() })
  end)

  it("is told of a rollback, too", function()
    support.write(dir, "001_lua.lua", [[return {
      up = function(db) db:exec "CREATE TABLE t ()" end,
      down = function(db) db:exec "COMMIT; BEGIN" end,
    }]])
    local migrator = pgmig.migrator(db, dir)
    migrator:migrate()
    local ok, err = pcall(migrator.rollback, migrator)
    assert.is_false(ok)
    assert.matches("counts as not applied", err.detail)
    assert.is_false(recorded())
  end)

  it("is told of a repeatable one, too", function()
    support.write(dir, "R__lua.lua", "return { up = function(db) db:exec 'COMMIT; BEGIN' end }")
    assert.matches("is not recorded", fails().detail)
    assert.equal("failed", pgmig.migrator(db, dir):history()[1].event)
  end)

  for _, event in ipairs { "before_each", "before_statement", "after_statement", "after_each" } do
    it("is told when a hook at " .. event .. " does it", function()
      support.write(dir, "001_sql.sql", "CREATE TABLE one (); CREATE TABLE two ();")
      for _, sql in ipairs { "COMMIT; BEGIN", "ROLLBACK; BEGIN" } do
        local err = fails { [event] = function(ctx) ctx.db:exec(sql) end }
        assert.equal("hook", err.kind)
        assert.equal(sql:find "COMMIT" and "committed" or "aborted", err.transaction)
        assert.equal(err.transaction == "committed", recorded())
        db:exec [[DROP TABLE IF EXISTS one, two;
          TRUNCATE schema_migrations, schema_migrations_history]]
      end
    end)
  end

  it("is told when the connection is lost after that", function()
    write_lua("db:exec 'CREATE TABLE half (); COMMIT'; "
      .. "db:query 'SELECT pg_terminate_backend(pg_backend_pid())'")
    local err = fails()
    assert.equal("committed", err.transaction)
    assert.is_true(exists "half")
    assert.is_true(recorded())
  end)
end)
