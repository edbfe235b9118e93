-- The tracking table of another tool, used in place: pgmig and the tool take turns. The tool's part
-- is its documented SQL; spec/rivals has the tools themselves, where they are installed.
local pgmig = require "pgmig"
local history = require "spec.support.history"
local support = require "spec.support"

local labels, fails = history.labels, history.fails

-- What a tool writes: three migrations in its files, how it records and forgets the second.
local tools = {
  dbmate = {
    files = {
      ["001_a.sql"] = "-- migrate:up\nCREATE TABLE a ();\n-- migrate:down\nDROP TABLE a;\n",
      ["002_b.sql"] = "-- migrate:up\nCREATE TABLE b ();\n-- migrate:down\nDROP TABLE b;\n",
      ["003_c.sql"] = "-- migrate:up\nCREATE TABLE c ();\n-- migrate:down\nDROP TABLE c;\n",
    },
    record = "INSERT INTO schema_migrations VALUES ('002')",
    forget = "DELETE FROM schema_migrations WHERE version = '002'",
    rows = "SELECT string_agg(version, ' ' ORDER BY version) AS rows FROM schema_migrations",
    all = "001 002 003",
  },
  goose = {
    files = {
      ["001_a.sql"] = "-- +goose Up\nCREATE TABLE a ();\n-- +goose Down\nDROP TABLE a;\n",
      ["002_b.sql"] = "-- +goose Up\nCREATE TABLE b ();\n-- +goose Down\nDROP TABLE b;\n",
      ["003_c.sql"] = "-- +goose Up\nCREATE TABLE c ();\n-- +goose Down\nDROP TABLE c;\n",
    },
    record = "INSERT INTO goose_db_version (version_id, is_applied) VALUES (2, true)",
    forget = "INSERT INTO goose_db_version (version_id, is_applied) VALUES (2, false)",
    rows = "SELECT string_agg(DISTINCT version_id::text, ' ') AS rows FROM goose_db_version "
      .. "WHERE is_applied",
    all = "0 1 2 3",
  },
  ["node-pg-migrate"] = {
    files = {
      ["1700000000001_a.sql"] =
        "-- Up Migration\nCREATE TABLE a ();\n-- Down Migration\nDROP TABLE a;\n",
      ["1700000000002_b.sql"] =
        "-- Up Migration\nCREATE TABLE b ();\n-- Down Migration\nDROP TABLE b;\n",
      ["1700000000003_c.sql"] =
        "-- Up Migration\nCREATE TABLE c ();\n-- Down Migration\nDROP TABLE c;\n",
    },
    record = "INSERT INTO pgmigrations (name, run_on) VALUES ('1700000000002_b', now())",
    forget = "DELETE FROM pgmigrations WHERE name = '1700000000002_b'",
    rows = "SELECT string_agg(right(name, 3), ' ' ORDER BY name) AS rows FROM pgmigrations",
    all = "1_a 2_b 3_c",
  },
  ["sql-migrate"] = {
    files = {
      ["1-a.sql"] = "-- +migrate Up\nCREATE TABLE a ();\n-- +migrate Down\nDROP TABLE a;\n",
      ["2-b.sql"] = "-- +migrate Up\nCREATE TABLE b ();\n-- +migrate Down\nDROP TABLE b;\n",
      ["3-c.sql"] = "-- +migrate Up\nCREATE TABLE c ();\n-- +migrate Down\nDROP TABLE c;\n",
    },
    record = "INSERT INTO gorp_migrations VALUES ('2-b.sql', now())",
    forget = "DELETE FROM gorp_migrations WHERE id = '2-b.sql'",
    rows = "SELECT string_agg(id, ' ' ORDER BY id) AS rows FROM gorp_migrations",
    all = "1-a.sql 2-b.sql 3-c.sql",
  },
  sqlx = {
    needs = { 11, "sha384()" },
    files = {
      ["1_make_a.up.sql"] = "CREATE TABLE a ();", ["1_make_a.down.sql"] = "DROP TABLE a;",
      ["2_make_b.up.sql"] = "CREATE TABLE b ();", ["2_make_b.down.sql"] = "DROP TABLE b;",
      ["3_make_c.up.sql"] = "CREATE TABLE c ();", ["3_make_c.down.sql"] = "DROP TABLE c;",
    },
    record = "INSERT INTO _sqlx_migrations (version, description, success, checksum, "
      .. "execution_time) VALUES (2, 'make b', true, sha384('CREATE TABLE b ();'), 1)",
    forget = "DELETE FROM _sqlx_migrations WHERE version = 2",
    rows = "SELECT string_agg(description, ', ' ORDER BY version) AS rows FROM _sqlx_migrations "
      .. "WHERE success AND checksum = sha384(convert_to('CREATE TABLE ' || right(description, 1) "
      .. "|| ' ();', 'UTF8'))",
    all = "make a, make b, make c",
  },
  diesel = {
    files = {
      ["2024-01-15-103001_a/up.sql"] = "CREATE TABLE a ();",
      ["2024-01-15-103001_a/down.sql"] = "DROP TABLE a;",
      ["2024-01-15-103002_b/up.sql"] = "CREATE TABLE b ();",
      ["2024-01-15-103002_b/down.sql"] = "DROP TABLE b;",
      ["2024-01-15-103003_c/up.sql"] = "CREATE TABLE c ();",
      ["2024-01-15-103003_c/down.sql"] = "DROP TABLE c;",
    },
    record = "INSERT INTO __diesel_schema_migrations (version) VALUES ('20240115103002')",
    forget = "DELETE FROM __diesel_schema_migrations WHERE version = '20240115103002'",
    rows = "SELECT string_agg(version, ' ' ORDER BY version) AS rows "
      .. "FROM __diesel_schema_migrations",
    all = "20240115103001 20240115103002 20240115103003",
  },
  popx = {
    files = {
      ["001_a.up.sql"] = "CREATE TABLE a ();", ["001_a.down.sql"] = "DROP TABLE a;",
      ["002_b.postgres.up.sql"] = "CREATE TABLE b ();", ["002_b.down.sql"] = "DROP TABLE b;",
      ["003_c.up.sql"] = "CREATE TABLE c ();", ["003_c.down.sql"] = "DROP TABLE c;",
    },
    record = "INSERT INTO schema_migration (version) VALUES ('002')",
    forget = "DELETE FROM schema_migration WHERE version = '002'",
    rows = "SELECT string_agg(version, ' ' ORDER BY version) AS rows FROM schema_migration",
    all = "001 002 003",
  },
}

