local pgmig = require "pgmig"
local support = require "spec.support"

describe("the tracking table", function()
  local url, db, dir

  before_each(function()
    url = support.database()
    db = pgmig.connect(url)
    dir = support.tempdir()
    support.write(dir, "001_one.sql", "-- UP\nCREATE TABLE one ();\n-- DOWN\nDROP TABLE one;")
  end)

  after_each(function() db:close() end)

  local function columns(name)
    local list = {}
    for i, row in ipairs(db:query([[SELECT column_name::text AS name, data_type::text AS type,
        is_nullable::text AS nullable, coalesce(column_default::text, '') AS fallback
        FROM information_schema.columns WHERE table_name = $1 ORDER BY ordinal_position]], name)) do
      list[i] = table.concat({ row.name, row.type, row.nullable, row.fallback }, "|")
    end
    return list
  end

  local function refused(...)
    local ok, err = pcall(pgmig.migrator(db, dir, ...).migrate, pgmig.migrator(db, dir, ...))
    assert.is_false(ok)
    assert.equal("plan", err.kind)
    return err
  end

  it("has exactly the documented columns", function()
    pgmig.migrator(db, dir):migrate()
    assert.same({ "version|integer|NO|", "name|text|NO|",
      "applied_at|timestamp with time zone|NO|now()" }, columns "schema_migrations")
  end)

  it("may have another name, and a schema", function()
    db:exec "CREATE SCHEMA ops"
    assert.equal(1, #pgmig.migrator(db, dir, { table = "ops.Deploys" }):migrate())
    assert.equal(1, db:query('SELECT count(*) AS n FROM ops."Deploys"')[1].n)
    assert.equal(1, pgmig.migrator(db, dir, { table = "ops.Deploys" }):status().applied_count)
    assert.equal(0, pgmig.migrator(db, dir):status().applied_count)
  end)

  it("is used as it is when the original tool made it", function()
    db:exec [[CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER PRIMARY KEY,
      name TEXT NOT NULL, applied_at TIMESTAMPTZ NOT NULL DEFAULT NOW());
      INSERT INTO schema_migrations (version, name) VALUES (1, 'one')]]
    support.write(dir, "002_two.sql", "CREATE TABLE two ();")
    local migrator = pgmig.migrator(db, dir)
    assert.equal("001_one", tostring(migrator:applied()[1]))
    assert.equal("002_two", tostring(migrator:migrate()[1]))
    assert.equal(2, db:query("SELECT count(*) AS n FROM schema_migrations")[1].n)
  end)

  it("is found and kept where it is, whatever the search path becomes", function()
    db:exec "CREATE SCHEMA app; CREATE SCHEMA other; SET search_path = app"
    support.write(dir, "002_path.sql", "SET search_path = other; CREATE TABLE t ();")
    pgmig.migrator(db, dir):migrate()
    assert.equal(2, db:query("SELECT count(*) AS n FROM app.schema_migrations")[1].n)
  end)

  it("of another program is refused before anything is touched", function()
    for _, made in ipairs {
      "CREATE TABLE schema_migrations (version varchar PRIMARY KEY)|dbmate",
      "CREATE TABLE schema_migrations (version bigint PRIMARY KEY, dirty bool NOT NULL)" ..
        "|golang%-migrate",
      "CREATE TABLE schema_migrations (id int PRIMARY KEY, note text)|another program",
      "CREATE VIEW schema_migrations AS SELECT 1 AS a|another program",
    } do
      local ddl, whose = made:match "^(.*)|(.*)$"
      db:exec(ddl)
      local err = refused()
      assert.matches(whose, err.message)
      assert.matches("%-%-table", err.hint)
      assert.equal(0, db:query("SELECT count(*) AS n FROM pg_tables WHERE tablename = 'one'")[1].n)
      db:exec("DROP " .. ddl:match "^CREATE (%a+ %S+)")
    end
  end)

  it("without a primary key is refused", function()
    db:exec [[CREATE TABLE schema_migrations (version int NOT NULL, name text NOT NULL,
      applied_at timestamptz NOT NULL DEFAULT now())]]
    assert.matches("primary key", refused().message)
  end)

  it("is widened for longer versions, once needed", function()
    pgmig.migrator(db, dir):migrate()
    support.write(dir, "20240115103000_stamp.sql", "CREATE TABLE stamp ();")
    local applied = pgmig.migrator(db, dir):migrate()
    assert.equal(20240115103000, applied[1].version)
    assert.equal("version|bigint|NO|", columns("schema_migrations")[1])
    support.write(dir, "20240115103000123456_long.sql",
      "-- UP\nCREATE TABLE long ();\n-- DOWN\nDROP TABLE long;")
    applied = pgmig.migrator(db, dir):migrate()
    assert.equal("20240115103000123456", applied[1].version)
    assert.equal("version|numeric|NO|", columns("schema_migrations")[1])
    assert.equal("20240115103000123456", pgmig.migrator(db, dir):applied()[3].id)
    assert.equal("20240115103000123456", pgmig.migrator(db, dir):rollback()[1].id)
  end)

  it("is not created where search_path names no schema", function()
    db:exec "SET search_path = ''"
    assert.matches("schema%.table", refused().hint)
  end)

  it("that is missing from a schema that is missing is an error of the server's", function()
    local migrator = pgmig.migrator(db, dir, { table = "nowhere.versions" })
    local ok, err = pcall(migrator.migrate, migrator)
    assert.is_false(ok)
    assert.equal("3F000", err.sqlstate)
  end)
end)
