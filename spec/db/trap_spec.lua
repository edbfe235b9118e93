-- A database in which every name of pg_catalog's, function, operator, type or relation, has a trap
-- in a schema that comes first in the path (spec/fixtures/traps.sql). Whatever pgmig does there,
-- nothing is caught; and the server's log of it shows no statement that leaves a name to the path.
local cli = require "spec.cli.helper"
local core = require "pgmig.core"
local history = require "spec.support.history"
local pgmig = require "pgmig"
local pgmig_formats = require "pgmig.formats"
local scratch = require "pgmig.scratch"
local support = require "spec.support"
local testing = require "pgmig.testing"
local sqitch_plan = require "pgmig.formats.sqitch_plan"
local unqualified = require "spec.support.unqualified"

describe("with a trap for every name in the path,", function()
  local server, count, url, db, dir, log_read

  setup(function()
    count = 0
    server = scratch.start { settings = { log_statement = "all", log_line_prefix = "\1%a\2" } }
    support.psql(server:url(), "CREATE DATABASE trapped")
    local code, _, err = support.run("psql -XAtq -v ON_ERROR_STOP=1 -f spec/fixtures/traps.sql "
      .. support.quote(server:url "trapped"))
    assert(code == 0, err)
  end)

  teardown(function() server:stop() end)

  before_each(function()
    count = count + 1
    local name = "trapped_" .. count
    support.psql(server:url(), ("CREATE DATABASE %s TEMPLATE trapped"):format(name))
    support.psql(server:url(), ("ALTER DATABASE %s SET search_path = trap, public, pg_catalog")
      :format(name))
    url, dir = server:url(name), support.tempdir()
    log_read = #support.read(server.log)
    db = pgmig.connect(url)
  end)

  --- The log's entries since the database was made: { application, text }.
  local function entries()
    local list = {}
    local text = support.read(server.log):sub(log_read + 1)
    for entry in text:gmatch "[^\1]+" do
      local application, message = entry:match "^([^\2]*)\2%u+:  (.*)"
      list[#list + 1] = { application = application, text = message }
    end
    return list
  end

  after_each(function()
    db:close()
    local looked_at = 0
    for _, entry in ipairs(entries()) do
      assert.not_matches("^caught by a trap", entry.text)
      local sql = entry.text:match "^statement: (.*)" or entry.text:match "^execute [^:]*: (.*)"
      if sql and entry.application ~= "psql" then
        looked_at = looked_at + 1
        assert.equal("", table.concat(unqualified.find(sql), "  "), sql)
      end
    end
    assert.is_true(looked_at > 3)
  end)

  local function write(files) history.write(dir, files) end

  local function fails(...) return history.fails(...) end

  it("traps catch who does not look", function()
    for _, sql in ipairs { "SELECT 1 = 1", "SELECT now()", "SELECT count(*)", "SELECT 'a'::text",
      "SELECT * FROM pg_class", "SELECT 'a'::pg_catalog.name || 'b'::pg_catalog.text" } do
      local ok, err = pcall(db.query, db, sql)
      assert.is_false(ok, sql)
      assert.matches("caught by a trap", err.message)
      assert.is_true(#unqualified.find(sql) > 0 or sql:find "pg_class" ~= nil, sql)
    end
    log_read = #support.read(server.log) -- they were caught on purpose
    for _ = 1, 4 do db:exec "SELECT 1 OPERATOR(pg_catalog.+) 1" end
  end)

  local function run(words, expected)
    local code, out, err = cli.run(words, { DATABASE_URL = url, PGMIG_DIR = dir })
    assert.equal(expected or 0, code, words .. ":\n" .. out .. err)
    return out
  end

  it("a life of migrations goes on as usual, by every command", function()
    write {
      ["001_a.sql"] = "-- UP\nCREATE TABLE public.a (n integer);\n-- DOWN\nDROP TABLE public.a;\n",
      ["002_b.lua"] = 'return { up = function(db) db:exec "CREATE TABLE public.b ()" end,\n'
        .. '  down = function(db) db:exec "DROP TABLE public.b" end }',
      ["003_c.sql"] = "-- UP\nCOPY public.a (n) FROM stdin;\n1\n2\n\\.\n"
        .. "-- DOWN\nDELETE FROM public.a;\n",
      ["R__v.sql"] = "CREATE OR REPLACE VIEW public.v AS SELECT n FROM public.a;\n",
    }
    run "wait"
    run "status"
    run "plan"
    run "up"
    run "redo --steps 2"
    run "down"
    write {
      ["001_a.sql"] = "-- UP\nCREATE TABLE public.a (n bigint);\n-- DOWN\nDROP TABLE public.a;\n",
    }
    run("up", 2)
    run "repair 1"
    run "up --verbose --no-pipeline"
    os.rename(dir .. "/003_c.sql", dir .. "/003_renamed.sql")
    run "repair --all"
    run "down --to 1"
    run "baseline 2"
    run "up --fake 3"
    write { ["20240115103000_stamp.sql"] = "CREATE TABLE public.stamp ();" }
    run "up"
    write { ["20240115103001_bad.sql"] = "CREATE TABLE public.stamp ();" }
    run("up", 1)
    run "status --json"
    run "history"
    run "doctor"
    run "config"
  end)

  it("a migration without a transaction is resumed and resolved", function()
    write {
      ["001_t.sql"] = "CREATE TABLE public.t (n integer);\nINSERT INTO public.t VALUES (1), (1);\n",
      ["002_off.sql"] = "-- pgmig: transaction=off\n"
        .. "CREATE INDEX CONCURRENTLY plain ON public.t (n);\nDO $$ BEGIN NULL; END $$;\n"
        .. "CREATE UNIQUE INDEX CONCURRENTLY one ON public.t (n);\n"
        .. "REINDEX INDEX public.plain;\nDROP INDEX CONCURRENTLY public.plain;\n",
    }
    run("up", 1)
    run "doctor"
    db:exec "DELETE FROM public.t"
    run "up"
    assert.equal(0, #pgmig.migrator(db, dir):doctor())
    write { ["003_off.sql"] = "-- pgmig: transaction=off\nSELECT 1;\nSELECT nothing;\n" }
    run("up", 1)
    run "resolve 3 --restart"
    run("up", 1)
    run "doctor --json"
    write { ["003_off.sql"] = "-- pgmig: transaction=off\nSELECT 1;\nDO $$ BEGIN NULL; END $$;\n" }
    support.psql(url, [[UPDATE trap.schema_migrations_journal SET state = 'running', pid = NULL,
      running = done[1], statement = 'DO $$ BEGIN NULL; END $$']])
    run("up", 5)
    run "resolve 3 --done"
  end)

  it("an index that nobody has named is found, and the session is kept as it was", function()
    support.psql(url, "CREATE TABLE public.t (n integer); INSERT INTO public.t VALUES (1), (1)")
    write {
      ["001_off.sql"] = "-- pgmig: transaction=off\nSET app.kind = 'a';\n"
        .. "CREATE UNIQUE INDEX CONCURRENTLY ON public.t (n);\n",
    }
    db:exec [[SET app.mine = 'b'; SET work_mem = '5MB'; LISTEN nothing; PREPARE p AS VALUES (1);
      CREATE TEMPORARY TABLE pg_temp.kept ()]]
    local m = pgmig.migrator(db, dir)
    assert.matches("could not create unique index", fails(m.migrate, m).message)
    support.psql(url, "DELETE FROM public.t")
    assert.equal(1, #m:migrate())
    assert.equal("5MB", db:query("SELECT pg_catalog.current_setting('work_mem') AS v")[1].v)
    write { ["002_role.sql"] = "SET ROLE pg_monitor;\n" }
    assert.equal(1, #m:migrate())
  end)

  it("waiting, being blocked and losing a connection take their course", function()
    write {
      ["001_t.sql"] = "CREATE TABLE public.t (n integer);\n",
      ["002_alter.sql"] = "-- pgmig: lock_timeout=300ms\n"
        .. "ALTER TABLE public.t ADD COLUMN m integer;\nSELECT pg_catalog.pg_sleep(0.7);\n",
      ["003_last.sql"] = "-- pgmig: transaction=off\n"
        .. "CREATE INDEX CONCURRENTLY i ON public.t (n);\n",
    }
    local other, seen = pgmig.connect(url), {}
    pgmig.migrator(db, dir):migrate(1)
    local m = pgmig.migrator(db, dir)
    m:on("before_all", function()
      local waiting = pgmig.migrator(other, dir, { lock_wait = 0.1 })
      seen.lock = fails(waiting.migrate, waiting).kind
      other:exec "BEGIN; LOCK TABLE public.t"
    end)
    m:on("retry", function(ctx)
      seen.blocker = ctx.blockers and ctx.blockers[1].pid
      if other.handle:transaction_status() == "open" then other:exec "ROLLBACK" end
    end)
    m:on("before_each", function(ctx)
      if ctx.migration.version == 2 and ctx.attempt == 2 then
        other:query("SELECT pg_catalog.pg_terminate_backend($1)", ctx.db:backend_pid())
      end
    end)
    assert.equal(2, #m:migrate())
    assert.same({ lock = "lock", blocker = other:backend_pid() }, seen)
    other:close()
  end)

  local UP, DOWN = "CREATE TABLE public.a ();\n", "DROP TABLE public.a;\n"

  --- A text with both, where `%s` stands.
  local function both(text) return text:format(UP, DOWN) end

  local pair = { ["1_a.up.sql"] = UP, ["1_a.down.sql"] = DOWN }

  local PLAN = "%project=shop\n\na 2024-01-15T10:30:00Z A <a@example.org>\n"

  -- A migration in each format.
  local formats = {
    atlas = { ["1_a.sql"] = "-- atlas:sum ignore\n\n" .. UP },
    drizzle = {
      ["0000_a.sql"] = UP,
      ["meta/_journal.json"] = '{"entries":[{"idx":0,"when":1718000000001,"tag":"0000_a"}]}',
    },
    evolve = { ["V1__a.sql"] = UP },
    micrate = { ["1_a.sql"] = both "-- +micrate Up\n%s-- +micrate Down\n%s" },
    postgrator = { ["1.do.a.sql"] = UP, ["1.undo.a.sql"] = DOWN },
    prisma = { ["1_a/migration.sql"] = UP, ["1_a/down.sql"] = DOWN },
    rails = {
      ["structure.sql"] = UP .. "INSERT INTO schema_migrations (version) VALUES\n('1');\n",
    },
    shmig = { ["1-a.sql"] = both "-- ====  UP  ====\n%s-- ==== DOWN ====\n%s" },
    sqitch = { ["sqitch.plan"] = PLAN, ["deploy/a.sql"] = UP, ["revert/a.sql"] = DOWN },
    supabase = { ["1_a.sql"] = UP },
    dbmate = { ["1_a.sql"] = both "-- migrate:up\n%s-- migrate:down\n%s" },
    diesel = { ["2024-01-15-103000_a/up.sql"] = UP, ["2024-01-15-103000_a/down.sql"] = DOWN },
    flyway = { ["V1__a.sql"] = UP, ["U1__a.sql"] = DOWN },
    ["golang-migrate"] = pair,
    goose = { ["1_a.sql"] = both "-- +goose Up\n%s-- +goose Down\n%s" },
    ["graphile-migrate"] = {
      ["committed/000001.sql"] = "--! Previous: -\n--! Hash: sha1:1\n\n" .. UP,
    },
    hasura = { ["1620138136207_a/up.sql"] = UP, ["1620138136207_a/down.sql"] = DOWN },
    maragu = pair,
    ["node-pg-migrate"] = {
      ["1718000000000_a.sql"] = both "-- Up Migration\n%s-- Down Migration\n%s",
    },
    pgmig = { ["001_a.sql"] = both "-- UP\n%s-- DOWN\n%s" },
    popx = pair,
    ["postgres-migrations"] = { ["1-a.sql"] = UP },
    refinery = { ["V1__a.sql"] = UP },
    ["sql-migrate"] = { ["1-a.sql"] = both "-- +migrate Up\n%s-- +migrate Down\n%s" },
    sqlx = pair,
    tern = { ["001_a.sql"] = both "%s---- create above / drop below ----\n%s" },
  }

  -- Of tools whose table is not made by pgmig: with that migration.
  local own_tables = {
    atlas = [[CREATE SCHEMA atlas_schema_revisions;
      CREATE TABLE atlas_schema_revisions.atlas_schema_revisions (version varchar, type bigint,
        applied bigint, total bigint, executed_at pg_catalog.timestamptz, hash varchar);
      INSERT INTO atlas_schema_revisions.atlas_schema_revisions
        VALUES ('1', 2, 1, 1, pg_catalog.now(), '')]],
    evolve = [[CREATE TABLE public.changelog (id integer, type smallint, version varchar,
        description varchar, name varchar, checksum varchar, installed_by varchar,
        installed_on timestamp, success boolean);
      INSERT INTO public.changelog
        VALUES (1, 0, '1', 'a', 'V1__a.sql', '', '', pg_catalog.now(), true)]],
    rails = [[CREATE TABLE public.schema_migrations (version varchar);
      INSERT INTO public.schema_migrations VALUES ('1')]],
    sqitch = [[CREATE SCHEMA sqitch;
      CREATE TABLE sqitch.changes (change_id pg_catalog.text, script_hash pg_catalog.text,
        change pg_catalog.text, project pg_catalog.text, committed_at pg_catalog.timestamptz,
        planned_at pg_catalog.timestamptz);
      INSERT INTO sqitch.changes VALUES (']] .. sqitch_plan.read(PLAN, "sqitch.plan").changes[1].id
      .. "', NULL, 'a', 'shop', pg_catalog.now(), pg_catalog.now())",
    flyway = [[CREATE TABLE public.flyway_schema_history (installed_rank integer, version varchar,
      description varchar, type varchar, script varchar, checksum integer, installed_on timestamp,
      success boolean);
      INSERT INTO public.flyway_schema_history
        VALUES (1, '1', 'a', 'SQL', 'V1__a.sql', NULL, pg_catalog.now(), true)]],
    ["golang-migrate"] = [[CREATE TABLE public.schema_migrations (version bigint, dirty boolean);
      INSERT INTO public.schema_migrations VALUES (1, false)]],
    ["graphile-migrate"] = [[CREATE SCHEMA graphile_migrate;
      CREATE TABLE graphile_migrate.migrations (hash pg_catalog.text, previous_hash pg_catalog.text,
        filename pg_catalog.text, date pg_catalog.timestamptz);
      INSERT INTO graphile_migrate.migrations VALUES ('sha1:1', NULL, '000001.sql', NULL)]],
    hasura = [[CREATE SCHEMA hdb_catalog;
      CREATE TABLE hdb_catalog.hdb_version (hasura_uuid pg_catalog.uuid, version pg_catalog.text,
        cli_state pg_catalog.jsonb);
      INSERT INTO hdb_catalog.hdb_version (cli_state)
        VALUES ('{"migrations": {"default": {"1620138136207": false}}}')]],
    ["postgres-migrations"] = [[CREATE TABLE public.migrations (id integer,
        name varchar, hash varchar, executed_at timestamp);
      INSERT INTO public.migrations VALUES (0, 'create-migrations-table', '', pg_catalog.now()),
        (1, 'a', ']] .. core.digest("1-a.sql" .. UP, "sha1") .. [[', pg_catalog.now())]],
    refinery = [[CREATE TABLE public.refinery_schema_history (version integer, name varchar,
        applied_on varchar, checksum varchar);
      INSERT INTO public.refinery_schema_history VALUES (1, 'a', '2024-01-15T10:30:00.5Z', ']]
      .. core.digest("a\255\1\0\0\0" .. UP .. "\255", "siphash13") .. "')",
    maragu = [[CREATE TABLE public.migrations (version pg_catalog.text);
      INSERT INTO public.migrations VALUES ('1_a')]],
    pgmig = [[CREATE TABLE public.schema_migrations (version integer PRIMARY KEY,
        name pg_catalog.text NOT NULL,
        applied_at pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now());
      INSERT INTO public.schema_migrations (version, name) VALUES (1, 'a')]],
    tern = [[CREATE TABLE public.schema_version (version integer);
      INSERT INTO public.schema_version VALUES (1)]],
  }

  it("every format's tables are made, used in place and taken over", function()
    for _, name in ipairs(pgmig_formats.names) do
      dir = support.tempdir()
      write(formats[name])
      local tool = pgmig_formats.find(name)
      if own_tables[name] then
        support.psql(url, own_tables[name])
      elseif tool.shared then
        local shared = pgmig.migrator(db, dir, { format = name, shared = true })
        assert.equal(1, #shared:migrate())
        assert.equal(1, #(name == "supabase" and shared:unapply(1) or shared:rollback()))
        if name == "supabase" then support.psql(url, "DROP TABLE public.a") end
        assert.equal(1, #shared:migrate())
        assert.equal(1, shared:status().applied_count)
        support.psql(url, "DROP TABLE public.a")
      else
        local first = pgmig.migrator(db, dir, { format = name, table = "trap.of_" .. name })
        assert.equal(1, #first:migrate())
        assert.equal(1, #first:export())
        support.psql(url, "DROP TABLE public.a")
      end
      local own_table = "trap.own_" .. name:gsub("%W", "_")
      local m = pgmig.migrator(db, dir, { format = name, table = own_table })
      assert.equal(1, #m:adopt(), name)
      assert.equal(1, m:status().applied_count)
      local first, out = m:applied()[1], "trap.out_" .. name:gsub("%W", "_")
      if tool.export or tool.shared then
        assert.equal(1, #m:export { to_table = out }, name)
        m:unapply(first)
        assert.equal(1, #m:export({ to_table = out }).removed, name)
      end
      local tool_table = tool.tracking.table
      if not tool_table:find "%." then
        support.psql(url, ("DROP TABLE IF EXISTS trap.%s, public.%s")
          :format(tool_table, tool_table))
      end
    end
  end)

  it("databases for specs are made", function()
    write { ["001_a.sql"] = "CREATE TABLE public.a ();" }
    local made = testing.database { dir = dir, url = url }
    testing.drop(made)
  end)
end)
