-- Folders of other tools, made up in the shapes that real ones have.
local pgmig = require "pgmig"
local history = require "spec.support.history"
local support = require "spec.support"

local labels, fails = history.labels, history.fails

describe("a folder of another tool", function()
  local db, dir

  before_each(function()
    db = pgmig.connect(support.database())
    dir = support.tempdir()
  end)

  after_each(function() db:close() end)

  local function write(files) history.write(dir, files) end

  local function migrator(format, options)
    options = options or {}
    options.format = format
    return pgmig.migrator(db, dir, options)
  end

  local function tables() return history.tables(db) end

  it("goose's: up and down, with Go files beside them", function()
    write {
      ["00001_a.sql"] = "-- +goose Up\nCREATE TABLE a ();\n\n-- +goose Down\nDROP TABLE a;\n",
      ["00002_b.go"] = "package migrations\n",
      ["00003_c.sql"] = "-- +goose NO TRANSACTION\n-- +goose Up\n"
        .. "CREATE INDEX CONCURRENTLY i ON d (x);\n-- +goose Down\nDROP INDEX CONCURRENTLY i;\n",
    }
    db:exec "CREATE TABLE d (x int)"
    local m = migrator "goose"
    assert.same({ dir .. "/00002_b.go" }, m:plan().ignored)
    assert.equal("00001_a 00003_c", labels(m:migrate()))
    assert.equal("00003_c 00001_a", labels(m:rollback(2)))
    assert.equal("d", tables())
    m = migrator("goose", { strict = true })
    assert.matches("is code, but neither SQL nor Lua", fails(m.migrate, m).message)
    assert.matches("write it again in SQL or Lua, or move it", m:doctor()[1].message)
  end)

  it("dbmate's has its own table beside dbmate's", function()
    db:exec "CREATE TABLE schema_migrations (version varchar PRIMARY KEY)"
    write {
      ["20240115103000_a.sql"] =
        "-- migrate:up\nCREATE TABLE a ();\n\n-- migrate:down\nDROP TABLE a;\n",
      ["20240116103000.sql"] = "-- migrate:up\nCREATE TABLE b ();\n-- migrate:down\n",
    }
    local m = migrator "dbmate"
    assert.equal("20240115103000_a 20240116103000", labels(m:migrate()))
    assert.equal("20240116103000", labels(m:rollback()))
    assert.equal("a b", tables()) -- its DOWN does nothing, which dbmate takes as it is
    assert.equal(1, db:query "SELECT count(*)::int AS n FROM pgmig_migrations"[1].n)
  end)

  it("golang-migrate's: gaps, ups without downs, downs without ups, empty files, other names",
    function()
      write {
        ["1_a.up.sql"] = "CREATE TABLE a ();", ["1_as.down.sql"] = "DROP TABLE a;",
        ["2_b.up.sql"] = "", ["2_b.down.sql"] = "-- nothing\n",
        ["5_c.up.sql"] = "CREATE TABLE c ();",
        ["7_d.down.sql"] = "DROP TABLE d;",
        ["10_e.up.sql"] = "BEGIN;\nCREATE TABLE e ();\nCOMMIT;\n",
        ["10_e.down.sql"] = "DROP TABLE e;",
        ["11_f.up.sql"] = "CREATE INDEX CONCURRENTLY i ON g (x);",
      }
      db:exec "CREATE TABLE g (x int)"
      local m = migrator "golang-migrate"
      assert.same({ dir .. "/7_d.down.sql" }, m:plan().ignored)
      assert.equal("1_a 2_b 5_c 10_e 11_f", labels(m:migrate()))
      assert.equal("a c e g", tables())
      assert.matches("it has no DOWN", fails(m.rollback, m).message)
      assert.equal("11", m:applied()[5].id)
    end)

  it("a broken way back keeps nothing from going up, and shows", function()
    write { ["1_a.up.sql"] = "CREATE TABLE a ();", ["1_a.down.sql"] = "$$;\n" }
    local m = migrator "golang-migrate"
    m:migrate()
    local status = m:status()
    assert.equal(1, #status.problems)
    assert.matches("1_a.down.sql:1:1: unterminated dollar-quoted string",
      status.problems[1].message, 1, true)
    assert.equal("parse", fails(m.rollback, m).kind)
    assert.equal("a", tables())
  end)

  it("maragu's: numbers that repeat are in the order of their names", function()
    write {
      ["0000_b.up.sql"] = "CREATE TABLE b ();", ["0000_a.up.sql"] = "CREATE TABLE a ();",
      ["0001_c_up.sql"] = "CREATE TABLE c ();", ["0001_c.down.sql"] = "DROP TABLE c;",
    }
    local m = migrator "maragu"
    assert.equal("0000_a 0000_b", labels(m:migrate "0000_b"))
    m:migrate()
    assert.equal("100", m:applied()[3].id)
    assert.equal("0001_c", labels(m:rollback()))
    assert.matches("there is no migration 2", fails(m.migrate, m, "0002").message)
  end)

  it("sqlx's: simple files and pairs together", function()
    write {
      ["20240115103000_a.sql"] = "CREATE TABLE a ();",
      ["20240116103000_b.up.sql"] = "-- no-transaction\nCREATE TABLE b ();\nVACUUM b;\n",
      ["20240116103000_b.down.sql"] = "DROP TABLE b;",
    }
    local m = migrator "sqlx"
    assert.equal("20240115103000_a 20240116103000_b", labels(m:migrate()))
    assert.equal("20240116103000_b", labels(m:rollback()))
  end)

  it("diesel's: dashes dropped, compared as text, and metadata.toml", function()
    write {
      ["2024-01-15-103000_a/up.sql"] = "CREATE TABLE a (x int);",
      ["2024-01-15-103000_a/down.sql"] = "DROP TABLE a;",
      ["2024-02-13-170000-0000_b/up.sql"] = "CREATE TABLE b ();",
      ["2024-02-13-170000-0000_b/down.sql"] = "-- nothing",
      ["20240301000000_c/up.sql"] = "VACUUM a;\nCREATE INDEX CONCURRENTLY i ON a (x);",
      ["20240301000000_c/down.sql"] = "DROP INDEX i;",
      ["20240301000000_c/metadata.toml"] = "# because\nrun_in_transaction = false\n",
      ["2024-03-01-000000-0000_c2/up.sql"] = "SELECT 1;", -- the same but for its length
      ["2024-03-01-000000-0000_c2/down.sql"] = "SELECT 1;",
      ["2024-4-1-0900-update-it/up.sql"] = "CREATE TABLE d ();",
    }
    local m = migrator "diesel"
    assert.equal("2024-01-15-103000_a 2024-02-13-170000-0000_b 20240301000000_c "
      .. "2024-03-01-000000-0000_c2 2024-4-1-0900-update-it", labels(m:migrate()))
    assert.equal("2024011510300000000014", m:applied()[1].id)
    assert.equal("none", m:status().applied[5].down)
    m:migrate "2024-01-15-103000_a" -- known, applied: nothing to do
    for _, name in ipairs { "schema_migrations_history", "schema_migrations" } do
      db:exec(("DELETE FROM %s WHERE version = (SELECT max(version) FROM schema_migrations)")
        :format(name))
    end
    assert.equal("2024-03-01-000000-0000_c2 20240301000000_c 2024-02-13-170000-0000_b",
      labels(m:rollback { to = "20240115103000" }))
  end)

  it("popx's: the database's own file before the one for all, autocommit, two lengths", function()
    write {
      ["20230101000000_a.up.sql"] = "CREATE TABLE wrong ();",
      ["20230101000000_a.postgres.up.sql"] = "CREATE TABLE a (x int);",
      ["20230101000000_a.mysql.up.sql"] = "CREATE TABLE `a` (x int);",
      ["20230101000000_a.down.sql"] = "DROP TABLE a;",
      ["20230101000001000000_b.autocommit.up.sql"] = "CREATE INDEX CONCURRENTLY i ON a (x);",
      ["20230101000001000000_b.down.sql"] = "DROP INDEX i;",
      ["20230102000000_c.up.sql"] = "ALTER TABLE {{ index .Options \"Schema\" }}.a ADD y int;",
      ["20230102000000_c.down.sql"] = "ALTER TABLE a DROP y;",
    }
    local err = fails(function() migrator("popx"):migrate() end)
    assert.matches('placeholder {{ index .Options "Schema" }}', err.message, 1, true)
    assert.equal("", tables()) -- nothing has run
    local m = migrator("popx", { placeholders = { ['index .Options "Schema"'] = "public" } })
    assert.equal("20230101000000_a 20230101000001000000_b 20230102000000_c", labels(m:migrate()))
    assert.equal("a", tables())
    assert.equal("applied", m:status().applied[3].state) -- the checksum is the file's
    assert.equal(3, #m:rollback { to = 0 })
  end)

  it("Flyway's: dotted versions, repeatables, .conf, undo, several folders", function()
    write {
      ["V1__a.sql"] = "CREATE TABLE a (x int);", ["U1__a.sql"] = "DROP TABLE a;",
      ["V1_9__b.sql"] = "ALTER TABLE a ADD b int;",
      ["V1_10_0__c.sql"] = "ALTER TABLE a RENAME b TO c;",
      ["V1.10.1__d.sql"] = "CREATE INDEX CONCURRENTLY i ON a (c);",
      ["V2__e.sql"] = "INSERT INTO a VALUES (1); SELECT '${not}';",
      ["V2__e.sql.conf"] = "placeholderReplacement=false\nexecuteInTransaction = false\n",
      ["R__view.sql"] = "CREATE OR REPLACE VIEW v AS SELECT x FROM a;",
      ["afterMigrate.sql"] = "SELECT 1;",
    }
    local m = migrator "flyway"
    local status = m:status()
    assert.same({}, status.problems)
    assert.same({ dir .. "/afterMigrate.sql" }, status.ignored)
    assert.equal("1_a 1_9_b 1_10_0_c 1.10.1_d 2_e R__view", labels(m:migrate()))
    assert.equal("", labels(m:migrate "1.9"))
    assert.equal("there are versions 1 to 2", fails(m.migrate, m, "7").hint)
    support.write(dir, "V1_9__b.sql", "SELECT 1;")
    assert.matches("pgmig repair 1.9;", fails(m.migrate, m).hint, 1, true)
    assert.equal("1_9_b", labels(m:repair "1.9"))
    assert.matches("no DOWN", fails(m.rollback, m).message)
    assert.same({ 1, 2 }, { m:plan_rollback { to = "1.10.1" }[1].version and 1, 2 })
    assert.matches("/V3__next_thing.sql$", m:create "next thing")
  end)

  it("Flyway's: a baseline file is for new databases", function()
    local files = {
      ["V1__a.sql"] = "CREATE TABLE a ();", ["V2__b.sql"] = "CREATE TABLE b ();",
      ["V3__c.sql"] = "CREATE TABLE c ();",
    }
    write(files)
    local old = pgmig.connect(support.database())
    pgmig.migrator(old, dir, { format = "flyway" }):migrate "1"
    write { ["B1__old.sql"] = "SELECT 1/0;", ["B2__base.sql"] = "CREATE TABLE ab ();" }
    local m = migrator "flyway"
    assert.equal("2_base 3_c", labels(m:pending()))
    assert.equal("2_base 3_c", labels(m:migrate()))
    assert.equal("ab c", tables())
    assert.equal("", labels(m:pending()))
    assert.equal("2_base 3_c", labels(m:applied()))
    assert.same({}, m:doctor())
    assert.equal("2_b 3_c", labels(pgmig.migrator(old, dir, { format = "flyway" }):migrate()))
    old:close()
    os.remove(dir .. "/V1__a.sql")
    os.remove(dir .. "/V2__b.sql")
    assert.equal("applied", m:status().applied[1].state)
    support.write(dir, "B2__base.sql", "CREATE TABLE ba ();")
    assert.equal("edited", m:status().applied[1].state)
  end)

  it("Flyway's, without a prefix and with placeholders", function()
    write {
      ["20240115103000123__a.sql"] = "CREATE TABLE ${schema}.a (x text DEFAULT '${ value }');",
    }
    local m = migrator("flyway", { placeholders = { schema = "public", value = "it's" } })
    assert.matches("unterminated quoted string", fails(m.migrate, m).message)
    m = migrator("flyway", { placeholders = { schema = "public", value = "v" } })
    assert.equal(1, #m:migrate())
    assert.equal("v", db:query("INSERT INTO a DEFAULT VALUES RETURNING x")[1].x)
  end)

  it("tern's, sql-migrate's, node-pg-migrate's and graphile-migrate's", function()
    write {
      ["001_a.sql"] = "CREATE TABLE a ();\n---- create above / drop below ----\nDROP TABLE a;\n",
    }
    assert.equal("001_a", labels(migrator("tern", { table = "t1" }):migrate()))
    assert.equal("001_a", labels(migrator("tern", { table = "t1" }):rollback()))
    dir = support.tempdir()
    write {
      ["1-b.sql"] = "-- +migrate Up\nALTER TABLE a ADD x int;\n-- +migrate Down\n",
      ["1-a.sql"] = "-- +migrate Up\nCREATE TABLE a ();\n-- +migrate Down\nDROP TABLE a;\n",
    }
    assert.equal("1-a 1-b", labels(migrator("sql-migrate", { table = "t2" }):migrate()))
    assert.equal("1-b 1-a", labels(migrator("sql-migrate", { table = "t2" }):rollback(2)))
    dir = support.tempdir()
    write {
      ["1718000000000_b.sql"] =
        "-- Up Migration\nCREATE TABLE b ();\n-- Down Migration\nDROP TABLE b;\n",
      ["20240610061319999_a.sql"] = "CREATE TABLE a ();", -- a second before 1718000000000
      ["1719000000000_c.js"] = "exports.up = () => {};\n",
    }
    local m = migrator("node-pg-migrate", { table = "t3" })
    assert.equal("20240610061319999_a 1718000000000_b", labels(m:migrate()))
    assert.equal("1717999999999", m:applied()[1].id)
    assert.same({ dir .. "/1719000000000_c.js" }, m:status().ignored)
    assert.equal("1718000000000_b", labels(m:rollback()))
    dir = support.tempdir()
    write {
      ["committed/000001.sql"] = "--! Previous: -\n--! Hash: sha1:1\n\nCREATE TABLE g ();\n",
      ["committed/000002-h.sql"] = "--! Previous: sha1:1\n--! Hash: sha1:2\n\nCREATE TABLE h ();\n",
      ["current.sql"] = "SELECT nonsense;\n",
    }
    write { ["committed/000003.sql"] = "--! Previous: sha1:2\n--! Hash: sha1:3\n\n"
      .. "ALTER TABLE h OWNER TO :DATABASE_OWNER; SELECT 1::TEXT, :A;\n" }
    m = migrator("graphile-migrate", {
      table = "t4", placeholders = { DATABASE_OWNER = "CURRENT_USER", TEXT = "no", A = "1" },
    })
    assert.equal("000001 000002-h 000003", labels(m:migrate()))
    assert.matches("graphile-migrate commit", fails(m.create, m, "x").message, 1, true)
  end)

  it("of a tool that begins for its files: they may commit and begin in between", function()
    write {
      ["1-a.sql"] = "-- +migrate Up\nCREATE TYPE e AS ENUM ('x');\nALTER TYPE e ADD VALUE 'y';\n"
        .. "COMMIT;\nBEGIN;\nCREATE TABLE a AS SELECT 'y'::e AS y;\n-- +migrate Down\n"
        .. "DROP TABLE a;\nCOMMIT;\nDROP TYPE e;\n",
    }
    local m = migrator "sql-migrate"
    assert.equal("1-a", labels(m:migrate()))
    assert.equal("a", tables())
    assert.equal("1-a", labels(m:rollback()))
    assert.equal("", tables())
  end)

  it("leaves nothing of a file whose BEGIN has no COMMIT, and all of it where it works", function()
    local heads = {
      sqlx = "", ["sql-migrate"] = "-- +migrate Up\n", goose = "-- +goose Up\n",
      dbmate = "-- migrate:up\n", tern = "", ["node-pg-migrate"] = "", popx = "", flyway = "",
    }
    local names = { popx = "1_a.up.sql", flyway = "V1__a.sql" }
    for format, head in pairs(heads) do
      for _, begin in ipairs { "BEGIN;\nCREATE TABLE a ();\n", "CREATE TABLE a ();\nBEGIN;\n",
        "BEGIN;\nCREATE TABLE a ();\nSTART TRANSACTION;\n" } do
        dir = support.tempdir()
        local path = names[format] or "1_a.sql"
        write { [path] = head .. begin .. "SELECT 1/0;\n" }
        local m = migrator(format, { table = "t_migrations" })
        assert.equal("22012", fails(m.migrate, m).sqlstate, format)
        assert.equal("", tables())
        write { [path] = head .. begin .. "CREATE TABLE b ();\n" }
        migrator(format, { table = "t_migrations" }):migrate()
        assert.equal("a b", tables())
        db:exec "DROP TABLE a, b, t_migrations, t_migrations_history"
      end
    end
  end)

  it("that commits in between keeps whole what stands between two COMMITs", function()
    local function up(text)
      write { ["1-a.sql"] = "-- +migrate Up\n" .. text .. "-- +migrate Down\n" }
      return migrator "sql-migrate"
    end
    local first = "CREATE TABLE a (n int);\nINSERT INTO a VALUES (1);\n"
    local m = up(first .. "SELECT 1/0;\nCOMMIT;\nCREATE TABLE b ();\n")
    assert.equal(4, fails(m.migrate, m).line)
    assert.equal("", tables())
    m = up(first .. "COMMIT;\nBEGIN;\nCREATE TABLE b ();\nCREATE TABLE c ();\nSELECT 1/0;\n")
    assert.matches("3 statements", fails(m.migrate, m).hint)
    assert.equal("a", tables())
    m = up(first .. "COMMIT;\nBEGIN;\nCREATE TABLE b ();\nCREATE TABLE c ();\nSELECT 1;\n")
    assert.equal("1-a", labels(m:migrate()))
    assert.equal("a b c", tables())
    assert.equal(1, db:query "SELECT count(*)::int AS n FROM a"[1].n)
  end)

  it("may have files that are too large to be held", function()
    local rows = ("INSERT INTO a VALUES ('%s');\n"):format(("x"):rep(1000)):rep(1200)
    write {
      ["1_a.sql"] = "-- no-transaction\nCREATE TABLE a (x text);\n" .. rows,
      ["2_b.sql"] = rows .. "COMMIT;\nBEGIN;\n" .. rows,
      ["3_c.sql"] = "BEGIN;\n" .. rows .. "COMMIT;\n",
      ["4_d.sql"] = rows .. "BEGIN;\n" .. rows .. "BEGIN;\nDELETE FROM a WHERE false;\nCOMMIT;\n",
      ["5_e.sql"] = "BEGIN ISOLATION LEVEL SERIALIZABLE;\n" .. rows,
    }
    local m = migrator "sqlx"
    assert.equal("1_a 2_b 3_c 4_d 5_e", labels(m:migrate()))
    assert.equal(8400, db:query("SELECT count(*)::int AS n FROM a")[1].n)
  end)

  it("is recognised by `auto`, with the database's help where files look alike", function()
    write { ["0001_a.up.sql"] = "CREATE TABLE a ();" }
    assert.matches("several formats", fails(migrator, "auto").message)
    db:exec "CREATE TABLE schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL)"
    assert.equal("0001_a", labels(migrator("auto"):migrate()))
  end)

  it("gets new files of its own kind", function()
    local function created(format)
      dir = support.tempdir()
      local path, down = migrator(format):create "add x"
      return path:sub(#dir + 2), down and down:sub(#dir + 2), support.read(path)
    end
    local path, _, text = created "goose"
    assert.matches("^%d%d%d%d%d%d%d%d%d%d%d%d%d%d_add_x.sql$", path)
    assert.matches("-- +goose Up", text, 1, true)
    local down
    path, down = created "diesel"
    assert.matches("^%d%d%d%d%-%d%d%-%d%d%-%d%d%d%d%d%d_add_x/up.sql$", path)
    assert.equal((path:gsub("up.sql", "down.sql")), down)
    path = created "diesel" -- behind one that is there
    assert.matches("_add_x/up.sql$", path)
    support.write(dir, (path:gsub("up.sql", "x.sql")), "")
    local again = migrator("diesel"):create "add y"
    assert.is_true(again > dir .. "/" .. path:gsub("_.*", ""))
    path, down = created "golang-migrate"
    assert.same({ "001_add_x.up.sql", "001_add_x.down.sql" }, { path, down })
    assert.matches("^%d%d%d%d%d%d%d%d%d%d%d%d%d_add_x.sql$", (created "node-pg-migrate"))
  end)

  it("may be of a format of one's own", function()
    write { ["7.a.sql"] = "--#up\nCREATE TABLE a ();\n--#down\nDROP TABLE a;\n" }
    local path = support.write(support.tempdir(), "mine.lua", [[
      return {
        name = "mine",
        naming = {
          parse = function(path)
            local version, name = path:match "^(%d+)%.(.+)%.sql$"
            return version and { version = version, name = name }
          end,
          format = function(version, name) return version .. "." .. name .. ".sql" end,
        },
        vocabulary = {
          markers = { { text = "#up", kind = "up" }, { text = "#down", kind = "down" } },
          marked = true,
        },
      }]])
    assert.equal("7_a", labels(migrator(path):migrate()))
    assert.equal("7_a", labels(migrator(dofile(path)):rollback()))
    assert.matches("a format file must return a table",
      fails(migrator, support.write(dir, "x.lua", "return 1")).message)
    assert.matches("cannot open", fails(migrator, dir .. "/none.lua").message)
  end)
end)
