-- The tools themselves create a database, pgmig takes over and goes on: dbmate, node-pg-migrate,
-- graphile-migrate; sqitch's scripts run with both and give the same schema. And the way out: what
-- pgmig exports, the tools take for their own. A tool that is not installed is skipped
-- (script/bootstrap --bench installs them).
local pgmig = require "pgmig"
local history = require "spec.support.history"
local support = require "spec.support"
local tools = require "spec.support.exported"

local labels = history.labels

-- Packages of npm are in a folder of the project.
local _, root = support.run "pwd"
local PATH = ("PATH=%s/build/rivals/node_modules/.bin:$PATH "):format(
  support.quote(root:match "^[^\n]*"))

local MODULES = root:match "^[^\n]*" .. "/build/rivals/node_modules/"

--- Whether there is such a program, or a package of npm.
local function installed(program)
  return (support.run(PATH .. "; command -v " .. program)) == 0
    or io.open(MODULES .. program .. "/package.json") ~= nil
end

--- Declare a spec that needs a program.
local function with(program, sentence, fn)
  if installed(program) then return it(program .. " " .. sentence, fn) end
  pending(program .. " " .. sentence .. " (skipped: it is not installed)")
end

describe("after", function()
  local db, dir, name, host

  before_each(function()
    local url = support.database()
    db, dir = pgmig.connect(url), support.tempdir()
    name = db:query("SELECT current_database() AS name")[1].name
    host = support.server().host
  end)

  after_each(function() db:close() end)

  local function write(files) history.write(dir, files) end

  --- Run a rival in the folder.
  local function run(command)
    local code, out, err = support.run(("cd %s && %stimeout 60 env PGUSER=postgres PGHOST=%s "
      .. "PGDATABASE=%s %s </dev/null"):format(support.quote(dir), PATH, support.quote(host), name,
      command))
    assert.equal(0, code, out .. err)
    return out
  end

  local function tables() return history.tables(db) end

  local function url_for_node(database)
    return ("'postgres://postgres@/%s?host=%s'"):format(database, host)
  end

  local function dbmate(words)
    return run(("dbmate --no-dump-schema -d . "
      .. "-u 'postgres://postgres@/%s?socket=%s&sslmode=disable' %s"):format(name, host, words))
  end

  local function node_pg_migrate(words)
    return run(("env DATABASE_URL=%s node-pg-migrate -m . %s"):format(url_for_node(name), words))
  end

  with("dbmate", "goes on", function()
    write {
      ["20240115103000_a.sql"] =
        "-- migrate:up\nCREATE TABLE a ();\n-- migrate:down\nDROP TABLE a;\n",
      ["20240116103000_b.sql"] = "-- migrate:up transaction:false\n"
        .. "CREATE TABLE b ();\n-- migrate:down\nDROP TABLE b;\n",
    }
    dbmate "up"
    write {
      ["20240117103000_c.sql"] =
        "-- migrate:up\nCREATE TABLE c ();\n-- migrate:down\nDROP TABLE c;\n",
    }
    local m = pgmig.migrator(db, dir, { format = "auto" })
    assert.equal("20240115103000_a 20240116103000_b", labels(m:adopt()))
    assert.equal("20240117103000_c", labels(m:migrate()))
    assert.equal("a b c", tables())
    assert.equal("20240117103000_c 20240116103000_b 20240115103000_a",
      labels(m:rollback { to = 0 }))
    assert.equal("", tables())
  end)

  with("dbmate", "and pgmig take turns on one table", function()
    local function migration(letter)
      return ("-- migrate:up\nCREATE TABLE %s ();\n-- migrate:down\nDROP TABLE %s;\n"):format(
        letter, letter)
    end
    write { ["20240115103000_a.sql"] = migration "a" }
    dbmate "up"
    write { ["20240116103000_b.sql"] = migration "b" }
    local m = pgmig.migrator(db, dir, { format = "dbmate", shared = true })
    assert.equal("20240116103000_b", labels(m:migrate()))
    write { ["20240117103000_c.sql"] = migration "c" }
    assert.matches("%[ %] 20240117103000_c.sql.*Applied: 2\nPending: 1", dbmate "status")
    dbmate "up"
    assert.equal("", labels(m:migrate()))
    assert.equal("a b c", tables())
    assert.equal("20240117103000_c", labels(m:rollback()))
    dbmate "down"
    assert.equal("a", tables())
    assert.equal("20240116103000_b 20240117103000_c", labels(m:migrate()))
  end)

  with("node-pg-migrate", "and pgmig take turns on one table", function()
    local function migration(letter)
      return ("-- Up Migration\nCREATE TABLE %s ();\n-- Down Migration\nDROP TABLE %s;\n"):format(
        letter, letter)
    end
    write { ["1718000000000_a.sql"] = migration "a" }
    node_pg_migrate "up"
    write { ["1718000000001_b.sql"] = migration "b" }
    local m = pgmig.migrator(db, dir, { format = "node-pg-migrate", shared = true })
    assert.equal("1718000000001_b", labels(m:migrate()))
    write { ["1718000000002_c.sql"] = migration "c" }
    node_pg_migrate "up"
    assert.equal("", labels(m:migrate()))
    assert.equal("a b c", tables())
    assert.equal("1718000000002_c", labels(m:rollback()))
    node_pg_migrate "down"
    assert.equal("a", tables())
    assert.equal("1718000000001_b 1718000000002_c", labels(m:migrate()))
  end)

  with("node-pg-migrate", "goes on", function()
    write {
      ["1718000000000_a.sql"] =
        "-- Up Migration\nCREATE TABLE a ();\n-- Down Migration\nDROP TABLE a;\n",
      ["1718000000001_b.js"] = "exports.up = (pgm) => { pgm.createTable('b', { id: 'id' }); };\n",
    }
    node_pg_migrate "up"
    write { ["1719000000000_c.sql"] = "CREATE TABLE c ();\n" }
    local m = pgmig.migrator(db, dir, { format = "auto" })
    assert.equal("1718000000000_a 1718000000001_b", labels(m:adopt()))
    assert.equal("1719000000000_c", labels(m:migrate()))
    assert.equal("a b c", tables())
    for _, done in ipairs(m:status().applied) do assert.equal("applied", done.state) end
  end)

  with("graphile-migrate", "goes on", function()
    local shadow = name .. "_shadow"
    db:exec("CREATE DATABASE " .. shadow)
    write {
      [".gmrc"] = ('{"connectionString": %s, "shadowConnectionString": %s}'):format(
        url_for_node(name), url_for_node(shadow)):gsub("'", '"'),
      ["migrations/current.sql"] = "CREATE TABLE a ();\n",
    }
    local environment = ("env ROOT_DATABASE_URL=%s DATABASE_URL=%s SHADOW_DATABASE_URL=%s "):format(
      url_for_node "template1", url_for_node(name), url_for_node(shadow))
    run("mkdir -p migrations/committed")
    run(environment .. "graphile-migrate commit --message 'the first'")
    write { ["migrations/current.sql"] = "CREATE TABLE b ();\n" }
    run(environment .. "graphile-migrate commit")
    local m = pgmig.migrator(db, dir .. "/migrations", { format = "auto" })
    assert.equal("000001-the-first 000002", labels(m:adopt()))
    db:exec "DELETE FROM graphile_migrate.migrations"
    assert.equal("000001-the-first 000002", labels(m:export()))
    assert.matches("Up to date", run(environment .. "graphile-migrate status"))
    assert.equal(0, (m:export()[1] and 1 or 0))
    write {
      ["migrations/committed/000003.sql"] = "--! Previous: x\n--! Hash: y\n\nCREATE TABLE c ();\n",
    }
    assert.equal("000003", labels(m:migrate()))
    assert.equal("a b c", tables())
  end)

  --- A project with a change that was planned again, and one that runs alone.
  local function write_project()
    local who = " 2024-01-15T10:30:00Z A <a@example.org>"
    write {
      ["sqitch.conf"] = "[core]\n  engine = pg\n[user]\n  name = Ann\n  email = a@example.org\n",
      ["sqitch.plan"] = "%syntax-version=1.0.0\n%project=shop\n\na" .. who .. " # a\n"
        .. "b [a]" .. who .. " # b\n@v1" .. who .. " # v1\n\na [a@v1 b]" .. who .. " # a again\n",
      ["deploy/a@v1.sql"] =
        "-- Deploy shop:a to pg\n\nBEGIN;\n\nCREATE TABLE a (x int);\n\nCOMMIT;\n",
      ["revert/a@v1.sql"] = "BEGIN;\nDROP TABLE a;\nCOMMIT;\n",
      ["deploy/b.sql"] = "\\set ON_ERROR_STOP on\nCREATE INDEX CONCURRENTLY i ON a (x);\n",
      ["revert/b.sql"] = "DROP INDEX CONCURRENTLY i;\n",
      ["deploy/a.sql"] = "BEGIN;\nALTER TABLE a ADD y int;\nCOMMIT;\n",
      ["revert/a.sql"] = "BEGIN;\nALTER TABLE a DROP y;\nCOMMIT;\n",
    }
  end

  local function sqitch(words)
    return run(("sqitch %s"):format(words:format(("db:pg://postgres@/%s?host=%s"):format(name,
      host))))
  end

  -- ---- the way out ---------------------------------------------------------

  --- Run a program of JavaScript that uses the rival's package: `c` is a connection.
  local function node(program)
    support.write(dir, "../run.mjs", ([[
      import { createRequire } from "module"; const require = createRequire(%q);
      const { Client } = require("pg");
      const c = new Client({ host: %q, user: "postgres", database: %q }); await c.connect();
      %s; await c.end()]]):format(MODULES, host, name, program))
    return run "node ../run.mjs"
  end

  local postgrator = [[const Postgrator = (await import(%q)).default;
    const p = new Postgrator({ migrationPattern: "*", driver: "pg", schemaTable: "schemaversion",
      currentSchema: "public", execQuery: (q) => c.query(q), execSqlScript: (s) => c.query(s) });
    await p.migrate(%s)]]

  local function sql_migrate(words)
    support.write(dir, "../dbconfig.yml", ("development:\n  dialect: postgres\n  dir: %s\n"
      .. "  datasource: host=%s user=postgres dbname=%s sslmode=disable\n"):format(dir, host, name))
    return run("sql-migrate " .. words .. " -config=../dbconfig.yml")
  end

  -- How each applies what is pending, and takes back the newest.
  local ways = {
    dbmate = { up = function() dbmate "up" end, down = function() dbmate "down" end },
    ["node-pg-migrate"] = {
      up = function() node_pg_migrate "up" end, down = function() node_pg_migrate "down" end,
    },
    ["sql-migrate"] = {
      up = function() sql_migrate "up" end, down = function() sql_migrate "down -limit=1" end,
    },
    ["postgres-migrations"] = { up = function()
      node [[await require("postgres-migrations").migrate({ client: c }, ".")]]
    end },
    postgrator = {
      up = function() node(postgrator:format(MODULES .. "postgrator/postgrator.js", "")) end,
      down = function() node(postgrator:format(MODULES .. "postgrator/postgrator.js", '"2"')) end,
    },
    drizzle = { program = "drizzle-orm", up = function()
      node [[await require("drizzle-orm/node-postgres/migrator").migrate(
        require("drizzle-orm/node-postgres").drizzle(c), { migrationsFolder: "." })]]
    end },
  }

  for tool, way in pairs(ways) do
    local facts = tools[tool]

    local function rows()
      local list = {}
      for i, row in ipairs(db:query(facts.rows)) do list[i] = row.row end
      return table.concat(list, " ")
    end

    local function made() return history.tables(db, "...") end

    with(way.program or tool, "writes the rows that are known of it", function()
      write(facts.files)
      way.up()
      assert.same({ facts.golden, "a b c" }, { rows(), made() })
    end)

    with(way.program or tool, "goes on where pgmig has stopped, and pgmig after it", function()
      write(facts.files)
      local m = pgmig.migrator(db, dir, { format = tool, table = "pgmig_own" })
      m:migrate { steps = 1 }
      m:export()
      way.up() -- applies two
      assert.equal("a b c", made())
      assert.equal(2, #m:adopt())
      assert.same({ 0, 3 }, { #m:export(), m:status().applied_count })
      for _, done in ipairs(m:status().applied) do assert.equal("applied", done.state) end
      if not way.down then return end
      m:rollback { steps = 2 }
      assert.equal(2, #m:export().removed)
      way.up()
      assert.equal(2, #m:adopt())
      way.down()
      assert.equal("a b", made())
    end)
  end

  with("sqitch", "gives the same schema from the same project", function()
    write_project()
    sqitch "deploy %s"
    local function dump(database)
      local out = run(("pg_dump -s -N sqitch -T 'schema_migrations*' -d %s"):format(database))
      return (out:gsub("\\u?n?restrict [^\n]*\n", ""))
    end
    local with_sqitch = dump(name)
    local other = pgmig.connect(support.database())
    local m = pgmig.migrator(other, dir, { format = "sqitch" })
    assert.equal("a@v1 b a", labels(m:migrate()))
    assert.equal(with_sqitch, dump(other:query("SELECT current_database() AS name")[1].name))
    assert.equal("a b a@v1", labels(m:rollback(3)))
    other:close()
  end)

  with("sqitch", "is taken over, and deploys what pgmig has planned", function()
    write_project()
    sqitch "deploy --to b %s"
    local m = pgmig.migrator(db, dir, { format = "sqitch" })
    assert.equal("a@v1 b", labels(m:adopt()))
    assert.equal("a", labels(m:migrate()))
    m:create "Add carts"
    support.write(dir .. "/deploy", "add_carts.sql", "CREATE TABLE carts ();\n")
    sqitch "deploy --log-only --to a@HEAD %s" -- pgmig has run it
    sqitch "deploy %s"
    m = pgmig.migrator(db, dir, { format = "sqitch" })
    assert.equal("add_carts", labels(m:adopt()))
    assert.equal("a carts", tables())
  end)
end)
