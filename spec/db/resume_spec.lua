-- transaction=off going on in another session: it has what the first one had, as the server tells,
-- or the run says what is missing.
local pgbouncer = require "spec.faults.pgbouncer"
local pgmig = require "pgmig"
local support = require "spec.support"

describe("a session that goes on where another one has stopped", function()
  local url, name, db, dir

  before_each(function()
    url, dir = support.database(), support.tempdir()
    name = url:match "/(spec_%d+)"
    db = pgmig.connect(url)
    db:exec [[CREATE SCHEMA app; CREATE TABLE gate (n int); INSERT INTO gate VALUES (0);
      CREATE TABLE seen (what text);
      CREATE FUNCTION path(p text, is_local boolean) RETURNS text LANGUAGE sql AS
        $$ SELECT set_config('search_path', p, is_local) $$]]
  end)

  after_each(function() db:close() end)

  --- Migrate: `first`, then what fails until the gate is open, then `rest`.
  local function write(first, rest)
    support.write(dir, "001_off.sql", ("-- UP\n-- pgmig: transaction=off\n%s\n"
      .. "SELECT 1/n FROM public.gate;\n%s\n"):format(first, rest))
  end

  local function run(through)
    local other = pgmig.connect(through or url)
    local migrator = pgmig.migrator(other, dir, { retries = 0 })
    local ok, err = pcall(migrator.migrate, migrator)
    other:close()
    return ok, err
  end

  local function stop(through)
    local ok, err = run(through)
    assert.is_false(ok)
    assert.equal("22012", err.sqlstate)
    db:exec "UPDATE gate SET n = 1"
  end

  local function go_on(through)
    local ok, err = run(through)
    assert.is_true(ok, tostring(err))
  end

  local function value(sql) return db:query("SELECT " .. sql .. " AS v")[1].v end

  local paths = {
    ["SET"] = { "SET search_path = app;", "app" },
    ["set_config"] = { "SELECT set_config('search_path', 'app', false);", "app" },
    ["a function"] = { "SELECT path('app', false);", "app" },
    ["DO"] = { "DO $$ BEGIN PERFORM path('app', false); END $$;", "app" },
    ["an INSERT's trigger"] = { [[CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM public.path('app', false); RETURN NULL; END $$;
      CREATE TRIGGER t AFTER INSERT ON gate FOR EACH ROW EXECUTE PROCEDURE f();
      INSERT INTO gate SELECT 1 WHERE true; DELETE FROM public.gate WHERE n = 1;]], "app" },
    ["a dump's preamble"] = { "SELECT pg_catalog.set_config('search_path', '', false);", "" },
    ["a block"] = { "BEGIN; SET search_path = app; COMMIT;", "app" },
    ["a block that was rolled back"] = { "BEGIN; SET search_path = app; ROLLBACK;", "public" },
    ["SET LOCAL in a block"] = { "BEGIN; SET LOCAL search_path = app; COMMIT;", "public" },
    ["a statement, for itself"] = { "SELECT path('app', true);", "public" },
    ["RESET"] = { "SET search_path = app; RESET search_path;", "public" },
    ["DISCARD ALL"] = { "SET search_path = app; DISCARD ALL;", "public" },
    ["RESET ALL"] = { "SET search_path = app; RESET ALL;", "public" },
  }
  for what, case in pairs(paths) do
    it("has the search path that was left by " .. what, function()
      write(case[1], "INSERT INTO public.seen VALUES (current_setting('search_path'));")
      stop()
      go_on()
      local expected = case[2] == "public" and '"$user", public' or case[2]
      assert.equal(expected, value "(SELECT what FROM seen)")
    end)
  end

  local function let_bob()
    db:exec "DO $$ BEGIN CREATE ROLE bob; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    db:exec "GRANT ALL ON SCHEMA app TO bob; GRANT ALL ON seen, gate TO bob"
  end

  it("has settings of all kinds, and the role, and gives none of them to the next one", function()
    let_bob()
    write("SET work_mem = '7MB'; SET datestyle = 'SQL, DMY'; SET \"my.tenant\" = 'a ''b';\n"
      .. "SELECT set_config('my.other', 'c', false); SET TIME ZONE -3; SET ROLE bob;",
      "INSERT INTO public.seen SELECT concat_ws('|', current_setting('work_mem'),\n"
        .. "  current_setting('datestyle'), current_setting('my.tenant'),\n"
        .. "  current_setting('my.other'), date_part('timezone', now()), current_user);\n"
        .. "CREATE TABLE app.t ();")
    support.write(dir, "002_next.sql", "INSERT INTO seen SELECT concat_ws('|', "
      .. "current_setting('work_mem'), current_setting('my.tenant', true), current_user);")
    stop()
    go_on()
    assert.same({ { what = "7MB|SQL, DMY|a 'b|c|-10800|bob" }, { what = "4MB||postgres" } },
      db:query "SELECT what FROM seen")
    assert.equal("bob", value "(SELECT relowner::regrole::text FROM pg_class WHERE relname = 't')")
  end)

  local users = {
    "SET SESSION AUTHORIZATION bob;", "SELECT set_config('session_authorization', 'bob', false);",
    "SET ROLE bob; SET SESSION AUTHORIZATION bob; SET ROLE bob;",
  }

  -- Somebody who may not read the journal.
  local function check_user(switch, through)
    let_bob()
    write(switch .. " CREATE TABLE app.a (); CREATE TABLE app.b ();",
      "CREATE TABLE app.c (); INSERT INTO public.seen"
      .. " VALUES (session_user || ' ' || current_setting('role'));")
    stop(through)
    go_on(through)
    assert.equal("bob", value
      "(SELECT string_agg(DISTINCT tableowner, ',') FROM pg_tables WHERE schemaname = 'app')")
    -- before 12 the role is not set again on top of a session user that has it already
    local has_role = switch:find "SET ROLE" and db:server_version() >= 120000
    assert.same({ { what = has_role and "bob bob" or "bob none" } },
      db:query "SELECT what FROM seen")
  end

  for _, switch in ipairs(users) do
    it("has the session user of " .. switch, function() check_user(switch) end)
  end

  it("has the settings that the first one had when it stopped twice", function()
    write("SET search_path = app;\nSET work_mem = '7MB';",
      "RESET work_mem;\nSELECT 1/(n - 1) FROM public.gate;\nCREATE TABLE t ();")
    stop()
    assert.is_false((run()))
    db:exec "UPDATE gate SET n = 2"
    go_on()
    assert.is_not_nil(value "to_regclass('app.t')::text")
  end)

  local belongings = {
    ["temporary relation x"] = "CREATE TEMPORARY TABLE x AS SELECT 1 AS a;",
    ["temporary relation y"] = "SELECT 1 AS a INTO TEMPORARY y;",
    ["prepared statement s"] = "PREPARE s AS SELECT 1;",
    ["cursor c"] = "BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1; COMMIT;",
    ["advisory lock"] = "DO $$ BEGIN PERFORM pg_advisory_lock(1); END $$;",
  }
  for what, sql in pairs(belongings) do
    it("says that it does not have it: " .. what, function()
      write(sql, "INSERT INTO seen VALUES ('rest');")
      stop()
      local ok, err = run()
      assert.is_false(ok)
      assert.matches("may depend on its session's state: " .. what, err.message)
      assert.matches("pgmig resolve 1 %-%-redo", err.hint)
      pgmig.migrator(db, dir):resolve(1, "redo")
      go_on()
      assert.equal("rest", value "(SELECT what FROM seen)")
    end)
  end

  it("does not miss what was gone before", function()
    write("CREATE TEMPORARY TABLE x (); DROP TABLE x; PREPARE s AS SELECT 1; DEALLOCATE s;\n"
      .. "BEGIN; CREATE TEMPORARY TABLE z () ON COMMIT DROP; COMMIT;\n"
      .. "SELECT pg_advisory_xact_lock(1);",
      "INSERT INTO seen VALUES ('rest');")
    stop()
    go_on()
    assert.equal("rest", value "(SELECT what FROM seen)")
  end)

  it("does not ask for what the caller had before the run", function()
    write("SET work_mem = '7MB';", "INSERT INTO seen SELECT a::text FROM kept;")
    local other = pgmig.connect(url)
    other:exec "CREATE TEMPORARY TABLE kept AS SELECT 7 AS a; PREPARE p AS SELECT 1"
    local migrator = pgmig.migrator(other, dir, { retries = 0 })
    assert.is_false(pcall(migrator.migrate, migrator))
    db:exec "UPDATE gate SET n = 1"
    assert.equal(1, #migrator:migrate())
    other:close()
    assert.equal("7", value "(SELECT what FROM seen)")
  end)

  it("loads what was loaded", function()
    write("LOAD 'plpgsql';", "INSERT INTO seen VALUES ('rest');")
    stop()
    go_on()
    assert.equal("rest", value "(SELECT what FROM seen)")
  end)

  describe("behind pgbouncer", function()
    local pool

    setup(function() pool = pgbouncer.start(3) end)
    teardown(function() pool.stop() end)

    --- What the application sees in its session.
    local function application(sql)
      local app = pgmig.connect(pool.url(name))
      local rows = app:query("SELECT " .. sql .. " AS v")
      app:close()
      return rows[1].v
    end

    it("has the same, also from statement to statement, and leaves nothing to others", function()
      write("-- pgmig: lock_timeout=3s\nSET search_path = app; SET work_mem = '7MB';\n"
        .. "CREATE TABLE a ();", "CREATE TABLE b ();\nBEGIN; CREATE TABLE c (); COMMIT;\n"
        .. "INSERT INTO public.seen VALUES (current_setting('work_mem')),"
        .. " (current_setting('lock_timeout'));")
      local settings = "current_setting('work_mem') || ' ' || current_setting('lock_timeout')"
      stop(pool.url(name))
      assert.equal("4MB 0", application(settings))
      go_on(pool.url(name))
      assert.equal(3, value "(SELECT count(*) FROM pg_tables WHERE schemaname = 'app')")
      assert.same({ { what = "7MB" }, { what = "3s" } }, db:query "SELECT what FROM seen")
      assert.equal("4MB 0", application(settings))
    end)

    it("goes on behind a statement that ran alone", function()
      db:exec "CREATE TABLE app.t (a int)"
      write("CREATE INDEX CONCURRENTLY ON app.t (a);", "INSERT INTO seen VALUES ('rest');")
      stop(pool.url(name))
      go_on(pool.url(name))
      assert.equal("rest", value "(SELECT what FROM seen)")
    end)

    for _, switch in ipairs(users) do
      it("has the session user of " .. switch, function() check_user(switch, pool.url(name)) end)
    end

    local ends = {
      ["a block that was rolled back"] = "BEGIN; SET work_mem = '9MB'; SELECT 1; ROLLBACK;",
      ["a procedure that commits"] = "CALL app.twice();",
    }
    for what, sql in pairs(ends) do
      it("has what was there before " .. what, function()
        support.needs(pending, 11, "CALL")
        db:exec [[CREATE PROCEDURE app.twice() LANGUAGE plpgsql AS
          $$ BEGIN INSERT INTO public.seen VALUES ('one'); COMMIT; END $$]]
        write(sql .. "\nSET work_mem = '7MB';",
          "INSERT INTO seen VALUES (current_setting('work_mem'));")
        stop(pool.url(name))
        go_on(pool.url(name))
        assert.equal("7MB", value "(SELECT what FROM seen WHERE what <> 'one')")
        assert.equal("4MB", application "current_setting('work_mem')")
      end)
    end

    local refused = {
      ["settings made by earlier "
        .. "statements"] = "SET search_path = app;\nCREATE INDEX CONCURRENTLY ON t (a);",
      ["the timeouts set in its file"] = "-- pgmig: lock_timeout=3s\nVACUUM app.t;",
      ["temporary relation x"] = "CREATE TEMPORARY TABLE x ();\nINSERT INTO x DEFAULT VALUES;",
    }
    for what, sql in pairs(refused) do
      it("says what a statement does not have there: " .. what, function()
        db:exec "CREATE TABLE app.t (a int)"
        support.write(dir, "001_off.sql", "-- pgmig: transaction=off\n" .. sql .. "\n")
        local ok, err = run(pool.url(name))
        assert.is_false(ok)
        assert.matches("behind a pooler, this statement lacks session state ", err.message)
        assert.is_not_nil(err.message:find(what, 1, true))
        assert.matches("connect directly to the server", err.hint)
      end)
    end
  end)
end)
