-- Indexes that are built, rebuilt and dropped concurrently: what an attempt has left is found by
-- what the server knows, whatever the statement calls it; what is somebody else's is left alone.
local broken_indexes = require "pgmig.upkeep.broken_index"
local core = require "pgmig.core"
local pgmig = require "pgmig"
local support = require "spec.support"

describe("an index built concurrently", function()
  local url, db, dir, migrator, warnings

  before_each(function()
    url, dir = support.database(), support.tempdir()
    db = pgmig.connect(url)
    migrator = pgmig.migrator(db, dir, { retries = 0 })
    warnings = {}
    db:exec [[CREATE TABLE t (a int, b int); INSERT INTO t VALUES (1, 1), (1, 2);
      CREATE SCHEMA app; CREATE TABLE app.t AS TABLE t]]
  end)

  after_each(function() db:close() end)

  local function write(up)
    support.write(dir, "001_off.sql", "-- UP\n-- pgmig: transaction=off\n" .. up .. ";\n")
  end

  local function migrate()
    return migrator:run(migrator:plan(), { on_event = function(event)
      if event.type == "warning" then warnings[#warnings + 1] = event.message end
    end })
  end

  local function fails()
    local ok, err = pcall(migrate)
    assert.is_false(ok)
    return err
  end

  --- The table's indexes: { [name] = whether valid }.
  local function indexes(of)
    local list = {}
    for _, row in ipairs(db:query([[SELECT relname::text AS name, indisvalid AS valid
        FROM pg_index JOIN pg_class c ON c.oid = indexrelid
        WHERE indrelid = $1::regclass]], of or "t")) do
      list[row.name] = row.valid
    end
    return list
  end

  local function oid(name)
    return db:query("SELECT to_regclass($1)::oid::text AS oid", name)[1].oid
  end

  --- What doctor says to do about INVALID ones.
  local function remedies()
    local list = {}
    for _, index in ipairs(broken_indexes.list(db, {})) do list[#list + 1] = index.remedy end
    return list
  end

  --- Let the journal say that the run has died during its last statement.
  local function forget_end(text)
    db:query([[UPDATE schema_migrations_journal SET state = 'running', running = 'x',
      statement = $1, backend_start = now()]], text)
  end

  local LONG = ("idx_on_the_line_items_"):rep(5)
  local names = {
    ["longer than a name"] = { LONG, LONG:sub(1, 63) },
    ["longer than a name, of characters of two bytes"] =
      { '"' .. ("äöü"):rep(15) .. '"', ("äöü"):rep(10) .. "ä" },
    ["with quotes"] = { '"I ""q"" é.x"', 'I "q" é.x' },
    ["in upper case"] = { "IDX_A", "idx_a" },
    ["with escapes"] = { [[U&"d!0061t\00e9" ]], "d!0061té" },
    ["with escapes of its own"] = { [[U&"d!0061t!+01F600" UESCAPE '!']], "dat😀" },
    ["with a quote that is an escape"] = { [[U&"a\0022.\0022b"]], 'a"."b' },
    ["with comments around it"] = { "/* on */ idx_b -- on x\n", "idx_b" },
  }

  for what, name in pairs(names) do
    for _, condition in ipairs { "", "IF NOT EXISTS " } do
      it("that failed is built again: a name " .. what .. ", " .. condition, function()
        write(("CREATE UNIQUE INDEX CONCURRENTLY %s%s ON t (a)"):format(condition, name[1]))
        fails()
        assert.same({ [name[2]] = false }, indexes())
        db:exec "DELETE FROM t"
        migrate()
        assert.same({ [name[2]] = true }, indexes())
      end)
    end
  end

  local paths = {
    "SET search_path = app", "SELECT set_config('search_path', 'app', false)",
    "DO $$ BEGIN PERFORM set_config('search_path', 'app', false); END $$",
  }
  for _, path in ipairs(paths) do
    it("is that of the file's search path, not another schema's of its name: " .. path, function()
      pcall(db.exec, db, "CREATE UNIQUE INDEX CONCURRENTLY i ON public.t (a)")
      local others = oid "public.i"
      write(path .. ";\nCREATE UNIQUE INDEX CONCURRENTLY i ON t (a)")
      fails()
      assert.same({ i = false }, indexes "app.t")
      db:exec "DELETE FROM app.t"
      migrate()
      assert.same({ i = true }, indexes "app.t")
      assert.equal(others, oid "public.i")
      assert.same({ "dropped the INVALID index app.i that an earlier attempt left "
        .. "behind" }, warnings)
    end)
  end

  it("that failed is not taken for done because somebody adds another one to the table", function()
    write "CREATE UNIQUE INDEX CONCURRENTLY ON t (a)"
    fails()
    db:exec "DELETE FROM t; CREATE INDEX ON t (b); CREATE INDEX ON t (a)"
    migrate()
    assert.same({ t_a_idx = true, t_a_idx1 = true, t_b_idx = true }, indexes())
    assert.equal(1, #warnings)
  end)

  it("is left alone where two could be meant", function()
    write "CREATE UNIQUE INDEX CONCURRENTLY ON t (a)"
    fails()
    db:exec "DELETE FROM t; CREATE UNIQUE INDEX ON t (a)"
    assert.equal("unknown", fails().kind)
    assert.same({ t_a_idx = false, t_a_idx1 = true }, indexes())
  end)

  it("of another shape is not dropped, though it has the name", function()
    write "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a) WHERE b > 0"
    fails()
    db:exec "DROP INDEX i"
    pcall(db.exec, db, "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)")
    local others = oid "i"
    assert.matches('relation "i" already exists', fails().message)
    assert.equal(others, oid "i")
  end)

  for _, name in ipairs { "", "i " } do
    it("counts as done when it is valid, though nobody was told: " .. name, function()
      local sql = ("CREATE INDEX CONCURRENTLY %sON t (lower(a::text) DESC) WHERE b IS NOT NULL")
        :format(name)
      write(sql .. ";\nSELECT 1/0")
      fails()
      db:exec "UPDATE schema_migrations_journal SET done = '{}'"
      forget_end(sql)
      db:exec(("UPDATE schema_migrations_journal SET running = '%s'"):format(core.checksum(sql)))
      local before = next(indexes())
      local built = oid(before)
      write(sql)
      migrate()
      assert.same({ [before] = true }, indexes())
      assert.equal(built, oid(before))
    end)
  end

  it("is not dropped while somebody works on the table's indexes", function()
    write "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)"
    fails()
    db:exec [[DELETE FROM t; INSERT INTO t VALUES (7, 7);
      CREATE FUNCTION slow(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_sleep(0.5); RETURN $1; END $$]]
    local pipe = io.popen(("psql -Xqd %s -c 'CREATE INDEX CONCURRENTLY other ON t (slow(b))' 2>&1")
      :format(support.quote(url)))
    support.wait(function()
      return db:query("SELECT to_regclass('other') IS NOT NULL AS there")[1].there
    end, "the other index")
    migrate()
    assert.equal("", pipe:read "*a")
    pipe:close()
    assert.same({ i = true, other = true }, indexes())
  end)

  it("is found again when a run has renamed it, and was cut off before it could drop it", function()
    write "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)"
    fails()
    local name = "pgmig_invalid_" .. oid "i"
    db:exec("DELETE FROM t; ALTER INDEX i RENAME TO " .. name)
    assert.same({ "DROP INDEX CONCURRENTLY public." .. name }, remedies())
    migrate()
    assert.same({ i = true }, indexes())
  end)

  it("is dropped again when the DROP has not come to its end", function()
    db:exec "CREATE INDEX i ON app.t (b); CREATE INDEX i ON public.t (b)"
    local reader = pgmig.connect(url)
    reader:exec "BEGIN; SELECT * FROM app.t"
    write "SET search_path = app;\nSET lock_timeout = '100ms';\nDROP INDEX CONCURRENTLY i"
    assert.equal("55P03", fails().sqlstate)
    reader:close()
    assert.is_not_nil(oid "app.i")
    migrate()
    assert.is_nil(oid "app.i")
    assert.is_not_nil(oid "public.i")
  end)

  it("counts as dropped when it is gone, also when another one has its name by now", function()
    db:exec "CREATE INDEX i ON t (b)"
    local reader = pgmig.connect(url)
    reader:exec "BEGIN; SELECT * FROM t"
    local set = "SET lock_timeout = '100ms'"
    write(set .. ";\nDROP INDEX CONCURRENTLY i")
    fails()
    reader:close()
    db:exec "DROP INDEX i; CREATE INDEX i ON t (a)"
    migrate()
    assert.same({ i = true }, indexes())
  end)

  it("that REINDEX has left is removed, its copy and the old one", function()
    db:exec "CREATE INDEX i ON t (b)"
    if db:server_version() < 120000 then return end
    local writer = pgmig.connect(url)
    writer:exec "BEGIN; INSERT INTO t VALUES (5, 5)"
    write "SET lock_timeout = '100ms';\nREINDEX (VERBOSE) INDEX CONCURRENTLY i"
    assert.equal("55P03", fails().sqlstate)
    writer:close()
    assert.same({ i = true, i_ccnew = false }, indexes())
    migrate()
    assert.same({ i = true }, indexes())
  end)

  it("is named with its schema, quoted, where it has to be dropped by hand", function()
    db:exec 'CREATE SCHEMA "App 1"; CREATE TABLE "App 1".t AS TABLE t'
    pcall(db.exec, db, 'CREATE UNIQUE INDEX CONCURRENTLY "I" ON "App 1".t (a)')
    db:exec 'DELETE FROM "App 1".t'
    write('SET search_path = "App 1";\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS "I" ON t (a)')
    local err = fails()
    assert.matches("this index is INVALID", err.message)
    assert.matches('DROP INDEX CONCURRENTLY "App 1"."I"', err.hint, 1, true)
  end)

  it("is known by functions that only the file's search path finds", function()
    db:exec [[CREATE FUNCTION app.twice(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 * 2']]
    write "SET search_path = app;\nCREATE UNIQUE INDEX CONCURRENTLY i ON t (twice(a))"
    assert.equal("23505", fails().sqlstate)
    db:exec "DELETE FROM app.t"
    migrate()
    assert.same({ i = true }, indexes "app.t")
    assert.equal('"$user", public', db:query("SHOW search_path")[1].search_path)
  end)

  it("is looked after in the role that the file had, also when it is tried again", function()
    db:exec [[DO $$ BEGIN CREATE ROLE index_owner; CREATE ROLE index_login LOGIN NOINHERIT;
      EXCEPTION WHEN duplicate_object THEN NULL; END $$;
      GRANT index_owner TO index_login; GRANT ALL ON SCHEMA public TO index_login;
      ALTER SCHEMA app OWNER TO index_owner; ALTER TABLE app.t OWNER TO index_owner;
      REVOKE ALL ON SCHEMA app FROM public]]
    db:exec(("REVOKE TEMPORARY ON DATABASE %s FROM public"):format(url:match "/(spec_%d+)"))
    local login = pgmig.connect { url = url, user = "index_login" }
    migrator = pgmig.migrator(login, dir, { retries = 1 })
    write "SET ROLE index_owner;\nCREATE UNIQUE INDEX CONCURRENTLY i ON app.t (a)"
    assert.equal("23505", fails().sqlstate)
    db:exec "DELETE FROM app.t"
    local writer, attempts = pgmig.connect(url), 0
    writer:exec "BEGIN; INSERT INTO app.t VALUES (1, 1)"
    migrator.db:exec "SET lock_timeout = '200ms'"
    migrator:run(migrator:plan(), { on_event = function(event)
      if event.type == "retry" then
        attempts = attempts + 1
        writer:close()
      end
    end })
    assert.equal(1, attempts)
    assert.same({ i = true }, indexes "app.t")
    assert.equal("index_login", login:query("SELECT current_user::text AS name")[1].name)
    login:close()
  end)
end)

describe("a partition that is detached concurrently", function()
  local url, db, dir, migrator

  before_each(function()
    url, dir = support.database(), support.tempdir()
    db = pgmig.connect(url)
    migrator = pgmig.migrator(db, dir, { retries = 0 })
    db:exec [[CREATE SCHEMA app; CREATE TABLE app.p (a int) PARTITION BY RANGE (a);
      CREATE TABLE app."C 1" PARTITION OF app.p FOR VALUES FROM (0) TO (10);
      CREATE TABLE p (a int)]]
    support.write(dir, "001_off.sql", "-- UP\n-- pgmig: transaction=off\nSET search_path = app;\n"
      .. 'ALTER TABLE IF EXISTS ONLY p DETACH PARTITION /* old */ "C 1" CONCURRENTLY;\n'
      .. "CREATE TABLE behind ();\n")
  end)

  after_each(function() db:close() end)

  --- Let the statement stop in the middle.
  local function stop()
    local reader = pgmig.connect(url)
    reader:exec "BEGIN; SELECT * FROM app.p"
    db:exec "SET lock_timeout = '200ms'"
    local ok, err = pcall(migrator.migrate, migrator)
    assert.is_false(ok)
    assert.equal("55P03", err.sqlstate)
    reader:close()
  end

  local function pending()
    return db:query "SELECT inhdetachpending AS pending FROM pg_inherits"
  end

  it("and is left pending is finished, and counts as done", function()
    if db:server_version() < 140000 then return end
    stop()
    assert.same({ { pending = true } }, pending())
    assert.equal(1, #migrator:migrate())
    assert.same({}, pending())
    assert.equal(1, #db:query "SELECT WHERE to_regclass('app.behind') IS NOT NULL")
  end)

  it("and never was one fails again", function()
    if db:server_version() < 140000 then return end
    db:exec 'ALTER TABLE app.p DETACH PARTITION app."C 1"'
    for _ = 1, 2 do
      local ok, err = pcall(migrator.migrate, migrator)
      assert.is_false(ok)
      assert.matches("is not a partition", err.message)
    end
  end)
end)
