-- The way out: another tool's table as the tool would have made it (spec/support/exported.lua).
-- spec/rivals runs the tools themselves, where they are installed.
local history = require "spec.support.history"
local pgmig = require "pgmig"
local support = require "spec.support"
local tools = require "spec.support.exported"

local labels, fails = history.labels, history.fails

-- What a table is like: columns, constraints, other indexes; not in a schema of the server's.
local SHAPE = [[
  SELECT string_agg(s.shape, E'\n' ORDER BY s.shape) AS shape FROM (
    SELECT c.relname || ': ' || (SELECT string_agg(a.attname || ' '
        || format_type(a.atttypid, a.atttypmod)
        || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
        || CASE WHEN a.attidentity <> '' THEN ' identity' ELSE '' END
        || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), ''), ', ' ORDER BY a.attnum)
      FROM pg_attribute a
      LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
      WHERE a.attrelid = c.oid AND a.attnum > 0)
    || coalesce('; ' || (SELECT string_agg(k.conname || ' ' || pg_get_constraintdef(k.oid), ', '
        ORDER BY k.conname) FROM pg_constraint k
      WHERE k.conrelid = c.oid AND k.contype <> 'n'), '')
    || coalesce('; ' || (SELECT string_agg(n.relname, ', ' ORDER BY n.relname) FROM pg_index i
      JOIN pg_class n ON n.oid = i.indexrelid WHERE i.indrelid = c.oid
      AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid)), '') AS shape
    FROM pg_class c WHERE c.relkind = 'r' AND c.relname = ANY ($1::text[])) AS s]]

-- Whose rows tell of an edited file.
local TELLING = {
  drizzle = true, flyway = true, ["postgres-migrations"] = true, postgrator = true, prisma = true,
  refinery = true, sqlx = true,
}

