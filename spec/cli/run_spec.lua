-- up, down, redo, create and wait when all goes well.
local cli = require "spec.cli.helper"
local pgmig = require "pgmig"
local support = require "spec.support"

local TIME = "%(%d+ ms%)"

--- The last line of a run: how many statements, and how long all took.
local function effort(statements)
  return ("  %%(%s, [%%d.]+ m?s%%)\n$"):format(statements)
end

describe("pgmig up", function()
  local project
  before_each(function() project = cli.project() end)
  after_each(function() project.close() end)

  it("applies everything, one line each, and a summary", function()
    local code, out, err = project.run "up"
    assert.equal(0, code)
    assert.matches("^applied +001_create_a +" .. TIME .. "\napplied +002_create_b +" .. TIME
      .. "\napplied +003_create_c +" .. TIME .. "\n3 migrations applied"
      .. effort "3 statements", out)
    assert.equal("", err)
    assert.equal("a b c schema_migrations", cli.tables(project.db))
  end)

  it("counts the statements of what is applied and rolled back, if all are SQL", function()
    project.write("002_create_b.sql",
      "-- UP\nSELECT 1;\nCREATE TABLE b ();\nSELECT 2;\n-- DOWN\nDROP TABLE b;\n")
    local _, out = project.run "up"
    assert.matches("3 migrations applied" .. effort "5 statements", out)
    _, out = project.run "--no-pipeline down --all"
    assert.matches("3 migrations rolled back" .. effort "3 statements", out)
    project.write("004_code.lua", "return { up = function(db) db:exec 'SELECT 1' end }")
    _, out = project.run "up"
    assert.matches("4 migrations applied  %(%d+ ms%)\n$", out)
  end)

  it("takes one phase, and names what is left to the other", function()
    project.write("002_create_b.sql", "-- pgmig: phase=post\n-- UP\nCREATE TABLE b ();\n")
    local _, out = project.run "status"
    assert.matches("pending +002_create_b +phase post, no DOWN section\n", out)
    _, out = project.run "status --json"
    assert.matches('"phase":"post"', out, 1, true)
    local code
    code, out = project.run "up --phase pre"
    assert.equal(0, code)
    assert.matches("2 migrations applied" .. effort("2 statements"):gsub("%$", "")
      .. "1 migration of phase post is pending: pgmig up %-%-phase post\n$", out)
    _, out = project.run "plan --phase pre"
    assert.matches("nothing to apply, at 003_create_c\n1 migration of phase post is pending", out)
    code, out = project.run "up --phase post"
    assert.equal(0, code)
    assert.matches("^applied +002_create_b", out)
    assert.is_nil(out:find("phase", 1, true))
  end)

  it("sums up nothing of what it only records", function()
    local _, out = project.run "up --fake 1"
    assert.matches("\n1 migration recorded\n$", out)
  end)

  it("with nothing to do says where the database is", function()
    assert.equal(0, (project.run "migrate --quiet"))
    assert.same({ 0, "nothing to apply, at 003_create_c\n", "" }, { project.run "up" })
  end)

  it("in an empty folder on an empty database does nothing and creates nothing", function()
    local dir = support.tempdir()
    assert.same({ 0, "nothing to apply\n", "" },
      { cli.run("up --dir " .. cli.quote(dir), project.env()) })
    assert.equal("", cli.tables(project.db))
  end)

  it("stops after --to, and after --steps", function()
    local _, out = project.run "up --to 001"
    assert.matches("001_create_a[^\n]*\n1 migration applied" .. effort "1 statement", out)
    _, out = project.run "up --steps 1"
    assert.matches("^applied +002_create_b[^\n]*\n1 migration applied" .. effort "1 statement", out)
    assert.equal("a b schema_migrations", cli.tables(project.db))
  end)

  it("takes global options before and after the command, and several folders", function()
    local other = support.tempdir()
    support.write(other, "004_d.sql", "CREATE TABLE d ();")
    local words = ("--dir %s up -q --dir %s --table history -d %s"):format(cli.quote(project.dir),
      cli.quote(other), cli.quote(project.url))
    assert.same({ 0, "", "" }, { cli.run(words) })
    assert.equal("a b c d history", cli.tables(project.db))
  end)

  it("takes the folder and the table from variables, and flags win over them", function()
    local env = { DATABASE_URL = project.url, PGMIG_DIR = project.dir, PGMIG_TABLE = "one" }
    assert.equal(0, (cli.run("up -q --steps 1", env)))
    assert.equal("a one", cli.tables(project.db))
    env.PGMIG_DIR = "/nowhere"
    assert.equal(1, (cli.run(project.words "up -q --to 1 --table two", env))) -- a is there
    local _, _, err = cli.run("up", env)
    assert.matches("/nowhere", err)
  end)

  it("uses --database before DATABASE_URL", function()
    local code = project.run("up -q -d " .. cli.quote(project.url), {
      DATABASE_URL = "host=/nowhere",
    })
    assert.equal(0, code)
  end)

  it("reads the folder migrations when none is named", function()
    local dir = support.tempdir()
    assert.equal(0, (support.run(("mv %s %s/migrations"):format(project.dir, dir))))
    local code = support.run("cd " .. dir .. " && " .. cli.command("up -q", project.env()))
    assert.equal(0, code)
    assert.equal("a b c schema_migrations", cli.tables(project.db))
  end)

  it("warns of files that are not named like migrations", function()
    local path = project.write("4-d.sql", "CREATE TABLE d ();")
    for _, words in ipairs { "plan", "up", "up" } do
      local _, out, err = project.run(words)
      assert.equal("pgmig: ignored: " .. path
        .. " is not named like a migration (NNN_description.sql)\n", err)
      assert.is_nil(out:find "ignored")
    end
    assert.same({ 0, "", "" }, { project.run "up -q" })
  end)

  it("writes the server's notices and its own warnings to standard error", function()
    project.write("004_chatty.sql", "DO $$ BEGIN RAISE WARNING 'w' USING HINT = 'h'; END $$;")
    project.write("005_comment.sql", "-- later\n")
    local code, out, err = project.run "up"
    assert.equal(0, code)
    assert.matches("applied +004_chatty", out)
    assert.matches("004_chatty: WARNING: w\nHINT: h\n", err)
    assert.matches("005_comment[^\n]*: WARNING: ", err)
    assert.is_nil(out:find "WARNING")
  end)
end)

