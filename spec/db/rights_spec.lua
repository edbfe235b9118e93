-- Whose rights the bookkeeping has, and what it may see.
local pgmig = require "pgmig"
local support = require "spec.support"

describe("the bookkeeping", function()
  local url, db, dir

  before_each(function()
    url = support.database()
    db = pgmig.connect(url)
    dir = support.tempdir()
    db:exec [[
      DO $$ BEGIN CREATE ROLE builder; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
      CREATE SCHEMA app; GRANT ALL ON SCHEMA app TO builder]]
  end)

  after_each(function() db:close() end)

  local function owner(name)
    return db:query("SELECT relowner::regrole::text AS name FROM pg_class WHERE oid = $1::regclass",
      name)[1].name
  end

  local switches = {
    "SET ROLE builder", "SET SESSION AUTHORIZATION builder",
    "SELECT set_config('role', 'builder', false)",
    "VALUES (set_config('session_authorization', 'builder', false))",
    "SET ROLE builder; SET row_security = off",
  }
  local local_switches = {
    "SET LOCAL ROLE builder", "SET LOCAL SESSION AUTHORIZATION builder",
    "SELECT set_config('role', 'builder', true)",
  }

  local function check_applied(versions)
    local rows = db:query "SELECT count(*) AS n FROM schema_migrations"
    assert.equal(versions, rows[1].n)
    assert.same({ { n = versions } }, db:query(
      "SELECT count(*) AS n FROM schema_migrations_history WHERE db_user = session_user"))
  end

  for _, list in ipairs { switches, local_switches } do
    for _, switch in ipairs(list) do
      it("has its own rights in a transaction behind " .. switch, function()
        support.write(dir, "001_one.sql",
          ("-- UP\n%s; CREATE TABLE app.one ();\n-- DOWN\n%s; DROP TABLE app.one;")
          :format(switch, switch))
        support.write(dir, "002_two.sql", "-- UP\nCREATE TABLE two ();\n-- DOWN\nDROP TABLE two;")
        local migrator = pgmig.migrator(db, dir)
        migrator:migrate()
        check_applied(2)
        assert.same({ "builder", "postgres" }, { owner "app.one", owner "two" })
        migrator:rollback(2)
        assert.equal(0, #migrator:applied())
      end)
    end
  end

  for _, switch in ipairs(switches) do
    it("has its own rights without a transaction behind " .. switch, function()
      support.write(dir, "001_one.sql", "-- pgmig: transaction=off\n" .. switch .. [[;
        CREATE TABLE app.shared (a int);
        CREATE INDEX CONCURRENTLY alone ON app.shared (a);
        BEGIN; CREATE TABLE app.grouped (); COMMIT;
        CREATE TABLE app.behind AS SELECT current_user::text AS who,
          current_setting('row_security') AS rls;
        RESET SESSION AUTHORIZATION; RESET ROLE; CREATE TABLE app.own ();]])
      pgmig.migrator(db, dir):migrate()
      check_applied(1)
      for _, name in ipairs { "shared", "alone", "grouped", "behind" } do
        assert.equal("builder", owner("app." .. name))
      end
      assert.equal("postgres", owner "app.own")
      assert.same({ who = "builder", rls = switch:find "row_security" and "off" or "on" },
        db:query "SELECT * FROM app.behind"[1])
    end)
  end

  it("leaves the file's deferred triggers the file's rights", function()
    db:exec [[
      CREATE TABLE app.log (who text); GRANT ALL ON ALL TABLES IN SCHEMA app TO builder;
      CREATE FUNCTION app.note() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN INSERT INTO app.log VALUES (current_user); RETURN NULL; END']]
    support.write(dir, "001_one.sql", [[-- pgmig: transaction=off
      SET ROLE builder;
      CREATE TABLE app.t (a int);
      CREATE CONSTRAINT TRIGGER c AFTER INSERT ON app.t DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE PROCEDURE app.note();
      INSERT INTO app.t VALUES (1);
      BEGIN; INSERT INTO app.t VALUES (2); COMMIT;]])
    pgmig.migrator(db, dir):migrate()
    assert.same({ { who = "builder" }, { who = "builder" } }, db:query "SELECT who FROM app.log")
  end)
end)

describe("row-level security on the bookkeeping's tables", function()
  local url, dir, admin, db, migrator

  before_each(function()
    url, dir = support.database(), support.tempdir()
    support.write(dir, "001_one.sql", "CREATE TABLE IF NOT EXISTS one ();")
    admin = pgmig.connect(url)
    admin:exec [[
      DROP ROLE IF EXISTS keeper; DROP ROLE IF EXISTS guest;
      CREATE ROLE keeper LOGIN; CREATE ROLE guest LOGIN NOINHERIT IN ROLE keeper;
      GRANT ALL ON SCHEMA public TO keeper, guest]]
    db = pgmig.connect { url = url, user = "keeper" }
    migrator = pgmig.migrator(db, dir)
    migrator:migrate()
    admin:exec [[
      GRANT ALL ON ALL TABLES IN SCHEMA public TO guest;
      GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO guest]]
  end)

  after_each(function()
    db:close()
    admin:exec "DROP OWNED BY keeper, guest CASCADE; DROP ROLE keeper, guest"
    admin:close()
  end)

  --- @param remedy what doctor's command is about; nil: it has none
  local function check_refused(who, remedy)
    for _, method in ipairs { "status", "pending", "migrate", "rollback", "history", "baseline" } do
      local ok, err = pcall(who[method], who, method == "baseline" and 1 or nil)
      assert.is_false(ok, method)
      assert.matches("row%-level security", err.message)
      assert.matches("BYPASSRLS", err.hint)
    end
    local finding = who:doctor()[1]
    assert.equal("unclear_table", finding.kind)
    assert.equal(remedy, finding.remedy)
  end

  local function as_guest(fn)
    local guest = pgmig.connect { url = url, user = "guest" }
    local ok, err = pcall(fn, pgmig.migrator(guest, dir))
    guest:close()
    if not ok then error(err, 0) end
  end

  for _, name in ipairs { "schema_migrations", "schema_migrations_history",
    "schema_migrations_journal" } do
    it("is said where it may hide rows of " .. name, function()
      admin:exec(("ALTER TABLE %s ENABLE ROW LEVEL SECURITY"):format(name))
      assert.equal(1, migrator:status().applied_count) -- the owner sees all
      as_guest(check_refused)
      admin:exec(("ALTER TABLE %s FORCE ROW LEVEL SECURITY"):format(name))
      check_refused(migrator, [[psql "$DATABASE_URL" -c 'ALTER TABLE ]] .. name
        .. [[ NO FORCE ROW LEVEL SECURITY']])
      local owner = url:gsub("user=postgres", "user=keeper")
      local code, out, problem = support.run(("export DATABASE_URL=%s; %s"):format(
        support.quote(owner), migrator:doctor()[1].remedy))
      assert.equal(0, code, out .. problem)
      assert.equal(1, migrator:status().applied_count)
    end)
  end

  it("is named where a policy lets rows be seen, and not be taken away", function()
    support.write(dir, "001_one.sql",
      "-- UP\nCREATE TABLE IF NOT EXISTS one ();\n-- DOWN\nDROP TABLE one;")
    migrator:repair(1)
    admin:exec [[ALTER TABLE schema_migrations ENABLE ROW LEVEL SECURITY;
      ALTER TABLE schema_migrations FORCE ROW LEVEL SECURITY;
      CREATE POLICY seen ON schema_migrations FOR SELECT USING (true)]]
    local ok, err = pcall(migrator.rollback, migrator)
    assert.is_false(ok)
    assert.matches("row%-level security", err.hint)
    assert.equal(1, migrator:status().applied_count)
  end)

  it("is no matter where a policy shows everything", function()
    admin:exec [[ALTER TABLE schema_migrations ENABLE ROW LEVEL SECURITY;
      CREATE POLICY all_of_it ON schema_migrations USING (true)]]
    as_guest(function(guest) assert.equal(1, guest:status().applied_count) end)
    admin:exec "CREATE POLICY less ON schema_migrations AS RESTRICTIVE USING (version > 5)"
    as_guest(check_refused)
    admin:exec [[DROP POLICY less ON schema_migrations;
      ALTER POLICY all_of_it ON schema_migrations TO keeper]]
    as_guest(check_refused)
  end)
end)
