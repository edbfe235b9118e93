-- Tables of the bookkeeping that somebody else has made first, or hung something on: what they do
-- would be done with the rights of whoever migrates.
local history = require "spec.support.history"
local pgmig = require "pgmig"
local support = require "spec.support"

describe("a table that somebody else has planted", function()
  local url, db, mallory, dir

  before_each(function()
    url, dir = support.database(), support.tempdir()
    db = pgmig.connect(url)
    db:exec [[
      CREATE ROLE mallory LOGIN; CREATE ROLE deploy LOGIN; CREATE ROLE deployers;
      GRANT ALL ON SCHEMA public TO mallory, deploy;
      CREATE SEQUENCE stolen; GRANT ALL ON stolen TO PUBLIC]]
    mallory = pgmig.connect(url:gsub("user=postgres", "user=mallory"))
    mallory:exec [[
      CREATE FUNCTION steal() RETURNS bool LANGUAGE plpgsql AS
        $$ BEGIN PERFORM nextval('public.stolen'); RETURN true; END $$;
      CREATE FUNCTION steal_row() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM nextval('public.stolen'); RETURN coalesce(new, old); END $$]]
    support.write(dir, "001_a.sql", "-- UP\nCREATE TABLE a ();\n-- DOWN\nDROP TABLE a;\n")
  end)

  after_each(function()
    mallory:close()
    db:exec [[
      DROP OWNED BY mallory, deploy, deployers CASCADE; DROP ROLE mallory, deploy, deployers]]
    db:close()
  end)

  local TRACKING = "CREATE TABLE schema_migrations (version int PRIMARY KEY, name text NOT NULL, "
    .. "applied_at timestamptz NOT NULL DEFAULT now());"
  local GRANTED = ";GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC"

  local function stolen() return db:query("SELECT is_called AS v FROM stolen")[1].v end

  --- No command runs anything of what is planted; the first says what is wrong.
  local function refused(message, options, as)
    local m = pgmig.migrator(as or db, dir, options)
    local err = history.fails(m.migrate, m)
    assert.same({ "plan", false }, { err.kind, stolen() }, message)
    assert.matches(message, err.message)
    for _, method in ipairs { "status", "history", "rollback", "repair", "adopt", "doctor" } do
      pcall(m[method], m)
    end
    assert.is_false(stolen(), message)
    assert.is_nil(db:query("SELECT to_regclass('public.a')::text AS v")[1].v)
    return err
  end

  --- The history and the journal that a run makes, without what it does.
  local function make_tables()
    support.write(dir, "000_first.sql", "-- UP\nSELECT 1;\n-- DOWN\n-- pgmig: empty\n")
    pgmig.migrator(db, dir):migrate(0)
  end

  it("is not used, whatever hangs on it, and whoever migrates", function()
    local deploy = pgmig.connect(url:gsub("user=postgres", "user=deploy"))
    for _, made in ipairs {
      "CREATE TRIGGER t BEFORE INSERT ON schema_migrations FOR EACH ROW "
        .. "EXECUTE PROCEDURE steal_row()",
      "CREATE TRIGGER t BEFORE INSERT ON schema_migrations EXECUTE PROCEDURE steal_row()",
      "ALTER TABLE schema_migrations ALTER applied_at SET DEFAULT CASE WHEN steal() THEN now() END",
      "ALTER TABLE schema_migrations ADD CHECK (steal())",
      "CREATE RULE r AS ON INSERT TO schema_migrations DO ALSO SELECT steal()",
      "CREATE INDEX ON schema_migrations ((name IS NULL)) WHERE version > 0",
      "ALTER TABLE schema_migrations ENABLE ROW LEVEL SECURITY; "
        .. "CREATE POLICY p ON schema_migrations USING (steal())",
    } do
      mallory:exec(TRACKING .. made .. GRANTED)
      refused("table public.schema_migrations belongs to the role mallory")
      assert.is_string(refused("belongs to the role mallory", nil, deploy).hint)
      mallory:exec "DROP TABLE schema_migrations"
    end
    deploy:close()
  end)

  it("is not used as one of the tables beside it either", function()
    for _, name in ipairs { "history", "journal", "run_journal" } do
      mallory:exec(("CREATE TABLE schema_migrations_%s (format int DEFAULT 1, CHECK (steal()))")
        :format(name) .. GRANTED)
      refused(("table public.schema_migrations_%s belongs to the role mallory"):format(name))
      mallory:exec(("DROP TABLE schema_migrations_%s"):format(name))
    end
  end)

  it("is not used when it is no table, or none that lasts", function()
    mallory:exec [[CREATE VIEW schema_migrations AS
      SELECT 1 AS version, 'a'::text AS name, now() AS applied_at WHERE steal();
      GRANT SELECT ON schema_migrations TO PUBLIC]]
    refused "schema_migrations"
    mallory:exec "DROP VIEW schema_migrations"
    db:exec("CREATE UNLOGGED" .. TRACKING:match "CREATE( .*)")
    refused "public.schema_migrations is an unlogged table"
  end)

  it("of another tool is neither read nor used in place", function()
    dir = support.tempdir()
    history.write(dir, { ["1_a.sql"] = "-- +goose Up\nCREATE TABLE a ();\n" })
    local granted = ";GRANT ALL ON goose_db_version TO PUBLIC"
    local columns = "1 AS id, 1::bigint AS version_id, true AS is_applied, "
      .. "localtimestamp AS tstamp"
    mallory:exec("CREATE VIEW goose_db_version AS SELECT " .. columns .. " WHERE steal()"
      .. granted)
    refused("public.goose_db_version is a view", { format = "goose" })
    mallory:exec("DROP VIEW goose_db_version; CREATE TABLE goose_db_version AS SELECT " .. columns
      .. "; CREATE TRIGGER t BEFORE INSERT ON goose_db_version EXECUTE PROCEDURE steal_row()"
      .. granted)
    refused("table public.goose_db_version belongs to the role mallory", { format = "goose" })
    refused("table public.goose_db_version belongs to the role mallory",
      { format = "goose", shared = true })
  end)

  it("is not used because its owner has made the migrator a member of a role", function()
    db:exec [[CREATE ROLE gang; GRANT gang TO mallory WITH ADMIN OPTION;
      GRANT ALL ON SCHEMA public TO gang]]
    mallory:exec("GRANT gang TO deploy; SET ROLE gang;" .. TRACKING .. GRANTED)
    local deploy = pgmig.connect(url:gsub("user=postgres", "user=deploy"))
    refused("table public.schema_migrations belongs to the role gang", nil, deploy)
    deploy:close()
    db:exec "DROP OWNED BY gang CASCADE; DROP ROLE gang"
  end)

  it("is one's own with a stranger's function on it", function()
    make_tables()
    db:exec "GRANT TRIGGER ON schema_migrations_history TO mallory"
    mallory:exec [[CREATE TRIGGER t AFTER INSERT ON schema_migrations_history
      FOR EACH ROW EXECUTE PROCEDURE steal_row()]]
    local err = refused "table public.schema_migrations_history uses function steal_row%(%), "
    assert.matches("which belongs to the role mallory", err.message)
    db:exec [[DROP TRIGGER t ON schema_migrations_history;
      ALTER TABLE schema_migrations ADD CHECK (steal()) NOT VALID]]
    refused "table public.schema_migrations uses function steal%(%)"
  end)

  it("is one's own with a rule on it", function()
    make_tables()
    db:exec [[CREATE RULE undo AS ON INSERT TO schema_migrations_history
      DO ALSO DELETE FROM schema_migrations WHERE version = NEW.version]]
    refused "table public.schema_migrations_history has a rule, undo"
  end)

  it("is used when it is the database owner's, a role's of one's own, or a superuser's", function()
    local deploy = pgmig.connect(url:gsub("user=postgres", "user=deploy"))
    local name = db:query("SELECT current_database() AS v")[1].v
    for _, change in ipairs {
      "ALTER DATABASE " .. name .. " OWNER TO mallory",
      "GRANT deployers TO deploy; ALTER TABLE schema_migrations OWNER TO deployers",
      "ALTER TABLE schema_migrations OWNER TO postgres",
    } do
      mallory:exec(TRACKING .. GRANTED)
      db:exec(change)
      assert.equal(1, #pgmig.migrator(deploy, dir):migrate(), change)
      deploy:exec "DROP TABLE a"
      db:exec(("ALTER DATABASE %s OWNER TO postgres; DROP TABLE schema_migrations; "):format(name)
        .. "DROP TABLE schema_migrations_history, schema_migrations_journal, "
        .. "schema_migrations_run_journal")
    end
    deploy:close()
  end)

  it("may be read by who may only read", function()
    local deploy = pgmig.connect(url:gsub("user=postgres", "user=deploy"))
    mallory:exec(TRACKING .. "INSERT INTO schema_migrations VALUES (1, 'a');"
      .. "GRANT SELECT ON schema_migrations TO deploy")
    assert.equal(1, pgmig.migrator(deploy, dir):status().applied_count)
    deploy:close()
  end)

  it("in pg_temp is passed over", function()
    db:exec("SET search_path = pg_temp, public; CREATE TEMP TABLE schema_migrations (a int)")
    assert.equal(1, #pgmig.migrator(db, dir):migrate())
    assert.equal(1, db:query("SELECT count(*) AS n FROM public.schema_migrations")[1].n)
    assert.equal(1, pgmig.migrator(db, dir):status().applied_count)
    assert.is_false(pcall(pgmig.migrator, db, dir, { table = "pg_temp.schema_migrations" }))
  end)
end)

describe("a row that is undone behind its proof", function()
  it("is noticed before COMMIT", function()
    local db, dir = pgmig.connect(support.database()), support.tempdir()
    for _, when in ipairs { "NOT DEFERRABLE", "DEFERRABLE INITIALLY DEFERRED" } do
      for _, table_name in ipairs { "schema_migrations", "schema_migrations_history" } do
        support.write(dir, "001_a.sql", "-- UP\nCREATE TABLE a ();\n")
        pgmig.migrator(db, dir):migrate(1)
        db:exec(([[
          CREATE OR REPLACE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN DELETE FROM public.schema_migrations WHERE version > 1; RETURN NULL; END $$;
          CREATE CONSTRAINT TRIGGER t AFTER INSERT ON %s %s FOR EACH ROW EXECUTE PROCEDURE undo()]])
          :format(table_name, when))
        for _, transaction in ipairs { "on", "off" } do
          support.write(dir, "002_b.sql",
            ("-- pgmig: transaction=%s\nCREATE TABLE IF NOT EXISTS b ();\n"):format(transaction))
          local m = pgmig.migrator(db, dir)
          local err = history.fails(m.migrate, m)
          assert.matches("tracking row", err.message)
          assert.equal(1, m:status().applied_count)
        end
        db:exec "DROP SCHEMA public CASCADE; CREATE SCHEMA public"
      end
    end
    db:close()
  end)

  local undo = [[CREATE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS
    $f$ BEGIN EXECUTE format('DELETE FROM %%s WHERE version > %d',
      replace(TG_RELID::regclass::text, '_history', '')); RETURN NULL; END $f$;]]
  local puts = {
    ["by name"] = "CREATE TRIGGER t AFTER INSERT ON schema_migrations_history FOR EACH ROW "
      .. "EXECUTE PROCEDURE undo();",
    ["on every table"] = [[DO $$ DECLARE r regclass; BEGIN
      FOR r IN SELECT oid FROM pg_class WHERE relname ~ 'history$' LOOP EXECUTE format(
        'CREATE TRIGGER t AFTER INSERT ON %s FOR EACH ROW EXECUTE PROCEDURE undo()', r);
      END LOOP; END $$;]],
    ["by a rule"] = "CREATE RULE r AS ON INSERT TO schema_migrations_history DO ALSO "
      .. "DELETE FROM public.schema_migrations WHERE version > %d;",
  }
  for how, put in pairs(puts) do
    it("is noticed in the run that has brought that about, " .. how, function()
      local db, dir = pgmig.connect(support.database()), support.tempdir()
      for _, kept in ipairs { 1, 2 } do
        for _, options in ipairs { {}, { pipeline = false } } do
          support.write(dir, "001_a.sql", "CREATE TABLE a ();\n")
          support.write(dir, "002_b.sql", undo:format(kept) .. put:gsub("%%d", kept))
          support.write(dir, "003_c.sql", "CREATE TABLE c ();\n")
          support.write(dir, "004_d.sql", "CREATE TABLE d ();\n")
          local m = pgmig.migrator(db, dir, options)
          local err = history.fails(m.migrate, m)
          assert.matches("tracking row", err.message)
          assert.equal(kept, db:query("SELECT count(*) AS n FROM schema_migrations")[1].n)
          db:exec "DROP SCHEMA public CASCADE; CREATE SCHEMA public"
        end
      end
      db:close()
    end)
  end
end)