describe("pgmig down", function()
  local project
  before_each(function()
    project = cli.project()
    assert.equal(0, (project.run "up -q"))
  end)
  after_each(function() project.close() end)

  it("takes the newest back", function()
    local code, out, err = project.run "down"
    assert.equal(0, code)
    assert.matches("^rolled back +003_create_c +" .. TIME .. "\n1 migration rolled back"
      .. effort "1 statement", out)
    assert.equal("", err)
    assert.equal("a b schema_migrations", cli.tables(project.db))
  end)

  it("takes back as many as --steps says", function()
    local _, out = project.run "rollback --steps 2"
    assert.matches("003_create_c.*002_create_b.*\n2 migrations rolled back"
      .. effort "2 statements", out)
    assert.equal("a schema_migrations", cli.tables(project.db))
  end)

  it("keeps the version of --to", function()
    assert.equal(0, (project.run "down --to 1"))
    assert.equal("a schema_migrations", cli.tables(project.db))
  end)

  it("takes back everything with --all, also a version 0, and then nothing", function()
    project.write("000_zero.sql", "-- UP\nCREATE TABLE zero ();\n-- DOWN\nDROP TABLE zero;\n")
    assert.equal(0, (project.run "up -q"))
    assert.equal("a b c schema_migrations zero", cli.tables(project.db))
    local code, out = project.run "down --all"
    assert.equal(0, code)
    assert.matches("4 migrations rolled back" .. effort "4 statements", out)
    assert.equal("schema_migrations", cli.tables(project.db))
    assert.same({ 0, "nothing to roll back\n", "" }, { project.run "down --all" })
    assert.same({ 0, "nothing to roll back\n", "" }, { project.run "down" })
    assert.same({ 0, "nothing to roll back\n", "" }, { project.run "redo" })
  end)
end)

describe("pgmig goto", function()
  local project
  before_each(function()
    project = cli.project()
    os.remove(project.dir .. "/002_create_b.sql")
    assert.equal(0, (project.run "up -q"))
    project.write("002_create_b.sql", "-- UP\nCREATE TABLE b ();\n-- DOWN\nDROP TABLE b;\n")
  end)
  after_each(function() project.close() end)

  it("shows both halves of the way, as text and as one object", function()
    local code, out = project.run "goto 2 --dry-run"
    assert.equal(0, code)
    assert.matches("^would roll back  003_create_c .*\n1 migration to roll back; nothing was run\n"
      .. "would apply  002_create_b .*\nthen 1 migration to apply; nothing was run\n$", out)
    local _, json = project.run "goto 2 --dry-run --json"
    local plan = cli.objects(json)[1]
    assert.same({ "down", "003_create_c", "up", "002_create_b" }, { plan.direction,
      cli.labels(plan.migrations), plan.again.direction, cli.labels(plan.again.migrations) })
  end)

  it("shows what is filled behind the rollback", function()
    project.write("002_create_b.sql", "-- UP\nCREATE TABLE b (id int PRIMARY KEY, n int);\n"
      .. '-- BACKFILL table=b set="n = id"\n-- DOWN\nDROP TABLE b;\n')
    local _, out = project.run "goto 2 --dry-run"
    assert.matches("\nwould apply  002_create_b .*\n  then: backfill b, SET n = id\n", out)
  end)

  it("goes there, and says so when it is there", function()
    local code, out = project.run "goto 2"
    assert.equal(0, code)
    assert.matches("1 migration rolled back, 1 migration applied" .. effort "2 statements", out)
    assert.equal("a b schema_migrations", cli.tables(project.db))
    assert.same({ 0, "nothing to apply, at 002_create_b\n", "" }, { project.run "goto 2" })
  end)

  it("that has failed is to be run again", function()
    project.write("002_create_b.sql", "-- UP\nSELECT nix;\n-- DOWN\n")
    local code, _, err = project.run "goto 2"
    assert.equal(1, code)
    assert.matches("rolled back before that: 003_create_c\n.*run `pgmig goto 2` again\n$", err)
  end)
end)

