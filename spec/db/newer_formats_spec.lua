-- Folders and tables of tools whose order, statements or checksums take more than a file's name,
-- made up in the shapes that real ones have.
local pgmig = require "pgmig"
local core = require "pgmig.core"
local detect = require "pgmig.takeover.detect"
local history = require "spec.support.history"
local support = require "spec.support"

local labels, fails = history.labels, history.fails

describe("a folder of a tool with an order of its own", function()
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

  local function adopt(format, options)
    return migrator(format, options):adopt { from = format }
  end

  -- ---- supabase ------------------------------------------------------------

  local function supabase_rows(rows)
    db:exec [[
      CREATE SCHEMA supabase_migrations;
      CREATE TABLE supabase_migrations.schema_migrations (version text PRIMARY KEY,
        statements text[], name text)]]
    db:exec("INSERT INTO supabase_migrations.schema_migrations VALUES " .. rows)
  end

  it("supabase's: files in the order of their names as text", function()
    write {
      ["20240101_b.sql"] = "CREATE TABLE b ();\nCREATE INDEX CONCURRENTLY ON a (x);\n",
      ["20240101000000_a.sql"] = "BEGIN;\nCREATE TABLE a (x int);\nCOMMIT;\n",
      ["20240102_c.sql"] =
        "SELECT pg_catalog.set_config('search_path', '', false);\nCREATE TABLE public.c ();\n",
      ["20240103_d.sql"] = "CREATE TABLE d ();\n",
      ["note.sql"] = "SELECT 1;\n",
    }
    local m = migrator "supabase"
    assert.same({ dir .. "/note.sql" }, m:plan().ignored)
    assert.equal("20240101000000_a 20240101_b 20240102_c 20240103_d", labels(m:migrate()))
    assert.equal("a b c d", tables())
    assert.equal("20240101_b", labels { m:applied()[2] })
    assert.matches("/%d%d%d%d%d%d%d%d%d%d%d%d%d%d_next.sql$", m:create "next")
    assert.matches("/20%d%d%d%d%d%d%d%d%d%d%d%d_more.sql$", m:create "more")
  end)

  it("supabase's: the first file of an old kind is skipped", function()
    write {
      ["20210101000000_init.sql"] = "SELECT 1/0;", ["20210102000000_init.sql"] = "SELECT 1;",
    }
    assert.equal("20210102000000_init", labels(migrator("supabase"):migrate()))
    write { ["20200101000000_a.sql"] = "SELECT 1;" }
    local plan = migrator("supabase", { table = "other" }):plan()
    assert.equal("20200101000000_a 20210101000000_init 20210102000000_init", labels(plan))
  end)

  it("supabase's table: a file that is not what was applied is refused", function()
    write {
      ["1_a.sql"] = "-- why\r\nCREATE TABLE a ();\r\nCREATE TABLE aa ();;\n",
      ["2_b.sql"] = "CREATE TABLE b ();\n", ["3_c.sql"] = "CREATE TABLE c ();\n",
    }
    supabase_rows [[('1', E'{"-- why\nCREATE TABLE a ()","CREATE TABLE aa ()"}', 'a'),
      ('2', NULL, NULL)]]
    local m = migrator "supabase"
    assert.matches("supabase has applied migrations here", fails(m.migrate, m).message)
    assert.equal("1_a 2_b", labels(adopt "supabase"))
    assert.equal("3_c", labels(migrator("supabase"):migrate()))
    db:exec "UPDATE supabase_migrations.schema_migrations SET statements = '{\"SELECT 2\"}'"
    assert.matches("1_a.sql is not the file that was applied",
      fails(adopt, "supabase", { table = "other" }).message)
    db:exec "UPDATE supabase_migrations.schema_migrations SET version = '7' WHERE version = '2'"
    assert.matches("7.* is applied, but has no file",
      fails(adopt, "supabase", { table = "other" }).detail)
  end)

  it("supabase's: numbers that repeat, of which its table holds one", function()
    write {
      ["1_b.sql"] = "CREATE TABLE b ();\n", ["1_a.sql"] = "CREATE TABLE a ();\n",
      ["2_c.sql"] = "CREATE TABLE c ();\n",
    }
    supabase_rows "('1', NULL, 'b')"
    assert.equal("1_b", labels(adopt "supabase"))
    local m = migrator("supabase", { shared = true })
    assert.equal("the table of supabase can hold 1 only once", fails(m.migrate, m).message)
  end)

  it("supabase's table, shared: its schema, too, is made", function()
    write { ["1_a.sql"] = "CREATE TABLE a ();\n", ["2_b.sql"] = "CREATE TABLE b ();\n" }
    assert.equal("1_a 2_b", labels(migrator("supabase", { shared = true }):migrate()))
    assert.same({ { version = "1", name = "a" }, { version = "2", name = "b" } }, db:query
      "SELECT version, name FROM supabase_migrations.schema_migrations ORDER BY version")
  end)

  -- ---- Prisma --------------------------------------------------------------

  local function prisma_row(name, text, more)
    db:query([[
      INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at, rolled_back_at)
      VALUES (md5(random()::text), $1, $2, CASE WHEN $3 = 'failed' THEN NULL ELSE now() END,
        CASE WHEN $3 = 'rolled back' THEN now() END)]],
      core.digest(text, "sha256"), name, more or "")
  end

  local function prisma_table()
    db:exec [[
      CREATE TABLE _prisma_migrations (id varchar(36) PRIMARY KEY, checksum varchar(64) NOT NULL,
        finished_at timestamptz, migration_name varchar(255) NOT NULL, logs text,
        rolled_back_at timestamptz, started_at timestamptz NOT NULL DEFAULT now(),
        applied_steps_count integer NOT NULL DEFAULT 0)]]
  end

  it("Prisma's: folders in the order of their names, two of one time, a way back", function()
    write {
      ["0_init/migration.sql"] = "CREATE TABLE a (x int);\n",
      ["20240101000000_c/migration.sql"] = "ALTER TABLE b RENAME TO c;\n",
      ["20240101000000_b/migration.sql"] = "CREATE TABLE b ();\n",
      ["20240102000000_i/migration.sql"] = "CREATE INDEX CONCURRENTLY i ON a (x);\n",
      ["20240102000000_i/down.sql"] = "DROP INDEX CONCURRENTLY i;\n",
      ["20240102000000_i/notes.sql"] = "SELECT 1/0;\n",
      ["migration_lock.toml"] = "provider = \"postgresql\"\n",
    }
    local m = migrator "prisma"
    assert.same({}, m:status().problems)
    assert.same({}, m:status().ignored)
    assert.equal("0_init 20240101000000_b 20240101000000_c 20240102000000_i", labels(m:migrate()))
    assert.equal("a c", tables())
    assert.equal("20240102000000_i", labels(m:rollback()))
    assert.matches("it has no DOWN", fails(m.rollback, m).message)
    assert.matches("/2%d%d%d%d%d%d%d%d%d%d%d%d%d_next/migration.sql$", m:create "next")
  end)

  it("Prisma's: what is not for PostgreSQL, or has no number, is refused", function()
    write { ["x/migration.sql"] = "SELECT 1;\n", ["1_a/migration.sql"] = "SELECT 1;\n" }
    local m = migrator "prisma"
    assert.matches("must begin with a number", fails(m.migrate, m).message)
    write { ["migration_lock.toml"] = "# by hand\nprovider = \"mysql\"\n" }
    m = migrator "prisma"
    assert.matches("are for mysql", fails(m.migrate, m).message)
    assert.matches("are for mysql", m:status().problems[1].message)
  end)

  it("Prisma's table: rolled back ones are none, failed and edited ones are refused", function()
    write {
      ["1_a/migration.sql"] = "CREATE TABLE a ();\n",
      ["2_b/migration.sql"] = "CREATE TABLE b ();\n",
      ["3_c/migration.sql"] = "CREATE TABLE c ();\n",
    }
    prisma_table()
    prisma_row("1_a", "CREATE TABLE a ();\r\n")
    prisma_row("2_b", "an attempt", "rolled back")
    prisma_row("2_b", "CREATE TABLE b ();\n")
    db:query("UPDATE _prisma_migrations SET checksum = $1 WHERE migration_name = '1_a'",
      (core.digest("CREATE TABLE a ();\r\n", "sha256"):gsub("%x%x", function(byte)
        return (byte:gsub("^0", ""))
      end)))
    assert.equal("1_a 2_b", labels(adopt "prisma"))
    assert.equal("3_c", labels(migrator("prisma"):migrate()))
    prisma_row("3_c", "CREATE TABLE c ();\n", "failed")
    assert.matches("3_c is marked as failed or half finished",
      fails(adopt, "prisma", { table = "other" }).message)
    db:exec "UPDATE _prisma_migrations SET finished_at = now(), checksum = repeat('0', 64)"
    assert.matches("1_a/migration.sql is not the file that was applied",
      fails(adopt, "prisma", { table = "other" }).message)
  end)

  -- ---- drizzle -------------------------------------------------------------

  local function journal(...)
    local entries = {}
    for i, tag in ipairs { ... } do
      entries[i] = ('{"idx": %d, "version": "7", "when": 170000000%d000, "tag": "%s", '
        .. '"breakpoints": true}'):format(tonumber(tag:match "%d+"), i, tag)
    end
    return ('{"version": "7", "dialect": "postgresql", "entries": [%s]}\n'):format(
      table.concat(entries, ",\n"))
  end

  it("drizzle's: the journal's order, and statements that end at a breakpoint", function()
    write {
      ["meta/_journal.json"] = journal("0000_a", "0003_b", "0002_c"),
      ["0000_a.sql"] = "CREATE TABLE a (x int)\r\n--> statement-breakpoint\r\n"
        .. "ALTER TABLE a ADD y int--> statement-breakpoint\n"
        .. "-- DROP TABLE a;--> statement-breakpoint\nALTER TABLE a ADD z int",
      ["0003_b.sql"] = "CREATE TABLE b ();--> statement-breakpoint\nSELECT 1; SELECT 2;",
      ["0002_c.sql"] = "ALTER TABLE b RENAME TO c;\n",
      ["0001_left_out.sql"] = "SELECT 1/0;\n",
    }
    local m = migrator "drizzle"
    assert.equal("is not listed in meta/_journal.json",
      m:files().reasons[dir .. "/0001_left_out.sql"])
    assert.equal("0000_a 0003_b 0002_c", labels(m:migrate()))
    assert.equal("a c", tables())
    assert.equal(3, #db:query
      "SELECT attname FROM pg_attribute WHERE attnum > 0 AND attrelid = 'a'::regclass")
    assert.matches("drizzle%-kit generate", fails(m.create, m, "x").message)
  end)

  it("drizzle's: a breakpoint where drizzle would cut a statement in two is refused", function()
    for _, sql in ipairs {
      "SELECT '--> statement-breakpoint';", "SELECT 1;--> statement-breakpoint SELECT 2;",
      "DO $$ BEGIN --> statement-breakpoint\nEND $$;", "/* --> statement-breakpoint */ SELECT 1;",
      "CREATE TABLE a (x int, --> statement-breakpoint\ny int);",
    } do
      write { ["meta/_journal.json"] = journal "0000_a", ["0000_a.sql"] = sql }
      local m = migrator "drizzle"
      assert.matches("would split the file here", fails(m.migrate, m).message)
    end
  end)

  it("drizzle's: a journal that is broken, or lists what is not there, is refused", function()
    for text, message in pairs {
      ["<<<<<<< HEAD\n" .. journal "0000_a"] = "not the JSON",
      [journal("0000_a", "0001_b")] = "there is no file 0001_b.sql",
      [journal("0000_a", "0000_a")] = "0000_a is twice",
      [journal("0000_a"):gsub('"when"', '"then"')] = "entry 1 of the journal has no tag or no time",
    } do
      write { ["meta/_journal.json"] = text, ["0000_a.sql"] = "SELECT 1;" }
      local m = migrator "drizzle"
      local err = fails(m.migrate, m)
      assert.matches(message, err.message)
      assert.equal(dir .. "/meta/_journal.json", err.file)
    end
    os.remove(dir .. "/meta/_journal.json")
    assert.matches("there is no journal", migrator("drizzle"):status().problems[1].message)
  end)

  local function drizzle_table(rows)
    db:exec("CREATE SCHEMA drizzle; CREATE TABLE drizzle.__drizzle_migrations (id serial PRIMARY "
      .. "KEY, hash text NOT NULL, created_at bigint)")
    for i = 1, #rows, 2 do
      db:query("INSERT INTO drizzle.__drizzle_migrations (hash, created_at) VALUES ($1, $2)",
        core.digest(rows[i], "sha256"), rows[i + 1])
    end
  end

  it("drizzle's table: by time and hash; an edited file is refused", function()
    write {
      ["meta/_journal.json"] = journal("0000_a", "0001_b", "0002_c"),
      ["0000_a.sql"] = "SELECT 1;", ["0001_b.sql"] = "SELECT 2;", ["0002_c.sql"] = "SELECT 3;",
    }
    -- the second one was generated anew, at another time
    drizzle_table { "SELECT 1;", "1700000001000", "SELECT 2;", "1600000000000" }
    assert.equal("0000_a 0001_b", labels(adopt "drizzle"))
    assert.equal("0002_c", labels(migrator("drizzle"):migrate()))
    support.write(dir, "0000_a.sql", "SELECT 4;")
    assert.matches("0000_a.sql is not the file that was applied",
      fails(adopt, "drizzle", { table = "other" }).message)
    db:exec "DELETE FROM drizzle.__drizzle_migrations WHERE id = 1"
    support.write(dir, "0001_b.sql", "SELECT 5;")
    assert.matches("1600000000000 is applied, but has no file",
      fails(adopt, "drizzle", { table = "other" }).message)
  end)

  it("drizzle's newer folders, and the table with their names", function()
    write {
      ["20240101000000_a/migration.sql"] = "CREATE TABLE a ()\n--> statement-breakpoint\nSELECT 1",
      ["20240101000000_a/snapshot.json"] = "{}",
      ["20240102000000_b/migration.sql"] = "CREATE TABLE b ()",
    }
    drizzle_table { "CREATE TABLE a ()\n--> statement-breakpoint\nSELECT 1", "1704067200000" }
    assert.equal("20240101000000_a", labels(adopt("drizzle", { table = "first" })))
    db:exec "ALTER TABLE drizzle.__drizzle_migrations ADD name text, ADD applied_at timestamptz"
    db:exec "UPDATE drizzle.__drizzle_migrations SET name = '20240101000000_a', created_at = 0"
    db:exec "ALTER TABLE drizzle.__drizzle_migrations SET SCHEMA public"
    local m = migrator "drizzle"
    assert.matches("drizzle has applied migrations here", fails(m.migrate, m).message)
    assert.equal("20240101000000_a", labels(adopt "drizzle"))
    assert.equal("20240102000000_b", labels(m:migrate()))
  end)

  -- ---- Atlas ---------------------------------------------------------------

  --- Write a folder's atlas.sum; its lines.
  local function sum(names)
    local pieces, entries, lines = {}, {}, {}
    for name in names:gmatch "%S+" do
      pieces[#pieces + 1] = name .. support.read(dir .. "/" .. name)
      local hash = core.running_digests(pieces)[#pieces]
      entries[#entries + 1] = name .. hash
      lines[#lines + 1] = ("%s h1:%s"):format(name, hash)
    end
    table.insert(lines, 1, "h1:" .. core.running_digests { table.concat(entries) }[1])
    support.write(dir, "atlas.sum", table.concat(lines, "\n") .. "\n")
    return lines
  end

  it("Atlas's: no transaction, a delimiter, and checks", function()
    write {
      ["20240101000000.sql"] = "-- atlas:delimiter -- end\n\nCREATE TABLE a (x text DEFAULT "
        .. "'-- end')\n-- end\nCREATE TABLE b ()\n-- end\n",
      ["20240102000000_i.sql"] = "-- atlas:txmode none\n\nCREATE INDEX CONCURRENTLY i ON a (x);\n",
      ["20240103000000_c.sql"] = "-- atlas:txtar\n\n-- checks/destructive.sql --\n"
        .. "-- so that nothing is lost\nSELECT NOT EXISTS (SELECT 1 FROM b) AS empty;\n"
        .. "-- migration.sql --\nDROP TABLE b;\n",
    }
    sum "20240101000000.sql 20240102000000_i.sql 20240103000000_c.sql"
    local m = migrator "atlas"
    assert.equal("20240101000000 20240102000000_i", labels(m:migrate "20240102000000"))
    assert.equal("a b", tables())
    assert.equal("-- end", db:query("INSERT INTO a DEFAULT VALUES RETURNING x")[1].x)
    db:exec "INSERT INTO b DEFAULT VALUES"
    local err = fails(m.migrate, m)
    assert.matches("a check of the file failed", err.message)
    assert.equal(5, err.line)
    db:exec "DELETE FROM b"
    assert.equal("20240103000000_c", labels(m:migrate()))
    assert.equal("a", tables())
    assert.matches("atlas migrate new", fails(m.create, m, "x").message)
  end)

  it("Atlas's: what does not fit atlas.sum is refused", function()
    write { ["1_a.sql"] = "SELECT 1;\n", ["2_b.sql"] = "SELECT 2;\n", ["3_c.sql"] = "SELECT 3;\n" }
    local lines = sum "1_a.sql 2_b.sql 3_c.sql"
    local function refused(message, line)
      local err = fails(function() migrator("atlas"):migrate() end)
      assert.equal(message, err.message)
      assert.equal(dir .. "/atlas.sum", err.file)
      assert.equal(line, err.line)
    end
    support.write(dir, "2_b.sql", "SELECT 4;\n")
    refused("2_b.sql was edited", 3)
    os.remove(dir .. "/2_b.sql")
    refused("2_b.sql was removed", 3)
    write { ["2_b.sql"] = "SELECT 2;\n", ["2_bb.sql"] = "SELECT 2;\n" }
    refused("2_bb.sql was added", 4)
    os.rename(dir .. "/2_bb.sql", dir .. "/4_d.sql")
    refused("4_d.sql was added", 5)
    os.remove(dir .. "/4_d.sql")
    support.write(dir, "atlas.sum", table.concat(lines, "\n", 1, 3))
    refused("the sum in the first line does not fit the others", 1)
    os.remove(dir .. "/atlas.sum")
    refused "there is no atlas.sum"
    sum "1_a.sql 2_b.sql 3_c.sql"
    assert.equal("1_a 2_b 3_c", labels(migrator("atlas"):migrate()))
  end)

  it("Atlas's: a checkpoint is for new databases", function()
    write { ["1_a.sql"] = "CREATE TABLE a ();\n" }
    sum "1_a.sql"
    local old = pgmig.connect(support.database())
    pgmig.migrator(old, dir, { format = "atlas" }):migrate()
    write {
      ["2_all.sql"] = "-- atlas:checkpoint\n\nCREATE TABLE a ();\n",
      ["3_b.sql"] = "CREATE TABLE b ();\n",
    }
    sum "1_a.sql 2_all.sql 3_b.sql"
    assert.equal("2_all 3_b", labels(migrator("atlas"):migrate()))
    assert.equal("3_b", labels(pgmig.migrator(old, dir, { format = "atlas" }):migrate()))
    old:close()
  end)

  local function revisions(schema)
    db:exec(([[
      CREATE SCHEMA IF NOT EXISTS %s;
      CREATE TABLE %s.atlas_schema_revisions (version varchar PRIMARY KEY, description varchar,
        type bigint DEFAULT 2, applied bigint DEFAULT 1, total bigint DEFAULT 1, executed_at
        timestamptz DEFAULT now(), execution_time bigint, error text, error_stmt text,
        hash varchar, partial_hashes jsonb, operator_version varchar)]]):format(schema, schema))
    return function(version, line, more)
      db:exec(("INSERT INTO %s.atlas_schema_revisions (version, hash) VALUES ('%s', '%s')"):format(
        schema, version, line:match "h1:(.*)" or ""))
      if more then
        db:exec(("UPDATE %s.atlas_schema_revisions SET %s WHERE version = '%s'"):format(schema,
          more, version))
      end
    end
  end

  it("Atlas's table: hashes; what was applied in part is refused", function()
    write { ["1_a.sql"] = "SELECT 1;\n", ["2_b.sql"] = "SELECT 2;\n", ["3_c.sql"] = "SELECT 3;\n" }
    local lines = sum "1_a.sql 2_b.sql 3_c.sql"
    local add = revisions "atlas_schema_revisions"
    add(".atlas_cloud_identifier", "")
    add("1", lines[2])
    add("2", lines[3], "type = 6, applied = 0")
    assert.equal("1_a 2_b", labels(adopt "atlas"))
    add("3", lines[4], "applied = 0")
    assert.matches("3_c is marked as failed",
      fails(adopt, "atlas", { table = "other" }).message)
    db:exec "UPDATE atlas_schema_revisions.atlas_schema_revisions SET applied = 1, hash = 'x'"
    assert.matches("1_a.sql is not the file that was applied",
      fails(adopt, "atlas", { table = "other" }).message)
  end)

  it("Atlas's table in another schema, with a baseline or a checkpoint", function()
    write {
      ["1_a.sql"] = "SELECT 1;\n", ["2_b.sql"] = "SELECT 2;\n",
      ["3_all.sql"] = "-- atlas:checkpoint\n\nSELECT 3;\n", ["4_c.sql"] = "SELECT 4;\n",
    }
    local lines = sum "1_a.sql 2_b.sql 3_all.sql 4_c.sql"
    local add = revisions "public"
    add("2", "", "type = 1, applied = 0, total = 0")
    local m = migrator "atlas"
    assert.matches("atlas has applied migrations here", fails(m.migrate, m).message)
    assert.equal("1_a 2_b", labels(adopt("atlas", { table = "first" })))
    db:exec "DELETE FROM atlas_schema_revisions"
    add("3", lines[4])
    assert.equal("1_a 2_b 3_all", labels(adopt "atlas"))
    assert.equal("4_c", labels(migrator("atlas"):migrate()))
  end)

  -- ---- postgrator ----------------------------------------------------------

  it("postgrator's: names that may be missing, ways back, code", function()
    write {
      ["001.do.sql"] = "CREATE TABLE a (x int);\n", ["001.undo.drop-a.sql"] = "DROP TABLE a;\n",
      ["10.do.index.sql"] = "CREATE INDEX CONCURRENTLY i ON a (x);\n",
      ["9.do.two.parts.sql"] = "BEGIN;\nCREATE TABLE b ();\nCOMMIT;\n",
      ["11.do.code.js"] = "export const generateSql = () => '';\n",
      ["12.undo.alone.sql"] = "SELECT 1;\n", ["13.DO.x.sql"] = "SELECT 1;\n",
    }
    local m = migrator "postgrator"
    local ignored = m:plan().ignored
    table.sort(ignored)
    assert.same({ dir .. "/11.do.code.js", dir .. "/12.undo.alone.sql", dir .. "/13.DO.x.sql" },
      ignored)
    assert.equal("001 9.two 10.index", labels(m:migrate()))
    assert.equal("a b", tables())
    assert.matches("it has no DOWN", fails(m.rollback, m).message)
    assert.matches("/011.do.next.sql$", m:create "next")
    write { ["14.do.open.sql"] = "BEGIN;\nSELECT 1;\n" }
    assert.equal("parse", fails(m.migrate, m).kind)
  end)

  local function postgrator_table()
    db:exec [[
      CREATE TABLE schemaversion (version bigint PRIMARY KEY, name text, md5 text,
        run_at timestamptz);
      INSERT INTO schemaversion VALUES (0)]]
  end

  it("postgrator's table: its MD5 with any line ends", function()
    write {
      ["001.do.a.sql"] = "SELECT 1;\n", ["002.do.b.sql"] = "SELECT 2;\r\n",
      ["003.do.c.js"] = "", ["004.do.d.sql"] = "SELECT 4;\n",
    }
    postgrator_table()
    for version, text in ipairs { "SELECT 1;\r\n", "SELECT 2;\n" } do
      db:query("INSERT INTO schemaversion VALUES ($1::int, 'x', $2, now())", version,
        core.digest(text, "md5"))
    end
    db:exec "INSERT INTO schemaversion VALUES (3, 'c', 'undefined', now())"
    assert.equal("001.a 002.b 003.c", labels(adopt "postgrator"))
    assert.equal("004.d", labels(migrator("postgrator"):migrate()))
    support.write(dir, "001.do.a.sql", "SELECT 5;\n")
    assert.matches("001.do.a.sql is not the file that was applied",
      fails(adopt, "postgrator", { table = "other" }).message)
  end)

  it("postgrator's table, shared: with names and MD5", function()
    write { ["001.do.a.sql"] = "CREATE TABLE a ();\n", ["001.undo.a.sql"] = "DROP TABLE a;\n" }
    postgrator_table()
    local m = migrator("postgrator", { shared = true })
    assert.equal("001.a", labels(m:migrate()))
    assert.same({ { name = "a", md5 = core.digest("CREATE TABLE a ();\n", "md5") } },
      db:query "SELECT name, md5 FROM schemaversion WHERE version = 1")
    assert.equal("001.a", labels(m:rollback()))
    assert.equal(1, db:query "SELECT count(*)::int AS n FROM schemaversion"[1].n)
  end)

  -- ---- Evolve --------------------------------------------------------------

  local function evolve_table(rows)
    db:exec([[
      CREATE TABLE changelog (id serial PRIMARY KEY, type smallint, version varchar(50),
        description varchar(200) NOT NULL, name varchar(300) NOT NULL, checksum varchar(32),
        installed_by varchar(100) NOT NULL, installed_on timestamp NOT NULL DEFAULT now(),
        success boolean NOT NULL)]])
    for _, row in ipairs(rows) do
      db:query([[
        INSERT INTO changelog (type, version, description, name, checksum, installed_by, success)
        VALUES ($1::int, nullif($2, ''), '', $3, $4, 'me', $5::bool)]],
        row[1], row[2], row[3], row[4] and core.digest(row[4], "md5"):upper() or "",
        row[5] == nil and "t" or "f")
    end
  end

  it("Evolve's: dotted versions, repeatable ones, no transaction", function()
    write {
      ["V1_10__b.sql"] = "CREATE INDEX i ON a (x);\n",
      ["sub/v1_2__a.sql"] = "CREATE TABLE a (x int);\n",
      ["V2__c.sql"] = "-- evolve-tx-off\nCREATE INDEX CONCURRENTLY ii ON a (x);\n",
      ["R__v.sql"] = "CREATE OR REPLACE VIEW v AS SELECT '${x}' AS x FROM a;\n",
      [".git/V0__x.sql"] = "SELECT 1/0;\n",
    }
    local m = migrator "evolve"
    assert.equal("1_2_a 1_10_b 2_c R__v", labels(m:migrate()))
    assert.matches("/V3__next.sql$", m:create "next")
    write { ["R__always.sql"] = "/* evolve-repeat-always */ SELECT 1;\n" }
    assert.matches("R__always.sql:1: evolve%-repeat%-always", tostring(fails(m.migrate, m)))
  end)

  it("Evolve's table: a start, repeatable ones, checksums; a failed one is refused", function()
    write {
      ["V1__a.sql"] = "SELECT 1;\n", ["V2_1__b.sql"] = "SELECT 2;\r\n", ["V3__c.sql"] = "SELECT 3;",
      ["R__old.sql"] = "SELECT 4;\n", ["R__new.sql"] = "SELECT 5;\n", ["V4__d.sql"] = "SELECT 6;\n",
    }
    evolve_table {
      { 2, "0", "public" }, { 3, "2.1", "StartVersion = 2.1" }, { 0, "2.1", "V2_1__b.sql",
        "SELECT 2;\n" }, { 0, "3", "V3__c.sql", "SELECT 3;", false }, { 0, "3", "V3__c.sql",
        "SELECT 3;" }, { 4, "", "R__old.sql", "SELECT 4;\n" }, { 4, "", "R__new.sql", "SELECT 0;" },
    }
    assert.equal("flyway", detect.format { dir })
    assert.equal("evolve", detect.format({ dir }, db))
    assert.equal("1_a 2_1_b 3_c R__old", labels(adopt "evolve"))
    assert.equal("4_d R__new", labels(migrator("evolve"):migrate()))
    db:exec "UPDATE changelog SET checksum = 'x' WHERE version = '3'"
    assert.matches("V3__c.sql is not the file that was applied",
      fails(adopt, "evolve", { table = "other" }).message)
    db:exec "INSERT INTO changelog SELECT 9, 0, '4', '', 'V4__d.sql', '', 'me', now(), false"
    assert.matches("4_d is marked as failed", fails(adopt, "evolve", { table = "other" }).detail)
  end)

  -- ---- Rails ---------------------------------------------------------------

  local STRUCTURE = "SELECT pg_catalog.set_config('search_path', '', false);\n"
    .. "CREATE TABLE public.a (x int);\nCREATE TABLE public.schema_migrations (version varchar NOT "
    .. "NULL PRIMARY KEY);\nSET search_path TO \"$user\", public;\n\n"
    .. "INSERT INTO \"schema_migrations\" (version) VALUES\n('20240102000000'),\n('7');\n\n"

  it("Rails': the structure for a new database, then SQL", function()
    write {
      ["structure.sql"] = STRUCTURE, ["seeds.rb"] = "", ["migrate/007_a.rb"] = "",
      ["migrate/20240102000000_b.rb"] = "", ["migrate/20240103000000_c.rb"] = "",
      ["migrate/20240104000000_d.sql"] = "-- UP\nCREATE TABLE d ();\n-- DOWN\nDROP TABLE d;\n",
    }
    assert.equal("rails", detect.format { dir })
    local m = migrator "rails"
    assert.same({ dir .. "/migrate/20240103000000_c.rb" }, m:plan().ignored)
    assert.equal("structure.sql 20240104000000_d", labels(m:migrate()))
    assert.equal("a d", tables())
    assert.equal("20240104000000_d", labels(m:rollback()))
    assert.matches("it has no DOWN", fails(m.rollback, m).message)
    assert.matches("/migrate/%d+_next.sql$", m:create "next")
  end)

  it("Rails' table: the structure is what is applied, or it is refused", function()
    write {
      ["structure.sql"] = STRUCTURE, ["migrate/20240102000000_b.rb"] = "",
      ["migrate/20240104000000_d.sql"] = "CREATE TABLE d ();\n",
    }
    db:exec "CREATE TABLE schema_migrations (version varchar PRIMARY KEY)"
    db:exec "INSERT INTO schema_migrations VALUES ('20240102000000')"
    assert.matches("not applied, but in structure.sql (first run rails db:migrate): 7",
      fails(adopt, "rails").message, 1, true)
    db:exec "INSERT INTO schema_migrations VALUES ('7'), ('20240103000000')"
    assert.matches("not in structure.sql (first run rails db:schema:dump): 20240103000000",
      fails(adopt, "rails").message, 1, true)
    db:exec "DELETE FROM schema_migrations WHERE version = '20240103000000'"
    local m = migrator "rails"
    assert.matches("rails has applied migrations here", fails(m.migrate, m).message)
    assert.equal("structure.sql", labels(adopt "rails"))
    assert.equal("20240104000000_d", labels(migrator("rails"):migrate()))
    assert.equal("d", tables())
    write { ["migrate/20240101000000_early.sql"] = "CREATE TABLE early ();\n" }
    assert.matches("20240102000000: 2 files up to it are assumed to be applied",
      adopt("rails", { table = "other" }).notes[1])
    os.remove(dir .. "/structure.sql")
    assert.matches("there is no structure.sql", migrator("rails"):status().problems[1].message)
  end)

  -- ---- Hasura --------------------------------------------------------------

  it("Hasura's: a folder for each database, whose rows are in one table", function()
    write {
      ["one/1620138136207_a/up.sql"] = "CREATE TABLE a ();\n",
      ["one/1620138136208_b/up.sql"] = "CREATE TABLE b ();\n",
      ["two/1620138136209_c/up.sql"] = "SELECT 1/0;\n",
    }
    local m = migrator "hasura"
    local err = fails(m.migrate, m)
    assert.equal("the migrations are in a folder for each database: one, two", err.message)
    db:exec [[
      CREATE SCHEMA hdb_catalog;
      CREATE TABLE hdb_catalog.hdb_version (hasura_uuid uuid, cli_state jsonb);
      INSERT INTO hdb_catalog.hdb_version VALUES (NULL, '{"migrations": {
        "one": {"1620138136207": false}, "two": {"1620138136209": false}}}')]]
    dir = dir .. "/one"
    assert.equal("1620138136207_a", labels(adopt "hasura"))
    assert.equal("1620138136208_b", labels(migrator("hasura"):migrate()))
  end)

  -- ---- micrate, shmig ------------------------------------------------------

  it("micrate's and shmig's: both ways, by their own tables, too", function()
    for _, tool in ipairs {
      { "micrate", "1_a.sql", "-- +micrate Up\nCREATE TABLE %s ();\n-- +micrate StatementBegin\n"
        .. "SELECT 1\n-- +micrate StatementEnd\n-- +micrate Down\nDROP TABLE %s;\n" },
      { "shmig", "1-a.sql", "-- Migration: x\n-- ====  UP  ====\nBEGIN;\nCREATE TABLE %s ();\n"
        .. "COMMIT;\n-- ==== DOWN ====\nBEGIN;\nDROP TABLE %s;\nCOMMIT;\n" },
    } do
      local format, path, text = tool[1], tool[2], tool[3]
      dir = support.tempdir()
      write { [path] = text:format("a", "a"), [path:gsub("1", "2"):gsub("a", "b")] =
        text:format("b", "b") }
      local m = migrator(format, { shared = true })
      assert.equal(2, #m:migrate(), format)
      assert.equal("a b", tables())
      assert.equal(1, #m:rollback(), format)
      assert.equal(1, #adopt(format, { table = format .. "_migrations" }), format)
      m = migrator(format, { table = format .. "_migrations" })
      assert.equal(1, #m:pending(), format)
      assert.equal(1, #m:rollback(), format)
      assert.equal("", tables())
      assert.is_string(m:create "next")
    end
  end)
end)