describe("the table of another tool", function()
  local db, dir, url

  before_each(function()
    url = support.database()
    db, dir = pgmig.connect(url), support.tempdir()
  end)

  after_each(function() db:close() end)

  local function write(files) history.write(dir, files) end

  local function migrator(format, options)
    options = options or {}
    options.format, options.shared = format, true
    return pgmig.migrator(db, dir, options)
  end

  local function tables() return history.tables(db, "..") end

  it("may have no times, and what is in it is applied all the same", function()
    write(tools.dbmate.files)
    local m = migrator "dbmate"
    m:migrate()
    write { ["001_a.sql"] = tools.dbmate.files["001_a.sql"] .. "SELECT 1;" }
    assert.equal("edited", m:applied()[1].state)
    assert.equal(1, #m:repair(1))
    assert.equal("applied", m:applied()[1].state)
    assert.same({}, m:doctor())
    write { ["001_a.sql"] = tools.dbmate.files["001_a.sql"] }
    assert.equal("edited", m:applied()[1].state) -- what was repaired counts
    assert.same({}, m:fake(1))
  end)

  for format, tool in pairs(tools) do
    it(format .. "'s loses the row of what is not applied after all, without its file", function()
      if tool.needs then support.needs(pending, tool.needs[1], tool.needs[2]) end
      write(tool.files)
      local m = migrator(format)
      m:migrate()
      for name, text in pairs(tool.files) do
        if text:find "TABLE a" then os.remove(dir .. "/" .. name) end
      end
      local first = m:applied()[1]
      assert.equal("missing", first.state)
      assert.equal(1, #m:unapply(first.version))
      assert.equal(2, #m:applied())
      assert.equal("a b c", tables())
    end)

    it(format .. "'s serves both, turn by turn", function()
      if tool.needs then support.needs(pending, tool.needs[1], tool.needs[2]) end
      write(tool.files)
      local m = migrator(format)
      local first = labels(m:migrate { steps = 1 })
      db:exec(tool.record .. "; CREATE TABLE b ()")
      assert.equal(2, #m:applied())
      for _, done in ipairs(m:status().applied) do assert.equal("applied", done.state) end
      assert.equal(1, #m:migrate())
      assert.equal(tool.all, db:query(tool.rows)[1].rows)
      assert.equal("a b c", tables())
      assert.equal(1, #m:rollback())
      db:exec(tool.forget .. "; DROP TABLE b")
      assert.equal(first, labels(m:applied()))
      assert.equal(2, #m:migrate())
      assert.equal(tool.all, db:query(tool.rows)[1].rows)
      assert.equal(3, #m:rollback { to = 0 })
      assert.equal("", tables())
    end)

    it(format .. "'s lets one of them win, and the other skip", function()
      if tool.needs then support.needs(pending, tool.needs[1], tool.needs[2]) end
      write(tool.files)
      local m = migrator(format)
      m:migrate { steps = 1 }
      local other = pgmig.connect(url)
      other:exec("BEGIN; " .. tool.record .. "; CREATE TABLE b ()")
      local out = support.tempdir() .. "/out"
      os.execute(("(%s >%s 2>&1; echo $? >>%s) &"):format(support.lua_command(([[
        local pgmig = require "pgmig"
        local m = pgmig.migrator(pgmig.connect %q, %q, { format = %q, shared = true })
        for _, done in ipairs(m:migrate()) do print(done) end]]):format(url, dir, format)),
        out, out))
      support.wait(function()
        return db:query([[SELECT count(*)::int AS n FROM pg_stat_activity
          WHERE application_name = 'pgmig' AND wait_event_type = 'Lock']])[1].n == 1
      end, "its wait for the lock")
      other:exec "COMMIT"
      other:close()
      local text = support.wait(function()
        local said = support.read(out)
        return said:find "%d\n$" and said
      end, "its end")
      assert.matches("^[^\n]*c\n0\n$", text)
      assert.equal("a b c", tables())
      assert.equal(tool.all, db:query(tool.rows)[1].rows)
    end)
  end

  it("keeps history and journal beside it, and does without a transaction", function()
    write {
      ["1_a.sql"] = "-- migrate:up transaction:false\nCREATE TABLE a (x int);\n"
        .. "CREATE INDEX CONCURRENTLY i ON a (x);\n-- migrate:down\nDROP TABLE a;\n",
    }
    local m = migrator "dbmate"
    assert.equal("1_a", labels(m:migrate()))
    assert.equal("up", m:history()[1].event)
    assert.equal("1", db:query("SELECT version FROM schema_migrations")[1].version)
    assert.equal(1, db:query("SELECT count(*)::int AS n FROM schema_migrations_history")[1].n)
    support.write(dir, "1_a.sql", "-- migrate:up\nSELECT 1;\n-- migrate:down\n")
    assert.equal("drift", fails(m.migrate, m).kind)
    assert.equal(1, #m:repair())
    assert.equal("1_a", labels(m:rollback()))
  end)

  it("a migration that takes away its own row fails", function()
    write { ["1_a.sql"] = "-- +goose Up\nDELETE FROM goose_db_version;\n" }
    local m = migrator "goose"
    assert.matches("its own tracking row", fails(m.migrate, m).message)
    assert.equal("", labels(m:applied()))
  end)

  it("gets checksums of what the tool has applied from adopt", function()
    db:exec "CREATE TABLE schema_migrations (version varchar PRIMARY KEY)"
    db:exec "INSERT INTO schema_migrations VALUES ('002')"
    write(tools.dbmate.files)
    local m = migrator "dbmate"
    assert.equal("002_b", labels(m:adopt()))
    assert.equal("", labels(m:adopt()))
    assert.equal(1, db:query("SELECT count(*)::int AS n FROM schema_migrations")[1].n)
    assert.equal("adopted", m:history()[1].event)
  end)

  it("is refused where that cannot be safe or true, with what to do", function()
    write { ["1_a.up.sql"] = "SELECT 1;" }
    for _, format in ipairs { "golang-migrate", "maragu", "tern", "flyway", "graphile-migrate" } do
      local err = fails(migrator, format)
      assert.equal("usage", err.kind)
      assert.matches("cannot be shared: its ", err.message)
      assert.equal("take over its records instead: pgmig adopt --from " .. format, err.hint)
    end
  end)

  it("is refused when it is another one, or has a row that is no migration", function()
    write(tools.diesel.files)
    db:exec "CREATE TABLE __diesel_schema_migrations (version int PRIMARY KEY)"
    local err = fails(function() return migrator("diesel"):status() end)
    assert.matches("is not the tool's tracking table", err.message)
    assert.matches("version varchar", err.hint)
    db:exec "DROP TABLE __diesel_schema_migrations"
    db:exec "CREATE TABLE __diesel_schema_migrations (version varchar, run_on timestamp)"
    err = fails(function() return migrator("diesel"):status() end)
    assert.matches("no primary key on version", err.message)
    db:exec "ALTER TABLE __diesel_schema_migrations ADD PRIMARY KEY (version)"
    db:exec "INSERT INTO __diesel_schema_migrations VALUES ('nonsense')"
    err = fails(function() return migrator("diesel"):status() end)
    assert.matches("a row that is not a migration: nonsense", err.message)
  end)
end)