describe("pgmig redo", function()
  it("takes the newest back and applies it again, with the file as it is now", function()
    local project = cli.project()
    assert.equal(0, (project.run "up -q"))
    project.write("003_create_c.sql", "-- UP\nCREATE TABLE c2 ();\n-- DOWN\nDROP TABLE c;\n")
    local code, out = project.run "redo"
    assert.equal(0, code)
    assert.matches("^rolled back +003_create_c [^\n]*\napplied +003_create_c [^\n]*\n"
      .. "1 migration rolled back, 1 migration applied" .. effort "2 statements", out)
    assert.equal("a b c2 schema_migrations", cli.tables(project.db))
    project.close()
  end)

  it("does so with several", function()
    local project = cli.project()
    assert.equal(0, (project.run "up -q"))
    local code, out = project.run "redo --steps 2"
    assert.equal(0, code)
    assert.matches("2 migrations rolled back, 2 migrations applied" .. effort "4 statements", out)
    assert.equal("a b c schema_migrations", cli.tables(project.db))
    project.close()
  end)
end)

describe("pgmig create", function()
  it("writes the next file and prints its path, without a database", function()
    local dir = support.tempdir()
    local words = "--dir " .. cli.quote(dir) .. " create "
    local nowhere = { DATABASE_URL = "host=/nowhere" }
    assert.same({ 0, dir .. "/001_add_orders.sql\n", "" },
      { cli.run(words .. "'Add orders'", nowhere) })
    assert.same({ 0, dir .. "/002_more.sql\n", "" }, { cli.run(words .. "more", nowhere) })
    local file = assert(io.open(dir .. "/001_add_orders.sql"))
    assert.matches("^%-%- Migration: add_orders\n.*\n%-%- UP\n.*\n%-%- DOWN\n", file:read "*a")
    file:close()
  end)

  it("takes the time as version with --timestamp", function()
    local dir = support.tempdir()
    local code, out = cli.run("create x --timestamp --dir " .. cli.quote(dir))
    assert.equal(0, code)
    assert.matches("/20%d%d%d%d%d%d%d%d%d%d%d%d_x%.sql\n$", out)
  end)

  it("refuses a name without letters, and a missing folder", function()
    local dir = support.tempdir()
    local code, out, err = cli.run("create '!!' --dir " .. cli.quote(dir))
    assert.same({ 2, "" }, { code, out })
    assert.matches("^pgmig: the name \"!!\" contains no letter or digit\n", err)
    assert.equal(2, (cli.run("create x --dir " .. cli.quote(dir .. "/none"))))
  end)
end)

describe("pgmig wait", function()
  it("ends as soon as the database is there", function()
    local project = cli.project()
    assert.same({ 0, "the database accepts connections\n", "" }, { project.run "wait" })
    project.close()
  end)

  it("waits for a database that comes later", function()
    local db = pgmig.connect(support.database())
    local started = cli.start("wait --timeout 30", { DATABASE_URL = support.server():url "later" })
    db:query "SELECT pg_sleep(0.5)"
    assert.is_true(started:is_running())
    db:exec "CREATE DATABASE later"
    assert.equal(0, started:code())
    assert.equal("the database accepts connections\n", started:out())
    db:exec "DROP DATABASE later"
    db:close()
  end)

  it("ends with 6 at its limit, and tells the last reason", function()
    local code, out, err = cli.run("wait --timeout 0.5 -d host=/nowhere")
    assert.same({ 6, "" }, { code, out })
    assert.matches("^pgmig: the database accepted no connection within 0.5 s\nDETAIL: ", err)
    assert.matches("/nowhere", err)
  end)
end)
