-- What a migration finds in its session, and what it leaves there.
local pgbouncer = require "spec.faults.pgbouncer"
local pgmig = require "pgmig"
local support = require "spec.support"

-- Changes all of a session that a function can, whatever statement calls it.
local MEDDLE = [[
CREATE SCHEMA other;
CREATE TABLE public.calls (note text);
CREATE FUNCTION public.meddle() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_catalog.set_config('search_path', 'other', false);
  PERFORM pg_catalog.set_config('timezone', 'Asia/Tokyo', false);
  PERFORM pg_catalog.pg_advisory_lock(7);
  PERFORM pg_catalog.pg_advisory_lock(7);
  EXECUTE 'CREATE TEMP TABLE stage (a int)';
  EXECUTE 'CREATE FUNCTION pg_temp.clean() RETURNS int LANGUAGE sql AS ''SELECT 1''';
  EXECUTE 'PREPARE p AS SELECT 1';
  EXECUTE 'LISTEN news';
  EXECUTE 'CREATE TEMP SEQUENCE numbers';
  PERFORM pg_catalog.setval('public.kept', 5);
  PERFORM pg_catalog.set_config('role', 'meddler', false);
  RETURN 'x';
END $$;
CREATE SEQUENCE public.kept;
GRANT ALL ON SCHEMA other, public TO meddler;
GRANT ALL ON ALL TABLES IN SCHEMA public TO meddler;]]

-- What the session has, as one row.
local LOOK = [[
  current_user::text AS who, current_setting('search_path') AS path,
  current_setting('timezone') AS zone, current_setting('app.tenant', true) AS tenant,
  (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()
    AND relkind IN ('r', 'S')) AS temporary,
  (SELECT count(*) FROM pg_proc WHERE pronamespace = pg_my_temp_schema()) AS functions,
  (SELECT count(*) FROM pg_prepared_statements) AS prepared,
  (SELECT count(*) FROM pg_listening_channels()) AS channels,
  (SELECT count(*) FROM pg_cursors WHERE is_holdable) AS cursors,
  (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()) AS locks]]

local callers = {
  ["an INSERT"] = "INSERT INTO calls VALUES (meddle());",
  ["VALUES"] = "VALUES (meddle());",
  ["CREATE TABLE AS"] = "CREATE TABLE made AS SELECT meddle();",
  ["a default"] = "ALTER TABLE calls ALTER note SET DEFAULT meddle();"
    .. " INSERT INTO calls DEFAULT VALUES;",
  ["COPY"] = "ALTER TABLE calls ADD n int, ALTER note SET DEFAULT meddle();\n"
    .. "COPY calls (n) FROM STDIN;\n1\n\\.\n",
  ["COPY TO STDOUT"] = "COPY (SELECT meddle()) TO STDOUT;",
  ["DO"] = "DO $$ BEGIN PERFORM meddle(); END $$;",
  ["a view's rule"] = "CREATE VIEW v AS SELECT 1 AS a;"
    .. " CREATE RULE r AS ON UPDATE TO v DO INSTEAD SELECT meddle(); UPDATE v SET a = 2;",
  ["a deferred trigger"] = [[
CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN PERFORM public.meddle(); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER c AFTER INSERT ON calls DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE PROCEDURE t();
INSERT INTO calls VALUES ('y');]],
  ["an event trigger"] = [[
CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS
  'BEGIN IF tg_tag = ''COMMENT'' THEN PERFORM public.meddle(); END IF; END';
CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE PROCEDURE e();
COMMENT ON TABLE calls IS 'x';]],
  ["statements of its own"] = "SET search_path = other; SET SESSION AUTHORIZATION meddler;"
    .. " DECLARE c CURSOR WITH HOLD FOR SELECT 1; CREATE TABLE pg_temp.t ();",
}

