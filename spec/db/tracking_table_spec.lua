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
      "CREATE VIEW schema_migrations AS SELECT 1 AS version|is a view",
      "CREATE MATERIALIZED VIEW schema_migrations AS SELECT 1 AS version, ''::text AS name, now()"
        .. " AS applied_at|is a materialized view",
    } do
      local ddl, whose = made:match "^(.*)|(.*)$"
      db:exec(ddl)
      local err = refused()
      assert.matches(whose, err.message)
      assert.matches("%-%-table", err.hint)
      assert.equal(0, db:query("SELECT count(*) AS n FROM pg_tables WHERE tablename = 'one'")[1].n)
      db:exec("DROP " .. ddl:match "^CREATE (.- schema_migrations)")
    end
  end)

  it("whose columns somebody has changed is kept: what restores them is said, and works", function()
    pgmig.migrator(db, dir):migrate()
    for change, command in pairs {
      ["ADD note text, ADD \"Who\" text DEFAULT current_user"] =
        'DROP COLUMN "Who", DROP COLUMN "note"$',
      ["DROP applied_at, DROP name"] = 'ADD COLUMN "name" .*, ADD COLUMN "applied_at" .*%(%)$',
      ["ALTER name TYPE varchar(100), ALTER version TYPE text, ADD x int"] =
        'ALTER COLUMN "version" .*, ALTER COLUMN "name" .*, DROP COLUMN "x"$',
      ["ALTER applied_at TYPE timestamp"] = 'ALTER COLUMN "applied_at" TYPE timestamptz USING',
    } do
      db:exec("ALTER TABLE schema_migrations " .. change)
      local err = refused()
      assert.is_nil(err.hint:find "%-%-table")
      local alter = err.hint:match ": (ALTER TABLE .*); nothing was touched$"
      assert.matches(command, alter)
      db:exec(alter)
      assert.equal(0, #pgmig.migrator(db, dir):migrate())
    end
  end)

  it("that no command restores is kept, too", function()
    pgmig.migrator(db, dir):migrate()
    db:exec "ALTER TABLE schema_migrations ADD \"a b\" text"
    assert.matches("columns: %(version INTEGER PRIMARY KEY", refused().hint)
    db:exec "ALTER TABLE schema_migrations DROP \"a b\", DROP version"
    assert.matches("keep it.*columns: %(version INTEGER PRIMARY KEY", refused().hint)
  end)

  it("without a history, of versions alone or of Ecto", function()
    db:exec "CREATE TABLE schema_migrations (version bigint PRIMARY KEY)"
    assert.matches("keep it.*ADD COLUMN", refused().hint)
    db:exec "ALTER TABLE schema_migrations ADD inserted_at timestamp(0) NOT NULL DEFAULT now()"
    local err = refused()
    assert.matches("Ecto", err.message)
    assert.matches("%-%-table", err.hint)
  end)

  it("that a dump of another tool's schema takes for its own: what to do is said, and works",
    function()
      local structure = "CREATE TABLE %s (version varchar NOT NULL);\nCREATE TABLE a ();\n"
        .. "ALTER TABLE schema_migrations ADD CONSTRAINT k PRIMARY KEY (version);\n"
        .. "INSERT INTO \"schema_migrations\" (version) VALUES\n('20240115103000');\n"
      for name, line in pairs { schema_migrations = 1, ["IF NOT EXISTS schema_migrations"] = 3 } do
        support.write(dir, "002_structure.sql", structure:format(name))
        local ok, err = pcall(pgmig.migrator(db, dir).migrate, pgmig.migrator(db, dir))
        assert.is_false(ok)
        assert.same({ "sql", line }, { err.kind, err.line })
        assert.matches("keeps its records in the table schema_migrations", err.hint, 1, true)
      end
      for data, line in pairs {
        ["1\tone\t2024-01-15 10:30:00+00"] = 2, ["20240115103000"] = 2, ["1\tone\tnow\tx"] = 2,
      } do
        support.write(dir, "002_structure.sql", "COPY public.schema_migrations FROM stdin;\n"
          .. data .. "\n\\.\n")
        local ok, err = pcall(pgmig.migrator(db, dir).migrate, pgmig.migrator(db, dir))
        assert.is_false(ok)
        assert.same({ "sql", line }, { err.kind, err.line })
        assert.matches("remove it, and everything done to it", err.hint, 1, true)
      end
      for values, line in pairs {
        ["(version) VALUES\n('20240115103000')"] = 2, ["(version) VALUES (7)"] = 1,
        ["(version, dirty) VALUES (7, false)"] = 1,
      } do
        support.write(dir, "002_structure.sql", "INSERT INTO schema_migrations " .. values)
        local ok, err = pcall(pgmig.migrator(db, dir).migrate, pgmig.migrator(db, dir))
        assert.is_false(ok)
        assert.same({ "sql", line }, { err.kind, err.line })
        assert.matches("remove it, and everything done to it", err.hint, 1, true)
      end
      support.write(dir, "002_structure.sql", structure:format "schema_migrations")
      local other = pgmig.connect(support.database())
      assert.equal(2, #pgmig.migrator(other, dir, { table = "pgmig_migrations" }):migrate())
      other:close()
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

  it("is not created where search_path leads to no schema, and why is said", function()
    for path, reason in pairs {
      ["''"] = "search_path is empty: name the table as schema.table",
      ["nosuch, \"No, such\""] = 'search_path is nosuch, "No, such", but none of its schemas '
        .. 'exists',
    } do
      db:exec("SET search_path = " .. path)
      assert.matches(reason, refused().hint, 1, true)
    end
  end)

  --- What a run is refused with that cannot make its tables.
  local function refused_creation(connection, table_name)
    local migrator = pgmig.migrator(connection, dir, { table = table_name })
    local ok, err = pcall(migrator.migrate, migrator)
    assert.is_false(ok)
    assert.equal("plan", err.kind)
    assert.matches("^cannot %l+ .*the tables of ", err.message)
    return err
  end

  it("that is missing from a schema that is missing says what was tried", function()
    local err = refused_creation(db, "nowhere.versions")
    assert.equal("3F000", err.sqlstate)
    assert.matches('"nowhere"."versions": schema "nowhere" does not exist', err.message, 1, true)
    assert.matches("create it, or use another one: --table", err.hint, 1, true)
  end)

  it("that a role may not create says who may let it", function()
    db:exec "REVOKE CREATE ON SCHEMA public FROM PUBLIC" -- as it is since PostgreSQL 15
    db:exec "DROP ROLE IF EXISTS weak; CREATE ROLE weak LOGIN; CREATE SCHEMA closed"
    local weak = pgmig.connect((url:gsub("user=postgres", "user=weak")))
    finally(function()
      weak:close()
      db:exec "DROP ROLE weak"
    end)
    local err = refused_creation(weak)
    assert.matches('GRANT USAGE, CREATE ON SCHEMA public TO "weak"', err.hint, 1, true)
    err = refused_creation(weak, "closed.versions")
    assert.matches('GRANT USAGE, CREATE ON SCHEMA closed TO "weak"', err.hint, 1, true)
  end)
end)

describe("the history", function()
  local url, db, dir

  before_each(function()
    url, dir = support.database(), support.tempdir()
    db = pgmig.connect(url)
    support.write(dir, "001_a.sql", "CREATE TABLE a ();")
    pgmig.migrator(db, dir):migrate()
    pgmig.migrator(db, dir):migrate()
    support.write(dir, "002_b.sql", "-- UP\nCREATE TABLE b ();\n-- DOWN\nDROP TABLE b;\n")
  end)

  after_each(function() db:close() end)

  --- As after a restore of rows, or in a database that was replicated.
  local function set_back()
    db:exec "SELECT setval(pg_get_serial_sequence('schema_migrations_history', 'id'), 1, false)"
  end

  local function events()
    return db:query [[SELECT string_agg(event, ' ' ORDER BY id) AS list
      FROM schema_migrations_history]][1].list
  end

  it("whose sequence is behind its rows gets new ones behind them all the same", function()
    set_back()
    pgmig.migrator(db, dir):migrate()
    assert.equal("up up", events())
    set_back()
    pgmig.migrator(db, dir):rollback()
    set_back()
    pgmig.migrator(db, dir):baseline(2)
    assert.equal("up up down baseline", events())
  end)

  it("whose sequence a role may not set says what its owner can do", function()
    db:exec [[DROP ROLE IF EXISTS weak; CREATE ROLE weak LOGIN;
      GRANT CREATE ON SCHEMA public TO weak; GRANT ALL ON ALL TABLES IN SCHEMA public TO weak]]
    local weak = pgmig.connect((url:gsub("user=postgres", "user=weak")))
    finally(function()
      weak:close()
      db:exec "DROP OWNED BY weak CASCADE; DROP ROLE weak"
    end)
    set_back()
    local migrator = pgmig.migrator(weak, dir)
    local ok, err = pcall(migrator.migrate, migrator)
    assert.is_false(ok)
    assert.equal("23505", err.sqlstate)
    db:exec(err.hint:match "SELECT pg_catalog%.setval.*$")
    migrator:migrate()
    assert.equal("up failed up", events())
  end)

  it("without its journal is no obstacle, and doctor says what is lost", function()
    db:exec "DROP TABLE schema_migrations_journal"
    local migrator = pgmig.migrator(db, dir)
    assert.equal(1, migrator:status().applied_count)
    assert.equal("no_journal", migrator:doctor()[1].kind)
    migrator:migrate()
    assert.same({}, migrator:doctor())
    support.write(dir, "003_off.sql", "-- pgmig: transaction=off\nVACUUM a;")
    assert.equal(1, #migrator:migrate())
  end)

  it("without the journal that would say how far a migration has come is", function()
    support.write(dir, "002_off.sql", "-- pgmig: transaction=off\nCREATE TABLE c ();\nVACUUM nix;")
    os.remove(dir .. "/002_b.sql")
    local migrator = pgmig.migrator(db, dir)
    assert.is_false(pcall(migrator.migrate, migrator))
    db:exec "DROP TABLE schema_migrations_journal"
    for _ = 1, 2 do
      local ok, err = pcall(migrator.migrate, migrator)
      assert.is_false(ok)
      assert.equal("unknown", err.kind)
      assert.matches("the progress of 002_off, no longer exists", err.message)
      assert.matches("pgmig repair 2$", err.hint)
    end
    support.write(dir, "002_off.sql", "-- pgmig: transaction=off\nVACUUM c;")
    migrator:repair(2)
    assert.equal(1, #migrator:migrate())
  end)
end)
