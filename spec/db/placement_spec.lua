-- Which tracking table is meant, where there may be several.
local pgmig = require "pgmig"
local support = require "spec.support"

describe("the tracking table's place", function()
  local url, name, dir, admin

  before_each(function()
    url = support.database()
    dir = support.tempdir()
    support.write(dir, "001_one.sql", "CREATE TABLE IF NOT EXISTS public.one AS SELECT 1 AS a;"
      .. " INSERT INTO public.one VALUES (2);")
    admin = pgmig.connect(url)
    name = admin:query "SELECT current_database()::text AS name"[1].name
  end)

  after_each(function() admin:close() end)

  local function connect(options, tracking)
    local given = { url = url }
    for key, value in pairs(options) do given[key] = value end
    local db = pgmig.connect(given)
    return pgmig.migrator(db, dir, { table = tracking }), db
  end

  local function up(options, tracking)
    local migrator, db = connect(options or {}, tracking)
    local done = migrator:migrate()
    db:close()
    return #done
  end

  -- Every command refuses, and says where a table is.
  local function check_refused(options, place)
    local migrator, db = connect(options)
    for _, method in ipairs { "status", "migrate", "rollback", "pending", "history" } do
      local ok, err = pcall(migrator[method], migrator)
      assert.is_false(ok, method)
      assert.equal("plan", err.kind)
      assert.matches(place, err.message, 1, true)
      assert.matches("--table " .. place, err.hint, 1, true)
    end
    assert.matches("--table " .. place, migrator:doctor()[1].remedy, 1, true)
    local ok, err = pcall(migrator.baseline, migrator, 1)
    assert.is_false(ok)
    assert.matches(place, err.message, 1, true)
    db:close()
    assert.equal(2, admin:query("SELECT count(*) AS n FROM public.one")[1].n)
  end

  it("is found again when a migration has changed the search_path of all", function()
    support.write(dir, "002_path.sql",
      ("CREATE SCHEMA app; ALTER DATABASE %s SET search_path = app;"):format(name))
    assert.equal(2, up())
    check_refused({}, "public.schema_migrations")
    assert.equal(0, up({}, "public.schema_migrations"))
  end)

  it("is found again by a role with a search_path of its own, or with options", function()
    up()
    admin:exec [[CREATE SCHEMA app; DROP ROLE IF EXISTS wanderer; CREATE ROLE wanderer LOGIN;
      ALTER ROLE wanderer SET search_path = app; GRANT ALL ON SCHEMA app TO wanderer]]
    check_refused({ user = "wanderer" }, "public.schema_migrations")
    check_refused({ options = "-csearch_path=app" }, "public.schema_migrations")
    check_refused({ options = "-csearch_path=" }, "public.schema_migrations")
  end)

  it("is found again by a role that may not use its schema", function()
    up()
    admin:exec [[DROP ROLE IF EXISTS barred; CREATE ROLE barred LOGIN; CREATE SCHEMA barred
      AUTHORIZATION barred; REVOKE USAGE ON SCHEMA public FROM PUBLIC]]
    check_refused({ user = "barred" }, "public.schema_migrations")
    local migrator, db = connect { user = "barred" }
    assert.matches('GRANT USAGE ON SCHEMA "public" TO "barred"',
      select(2, pcall(migrator.status, migrator)).hint, 1, true)
    db:close()
  end)

  it("is the full one where a schema that comes first has an empty one", function()
    up()
    admin:exec [[CREATE SCHEMA postgres;
      CREATE TABLE postgres.schema_migrations (LIKE public.schema_migrations INCLUDING ALL)]]
    check_refused({}, "public.schema_migrations")
    assert.equal(0, up({}, "public.schema_migrations"))
  end)

  it("may be in a schema whose name needs quotes", function()
    local schema = [[app-"1'.x]]
    local quoted = [["app-""1'.x".schema_migrations]]
    admin:exec("CREATE SCHEMA " .. admin:quote_ident(schema))
    admin:exec(([[ALTER DATABASE %s SET search_path = %s]]):format(name, admin:quote_ident(schema)))
    assert.equal(1, up())
    admin:exec(("ALTER DATABASE %s RESET search_path"):format(name))
    local migrator, db = connect {}
    local _, err = pcall(migrator.status, migrator)
    db:close()
    assert.matches(quoted, err.message, 1, true)
    local shell = io.popen((err.remedy:gsub("^pgmig", function() return "printf '%s\\n'" end)))
    assert.equal(("--table\n%s\nstatus\n"):format(quoted), shell:read "*a")
    shell:close()
    assert.equal(0, up({}, quoted))
    support.write(dir, "002_two.sql", "CREATE TABLE public.two ();")
    assert.equal(1, up({}, quoted))
  end)

  it("is where its history is, when it was dropped", function()
    up()
    admin:exec "CREATE SCHEMA app; DROP TABLE schema_migrations"
    check_refused({ options = "-csearch_path=app" }, "public.schema_migrations")
  end)

  it("may be a new one, when that is said", function()
    up()
    admin:exec "CREATE SCHEMA app"
    assert.equal(1, up({ options = "-csearch_path=app" }, "app.schema_migrations"))
    assert.equal(0, up { options = "-csearch_path=app" })
    assert.equal(0, up {})
  end)

  it("is not another program's, nor a copy that the search_path does not find", function()
    admin:exec [[CREATE SCHEMA rails; CREATE SCHEMA backup;
      CREATE TABLE rails.schema_migrations (version varchar PRIMARY KEY);
      CREATE TEMP TABLE schema_migrations (version int PRIMARY KEY, name text, applied_at
        timestamptz)]]
    assert.equal(1, up())
    admin:exec "CREATE TABLE backup.schema_migrations AS TABLE public.schema_migrations"
    assert.equal(0, up())
    assert.equal(1, #pgmig.migrator(admin, dir):applied())
  end)

  it("counts for the table of another tool, too", function()
    admin:exec [[CREATE SCHEMA app; CREATE TABLE app.schema_migrations (version varchar
      PRIMARY KEY); INSERT INTO app.schema_migrations VALUES ('20240101000000')]]
    local folder = support.tempdir()
    support.write(folder, "20240101000000_a.sql",
      "-- migrate:up\nCREATE TABLE a ();\n-- migrate:down\nDROP TABLE a;\n")
    local migrator = pgmig.migrator(admin, folder, { format = "dbmate" })
    local ok, err = pcall(migrator.migrate, migrator)
    assert.is_false(ok)
    assert.matches("app.schema_migrations", err.message, 1, true)
    ok, err = pcall(migrator.adopt, migrator, { dry_run = true })
    assert.is_false(ok)
    assert.matches("--from-table app.schema_migrations", err.hint, 1, true)
    assert.equal(1, #migrator:adopt { from_table = "app.schema_migrations" })
  end)
end)