describe("export", function()
  local db, dir, url

  before_each(function()
    url = support.database()
    db, dir = pgmig.connect(url), support.tempdir()
  end)

  after_each(function() db:close() end)

  local function write(files) history.write(dir, files) end

  local function migrator(format, options)
    options = options or {}
    options.format, options.table = format, options.table or "pgmig_own"
    return pgmig.migrator(db, dir, options)
  end

  --- A migrator with a tool's three migrations applied.
  local function applied(format, options)
    write(tools[format].files)
    local m = migrator(format, options)
    m:migrate()
    return m
  end

  local function rows(format)
    local list = {}
    for i, row in ipairs(db:query(tools[format].rows)) do list[i] = row.row end
    return table.concat(list, " ")
  end

  local function value(sql, ...) return db:query("SELECT (" .. sql .. ")::text AS v", ...)[1].v end

  --- Take one back.
  local function take_back(m)
    local newest = m:applied()[#m:applied()]
    m:unapply(newest)
    return newest
  end

  local function remove_files(m)
    os.remove(m.path)
    if m.down_path then os.remove(m.down_path) end
  end

  --- Another database and another folder.
  local function begin_anew()
    db:close()
    url = support.database()
    db, dir = pgmig.connect(url), support.tempdir()
  end

  for format, tool in pairs(tools) do
    it("makes the table of " .. format .. ", writes its rows, and adopt reads them", function()
      local m = applied(format)
      local all = labels(m:applied())
      local plan = m:export { dry_run = true }
      assert.same({ all, true, 0 }, { labels(plan), plan.creates, plan.known })
      assert.is_nil(value("SELECT to_regclass($1)", plan.to_table))
      plan = m:export()
      assert.same({ all, format, {} }, { labels(plan), plan.to, plan.notes })
      local names = {}
      for name in ("\n" .. tool.shape):gmatch "\n([%w_]+): " do names[#names + 1] = name end
      assert.equal(tool.shape, db:query(SHAPE, "{" .. table.concat(names, ",") .. "}")[1].shape)
      assert.equal(tool.golden, rows(format))
      if tool.time then
        assert.is_true(value("SELECT (" .. tool.time .. ") = $1::timestamptz",
          m:applied()[1].applied_at) == "true")
      end
      assert.equal(all, labels(migrator(format, { table = "another" }):adopt()))
      local second = m:applied()[2].path
      support.write("", second, (support.read(second):gsub("CREATE TABLE b", "%0b")))
      local is_adopted = pcall(m.adopt, migrator(format, { table = "third" }))
      assert.equal(TELLING[format] or false, not is_adopted)
    end)

    it("completes the rows of " .. format .. ", and removes what was taken back", function()
      local m = applied(format)
      m:export()
      assert.same({ 0, #m:applied() }, { #m:export(), m:export().known })
      local newest = take_back(m)
      local plan = m:export()
      assert.same({ "", newest.label, 0 }, { labels(plan), labels(plan.removed), #plan.corrected })
      assert.equal(tool.two, rows(format))
      m:fake(newest.version)
      assert.equal(newest.label, labels(m:export()))
      assert.equal(#m:applied(), m:export().known)
      while m:applied()[1] do take_back(m) end
      m:export()
      if tool.none then assert.equal(tool.none, rows(format)) end
      assert.equal("", labels(migrator(format, { table = "another" }):adopt()))
    end)
  end

  -- ---- what stays ----------------------------------------------------------

  it("leaves alone what the tool has applied and pgmig does not know, and says so", function()
    local m = applied "dbmate"
    m:export()
    m:rollback()
    db:exec "DELETE FROM pgmig_own_history; DELETE FROM schema_migrations WHERE version ~ '1$'"
    db:exec "INSERT INTO schema_migrations VALUES ('20240115109999')"
    local plan = m:export()
    assert.equal("20240115103001_make_a", labels(plan))
    assert.same({}, plan.removed)
    table.sort(plan.notes)
    assert.matches("dbmate has applied 20240115103003_make_c, which pgmig has not recorded: its "
      .. "row stays", plan.notes[1], 1, true)
    assert.matches("dbmate has applied 20240115109999, which", plan.notes[2], 1, true)
    assert.equal("4", value "SELECT count(*) FROM schema_migrations")
  end)

  it("removes the row of what was taken back and has no file any more", function()
    for format, tool in pairs(tools) do
      if format ~= "drizzle" then -- its rows say when; what that was, only its journal says
        begin_anew()
        local m = applied(format)
        m:export()
        remove_files(take_back(m))
        assert.same({ 1, {} }, { #m:export().removed, m:export().notes }, format)
        assert.equal(tool.two, rows(format), format)
      end
    end
  end)

  it("gives a tool with one row the newest version that has a file", function()
    for _, format in ipairs { "golang-migrate", "maragu", "tern" } do
      begin_anew()
      local m = applied(format)
      local newest = m:applied()[3]
      remove_files(newest)
      m:repair(newest.version, { gone = true })
      assert.equal(2, #m:export(), format)
      assert.equal(tools[format].two, rows(format))
    end
  end)

  it("does not tell a tool with one row what it cannot keep", function()
    for _, format in ipairs { "golang-migrate", "maragu", "tern" } do
      db:exec "DROP TABLE IF EXISTS a, b, c, schema_migrations, migrations, pgmig_own"
      db:exec "DROP TABLE IF EXISTS pgmig_own_history"
      dir = support.tempdir()
      local m = applied(format)
      m:export()
      local second = m:applied()[2]
      m:unapply(second)
      local err = fails(m.export, m)
      assert.matches(("make_c is applied, and %s before it is not: %s keeps only its newest "
        .. "version"):format(second.label, format), err.message, 1, true)
      assert.equal("plan", err.kind)
      assert.matches("up --fake 2", err.hint, 1, true)
      assert.equal(tools[format].golden, rows(format))
      m:fake(second.version)
      m:rollback { steps = 2 }
      db:exec "DELETE FROM pgmig_own_history"
      assert.matches("has applied %S+make_c, which pgmig has not recorded",
        fails(m.export, m).message)
    end
  end)

  it("keeps the order that graphile-migrate's hashes have", function()
    local m = applied "graphile-migrate"
    m:unapply(1)
    assert.matches("000002 is applied, and 000001-the-first before it is not: graphile-migrate "
      .. "would never run it", fails(m.export, m).message, 1, true)
    m:fake(1)
    write { ["committed/000001-the-first.sql"] = "--! Previous: -\n\nCREATE TABLE a();\n" }
    m:repair(1)
    local err = fails(m.export, m)
    assert.matches("it has no line %-%-! Hash", err.message)
    assert.matches("000001%-the%-first.sql$", err.file)
  end)

  -- ---- files that the tool would refuse ------------------------------------

  it("writes no row for a file that is not the one that was applied", function()
    for _, format in ipairs { "sqlx", "flyway", "refinery", "postgres-migrations" } do
      dir = support.tempdir()
      db:exec "DROP TABLE IF EXISTS a, b, c, pgmig_own, pgmig_own_history"
      local m = applied(format)
      m:export()
      local before = rows(format)
      local second = m:applied()[2]
      support.write("", second.path, "CREATE TABLE b (y int);\n")
      local err = fails(m.export, m)
      assert.matches(second.path .. " is not the file that was applied", err.message, 1, true)
      assert.same({ "drift", before }, { err.kind, rows(format) })
      m:repair(2 == second.version and 2 or second.text)
      assert.equal(second.label, labels(m:export().corrected))
      assert.not_equal(before, rows(format))
      assert.equal(3, #migrator(format, { table = "of_" .. format:gsub("%W", "_") }):adopt())
    end
  end)

  it("writes no row for a missing file, unless it has one or is gone for good", function()
    local m = applied "dbmate"
    os.remove(dir .. "/20240115103002_make_b.sql")
    assert.matches("the rows of dbmate cannot be written: 20240115103002_make_b is applied, but "
      .. "its file is missing", fails(m.export, m).message, 1, true)
    m:repair("20240115103002", { gone = true })
    local plan = m:export()
    assert.equal("20240115103001_make_a 20240115103003_make_c", labels(plan))
    assert.same({ "20240115103002_make_b is left out: it has no file any more" }, plan.notes)
    db:exec "INSERT INTO schema_migrations VALUES ('20240115103002')"
    plan = m:export()
    assert.same({ 3, {} }, { plan.known, plan.notes })
  end)

  it("writes the row of a tool's own code, except where only the tool can hash it", function()
    db:exec [[
      CREATE TABLE pgmigrations (id SERIAL PRIMARY KEY, name varchar(255) NOT NULL,
        run_on timestamp NOT NULL);
      INSERT INTO pgmigrations (name, run_on) VALUES ('1718000000001_a', now());
      CREATE TABLE migrations (id integer PRIMARY KEY, name varchar(100) UNIQUE NOT NULL,
        hash varchar(40) NOT NULL, executed_at timestamp DEFAULT current_timestamp);
      INSERT INTO migrations VALUES (0, 'create-migrations-table', 'x'), (1, 'a', 'x')]]
    write { ["1718000000001_a.js"] = "exports.up = () => {};\n" }
    local m = migrator "node-pg-migrate"
    m:adopt()
    db:exec "DELETE FROM pgmigrations"
    assert.equal("1718000000001_a", labels(m:export()))
    assert.equal("1718000000001_a", value "SELECT name FROM pgmigrations")
    dir = support.tempdir()
    write { ["1_a.js"] = "module.exports.generateSql = () => 'SELECT 1';\n" }
    m = migrator("postgres-migrations", { table = "another" })
    m:adopt()
    assert.equal(1, m:export().known)
    db:exec "DELETE FROM migrations WHERE id = 1"
    assert.matches("1_a.js is code: only postgres-migrations can compute its checksum",
      fails(m.export, m).message, 1, true)
  end)

  it("keeps wide versions of refinery as a refinery with wide ones does", function()
    write { ["V20240115103001__make_a.sql"] = "CREATE TABLE a (x int);\n" }
    local m = migrator "refinery"
    m:migrate()
    m:export()
    assert.same({ "10247366919629970407", "bigint" }, {
      value "SELECT checksum FROM refinery_schema_history",
      value "SELECT pg_typeof(version) FROM refinery_schema_history",
    })
    dir = support.tempdir()
    write { ["V1__make_a.sql"] = "CREATE TABLE a (x int);\n" }
    m = migrator("refinery", { table = "another" })
    m:baseline(1)
    db:exec "DELETE FROM refinery_schema_history"
    m:export()
    assert.equal("6276108342385797224", value "SELECT checksum FROM refinery_schema_history")
    assert.equal(1, #migrator("refinery", { table = "third" }):adopt())
  end)

  it("writes repeatable migrations and baselines as Flyway does", function()
    write {
      ["V1__a.sql"] = "CREATE TABLE a ();", ["B2__all.sql"] = "CREATE TABLE a ();",
      ["V2__b.sql"] = "SELECT 2;", ["V3__c.sql"] = "SELECT 3;", ["R__view.sql"] = "123456789",
    }
    write { ["R__view.sql"] = "SELECT 1;" }
    local m = migrator "flyway"
    assert.equal("2_all 3_c R__view", labels(m:migrate()))
    m:export()
    local sql = "SELECT string_agg(concat_ws(':', installed_rank, coalesce(version, '-'), "
      .. "description, type, script), ' ' ORDER BY installed_rank) FROM flyway_schema_history"
    assert.equal("1:2:all:SQL_BASELINE:B2__all.sql 2:3:c:SQL:V3__c.sql 3:-:view:SQL:R__view.sql",
      value(sql))
    assert.same({ 0, 3 }, { #m:export(), m:export().known })
    write { ["R__view.sql"] = "SELECT 2;" }
    assert.equal("", labels(m:export())) -- due again: for both
    m:migrate()
    assert.equal("R__view", labels(m:export()))
    assert.equal("4:-:view:SQL:R__view.sql", value(sql):match "4:.*")
    assert.equal("", labels(m:export()))
  end)

  -- ---- which table ---------------------------------------------------------

  it("makes the table where the tool would, or where it is said to be", function()
    db:exec [[CREATE SCHEMA app; CREATE SCHEMA "Od d"; SET search_path = app, public]]
    local m = applied("dbmate", { table = "public.pgmig_own" })
    assert.equal("app.schema_migrations", m:export().to_table)
    assert.equal("3", value "SELECT count(*) FROM app.schema_migrations")
    assert.equal('"Od d".done', m:export({ to_table = '"Od d".done' }).to_table)
    assert.equal("3", value 'SELECT count(*) FROM "Od d".done')
    db:exec "SET search_path = public"
    local err = fails(m.export, m)
    assert.matches("no table schema_migrations in the schemas of this session's search_path, but "
      .. "app.schema_migrations", err.message, 1, true)
    assert.matches("--to-table app.schema_migrations", err.hint, 1, true)
    assert.equal(3, m:export({ to_table = "app.schema_migrations" }).known)
    db:exec "DROP TABLE app.schema_migrations; SET search_path = nowhere"
    assert.matches("no schema is available for the table schema_migrations",
      fails(m.export, m).message, 1, true)
  end)

  it("refuses a table of another shape, pgmig's own, and tools that keep none", function()
    local m = applied "dbmate"
    db:exec "CREATE TABLE schema_migrations (version varchar PRIMARY KEY, dirty boolean)"
    assert.matches("table public.schema_migrations is not dbmate's: it has a column dirty",
      fails(m.export, m).message, 1, true)
    db:exec "DROP TABLE schema_migrations"
    local err = fails(m.export, m, { to = "hasura" })
    assert.equal("usage", err.kind)
    assert.matches("the rows of hasura cannot be written: its server keeps them", err.message)
    assert.matches("does not define how", fails(m.export, m, { to = { name = "mine", naming = {
      parse = function() end, format = function() end } } }).message)
    local shared = pgmig.migrator(db, dir, { format = "dbmate", shared = true })
    err = fails(shared.export, shared)
    assert.matches("is the tracking table that pgmig uses: the rows of dbmate are there already",
      err.message, 1, true)
    local own = pgmig.migrator(db, dir)
    err = fails(own.export, own)
    assert.matches("another tool's rows cannot be in it", err.message, 1, true)
    assert.equal("name the tool: --to", err.hint)
    assert.is_nil(value "SELECT to_regclass('schema_migrations')")
  end)

  it("goes to another tool's table where that tool knows the files", function()
    write {
      ["001_a.sql"] = "CREATE TABLE a ();\n", ["002_b.lua"] = "return { up = function() end }",
    }
    local m = migrator "pgmig"
    m:migrate(1)
    assert.equal("001_a", labels(m:export { to = "pycopg" }))
    assert.equal("1 a", value "SELECT concat_ws(' ', version, name) FROM schema_migrations")
    assert.equal("001_a", labels(m:export { to = "sqlx" }))
    m:migrate()
    assert.matches("002_b.lua is not named as sqlx names its files",
      fails(m.export, m, { to = "sqlx" }).message)
  end)

  -- ---- when it must not ----------------------------------------------------

  it("writes all or nothing", function()
    local m = applied "dbmate"
    db:exec [[
      CREATE TABLE schema_migrations (version varchar PRIMARY KEY CHECK (version !~ '3$'));
      INSERT INTO schema_migrations VALUES ('20240115103001')]]
    m:unapply "20240115103001"
    local err = fails(m.export, m)
    assert.matches("cannot write the rows of dbmate: ", err.message, 1, true)
    assert.equal("nothing was written", err.hint)
    assert.equal("20240115103001", rows "dbmate")
    assert.equal("idle", db:transaction_status())
  end)

  it("waits for whoever has the tool's table, and sees what they did", function()
    local m = applied("dbmate", { lock_timeout = "200ms", retries = 20 })
    db:exec "CREATE TABLE schema_migrations (version varchar PRIMARY KEY)"
    local other = pgmig.connect(url)
    other:exec "BEGIN; INSERT INTO schema_migrations VALUES ('20240115103001')"
    local waits = 0
    local plan = m:export { on_event = function(event)
      if event.type ~= "waiting" then return end
      waits = waits + 1
      if waits == 1 then other:exec "COMMIT" end
    end }
    other:close()
    assert.is_true(waits > 0)
    assert.same({ 2, 1 }, { #plan, plan.known })
  end)

  it("refuses while something is half finished, here or there", function()
    write {
      ["1_a.sql"] = "-- +goose NO TRANSACTION\n-- +goose Up\nCREATE TABLE a ();\nSELECT 1 / 0;\n",
    }
    local m = migrator "goose"
    fails(m.migrate, m)
    local err = fails(m.export, m)
    assert.equal("plan", err.kind)
    assert.matches("1_a is half finished: it is neither applied nor not", err.message, 1, true)
    dir = support.tempdir()
    db:exec "DROP TABLE a"
    m = applied("golang-migrate", { table = "another" })
    db:exec [[
      CREATE TABLE schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL);
      INSERT INTO schema_migrations VALUES (2, true)]]
    assert.matches("the table of golang-migrate marks 00002_make_b as failed or half finished",
      fails(m.export, m).message, 1, true)
    assert.equal("2:t", rows "golang-migrate")
  end)

  it("says what a role lacks", function()
    local m = applied "dbmate"
    m:export()
    take_back(m)
    db:exec [[
      CREATE ROLE deploy LOGIN; GRANT USAGE ON SCHEMA public TO deploy;
      GRANT ALL ON pgmig_own, pgmig_own_history, pgmig_own_journal, pgmig_own_run_journal TO deploy;
      GRANT SELECT ON schema_migrations TO deploy]]
    local as_deploy = pgmig.connect(url:gsub("user=postgres", "user=deploy"))
    local other = pgmig.migrator(as_deploy, dir, { format = "dbmate", table = "pgmig_own" })
    local err = fails(other.export, other)
    as_deploy:close()
    db:exec "DROP OWNED BY deploy; DROP ROLE deploy"
    assert.matches("permission denied for table schema_migrations", err.message)
    assert.matches("SELECT, INSERT, UPDATE and DELETE", err.hint)
    assert.equal(tools.dbmate.golden, rows "dbmate")
  end)

  it("is over when its connection is lost, and done when it can connect again", function()
    local m = applied "goose"
    local killed = false
    local plan = m:export { on_event = function() end }
    assert.equal(3, #plan)
    db:exec "DROP TABLE goose_db_version"
    db:exec [[
      CREATE TABLE goose_db_version (id int PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY,
        version_id bigint NOT NULL, is_applied boolean NOT NULL,
        tstamp timestamp NOT NULL DEFAULT now())]]
    local other = pgmig.connect(url)
    m = migrator("goose", { log = function() end })
    local ask_rows = db.ask_rows
    db.ask_rows = function(self, shape, sql, ...)
      if not killed and sql:find "INSERT INTO" then
        killed = true
        other:query("SELECT pg_terminate_backend($1::int)", db:backend_pid())
      end
      return ask_rows(self, shape, sql, ...)
    end
    plan = m:export()
    db.ask_rows = nil
    other:close()
    assert.same({ true, 3, tools.goose.golden }, { killed, #plan, rows "goose" })
  end)
end)