describe("a migration's session", function()
  local url, db, dir

  before_each(function()
    url = support.database()
    db = pgmig.connect(url)
    dir = support.tempdir()
    db:exec "DO $$ BEGIN CREATE ROLE meddler; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
  end)

  after_each(function() db:close() end)

  local function look() return db:query("SELECT " .. LOOK)[1] end

  local function migrate(options)
    return pgmig.migrator(db, dir, options):migrate()
  end

  -- What a migration behind one that has meddled finds.
  local function found_behind(statement, options)
    support.write(dir, "001_functions.sql", MEDDLE)
    support.write(dir, "002_meddles.sql", statement)
    support.write(dir, "003_looks.sql", "CREATE TABLE public.seen AS SELECT " .. LOOK .. ";")
    migrate(options)
    return db:query("SELECT * FROM public.seen")[1]
  end

  for name, statement in pairs(callers) do
    it("is clean behind " .. name .. ", sent ahead or not, and at the end", function()
      local before = look()
      assert.same(before, found_behind(statement))
      assert.same(before, look())
    end)
  end

  it("is clean where each request waits, and behind a migration that failed", function()
    local before = look()
    assert.same(before, found_behind(callers["an INSERT"], { pipeline = false }))
    support.write(dir, "004_fails.sql", "INSERT INTO calls VALUES (meddle()); SELECT 1/0;")
    assert.is_false(pcall(migrate))
    assert.same(before, look())
    assert.is_false(pcall(db.query, db, "SELECT currval('public.kept')"))
  end)

  it("is clean behind a migration without a transaction, finished or not", function()
    local before = look()
    assert.same(before, found_behind("-- pgmig: transaction=off\n" .. callers["an INSERT"]))
    support.write(dir, "004_fails.sql",
      "-- pgmig: transaction=off\nINSERT INTO calls VALUES (meddle()); SELECT 1/0;")
    assert.is_false(pcall(migrate))
    assert.same(before, look())
  end)

  local function meddle_by_trigger(name)
    return ([[CREATE TRIGGER meddles AFTER INSERT ON %s FOR EACH ROW
      EXECUTE PROCEDURE public.by_trigger();]]):format(name)
  end

  for _, pipeline in ipairs { true, false } do
    it("is clean behind triggers of the bookkeeping's tables, pipeline "
      .. tostring(pipeline), function()
      local before = look()
      support.write(dir, "001_functions.sql", MEDDLE .. [[
        CREATE FUNCTION public.by_trigger() RETURNS trigger LANGUAGE plpgsql AS
          'BEGIN PERFORM public.meddle(); RETURN NULL; END';]])
      migrate { pipeline = pipeline }
      db:exec(meddle_by_trigger "schema_migrations")
      db:exec(meddle_by_trigger "schema_migrations_history")
      support.write(dir, "002_looks.sql", "CREATE TABLE public.two AS SELECT " .. LOOK .. ";")
      support.write(dir, "003_looks.sql", "CREATE TABLE public.three AS SELECT " .. LOOK .. ";")
      support.write(dir, "004_off.sql", "-- pgmig: transaction=off\nCREATE TABLE public.four ();")
      migrate { pipeline = pipeline }
      assert.same(before, db:query "SELECT * FROM public.two"[1])
      assert.same(before, db:query "SELECT * FROM public.three"[1])
      assert.same(before, look())
    end)
  end

  it("is clean behind triggers that a migration of the run has put on them", function()
    local before = look()
    support.write(dir, "001_triggers.sql", MEDDLE .. [[
      CREATE FUNCTION public.by_trigger() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM public.meddle(); RETURN NULL; END';]]
      .. meddle_by_trigger "schema_migrations" .. meddle_by_trigger "schema_migrations_history")
    support.write(dir, "002_looks.sql", "CREATE TABLE public.two AS SELECT " .. LOOK .. ";")
    support.write(dir, "003_looks.sql", "CREATE TABLE public.three AS SELECT " .. LOOK .. ";")
    migrate()
    assert.same(before, db:query "SELECT * FROM public.two"[1])
    assert.same(before, db:query "SELECT * FROM public.three"[1])
    assert.same(before, look())
  end)

  it("is clean behind event triggers that the bookkeeping's own tables set off", function()
    db:exec [[
      CREATE SCHEMA other;
      CREATE FUNCTION public.by_event() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
        PERFORM set_config('search_path', 'other', false), pg_advisory_lock(7);
        PERFORM set_config('timezone', 'Asia/Tokyo', false); END $$;
      CREATE EVENT TRIGGER meddles ON ddl_command_end WHEN tag IN ('ALTER TABLE')
        EXECUTE PROCEDURE public.by_event()]]
    local before = look()
    support.write(dir, "001_looks.sql", "CREATE TABLE public.seen AS SELECT " .. LOOK .. ";")
    migrate()
    assert.same(before, db:query "SELECT * FROM public.seen"[1])
    assert.same(before, look())
  end)

  -- Gives the session what a caller, a pooler or a hook may have given it.
  local function furnish(connection)
    connection:exec [[
      SET search_path = app, public; SET "timezone" = 'Asia/Tokyo'; SET app.tenant = '7';
      CREATE TEMP TABLE mine (); PREPARE mine AS SELECT 1; LISTEN mine;
      DECLARE mine CURSOR WITH HOLD FOR SELECT 1; SELECT pg_advisory_lock(3); SET ROLE meddler]]
  end

  local function write_two()
    db:exec [[CREATE SCHEMA app; GRANT ALL ON SCHEMA app, public TO meddler;
      ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO meddler;
      ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO meddler]]
    support.write(dir, "001_one.sql", "CREATE TABLE one AS SELECT " .. LOOK
      .. "; SET search_path = public; SET app.tenant = '8'; RESET ROLE; PREPARE other AS SELECT 1;")
    support.write(dir, "002_two.sql", "CREATE TABLE two AS SELECT " .. LOOK .. ";")
  end

  local function check_kept(expected)
    assert.same(expected, db:query("SELECT * FROM app.one")[1])
    assert.same(expected, db:query("SELECT * FROM app.two")[1])
    assert.same(expected, look())
  end

  it("keeps what the caller had given it", function()
    write_two()
    furnish(db)
    local before = look()
    assert.equal("meddler", before.who)
    migrate()
    check_kept(before)
    db:exec "EXECUTE mine; FETCH mine; SELECT * FROM mine"
  end)

  it("keeps what before_all has given it", function()
    write_two()
    local before
    migrate { hooks = { before_all = function(ctx)
      furnish(ctx.db)
      before = look()
    end } }
    check_kept(before)
  end)

  it("has the settings and the role on a new connection, too", function()
    write_two()
    local admin, seen = pgmig.connect(url), {}
    migrate {
      hooks = {
        before_all = function(ctx)
          ctx.db:exec "SET search_path = app, public; SET app.tenant = '7'; SET ROLE meddler"
        end,
        committed = function(ctx)
          seen[#seen + 1] = ctx.db:backend_pid()
          admin:query("SELECT pg_terminate_backend($1::int4)", ctx.db:backend_pid())
        end,
      },
    }
    admin:close()
    assert.equal(2, #seen)
    assert.not_equal(seen[1], seen[2])
    db = pgmig.connect(url)
    for _, name in ipairs { "one", "two" } do
      local row = db:query(("SELECT who, path, tenant FROM app.%s"):format(name))[1]
      assert.same({ who = "meddler", path = "app, public", tenant = "7" }, row)
    end
  end)

  it("keeps what a pooler begins with, and leaves its clients nothing", function()
    local pooler = pgbouncer.start(3, { connect_query = "SET search_path = app, public" })
    db:exec "CREATE SCHEMA app"
    support.write(dir, "001_functions.sql", MEDDLE)
    support.write(dir, "002_meddles.sql",
      "INSERT INTO calls VALUES (meddle()); PREPARE two AS SELECT 2;")
    support.write(dir, "003_looks.sql", "CREATE TABLE seen AS SELECT " .. LOOK .. ";")
    local name = db:query "SELECT current_database()::text AS name"[1].name
    local client = pgmig.connect(pooler.url(name))
    local before = client:query("SELECT " .. LOOK)[1]
    assert.equal("app, public", before.path)
    pgmig.migrator(client, dir):migrate()
    for _ = 1, 5 do assert.same(before, client:query("SELECT " .. LOOK)[1]) end
    client:close()
    pooler.stop()
    assert.same(before, db:query("SELECT * FROM app.seen")[1])
  end)

  it("keeps its encoding through a pooler, in a database that has another one", function()
    local name = url:match "/(spec_%d+)" .. "_latin1"
    db:exec(("CREATE DATABASE %s ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' "
      .. "TEMPLATE template0"):format(name))
    local pool = pgbouncer.start(2)
    local client = pgmig.connect(pool.url(name))
    for i = 1, 2 do
      support.write(dir, ("00%d_\195\169.sql"):format(i),
        ("CREATE TABLE t%d AS SELECT '\195\169'::text AS a;"):format(i))
    end
    local migrator = pgmig.migrator(client, dir)
    migrator:migrate()
    assert.same({}, migrator:doctor())
    client:close()
    pool.stop()
    local direct = pgmig.connect((url:gsub("/spec_%d+", "/" .. name)))
    for i = 1, 2 do
      assert.equal("\195\169", direct:query(("SELECT a FROM t%d"):format(i))[1].a)
    end
    direct:close()
    db:exec("DROP DATABASE " .. name)
  end)

  it("has the role that the login role begins with", function()
    db:exec [[DROP ROLE IF EXISTS deployer; CREATE ROLE deployer LOGIN IN ROLE meddler;
      ALTER ROLE deployer SET role = meddler; GRANT ALL ON SCHEMA public TO meddler]]
    support.write(dir, "001_one.sql", "RESET ROLE; SET ROLE NONE; CREATE TEMP TABLE t ();")
    support.write(dir, "002_two.sql", "CREATE TABLE two AS SELECT current_user::text AS who;")
    local deployer = pgmig.connect { url = url, user = "deployer" }
    pgmig.migrator(deployer, dir):migrate()
    deployer:close()
    assert.equal("meddler", db:query("SELECT who FROM two")[1].who)
  end)
end)
