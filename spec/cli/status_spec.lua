-- status, plan and --dry-run: looking without touching.
local cli = require "spec.cli.helper"
local dkjson = require "dkjson"
local support = require "spec.support"

describe("pgmig status", function()
  local project
  before_each(function() project = cli.project() end)
  after_each(function() project.close() end)

  it("of an empty database lists everything as pending and creates nothing", function()
    local code, out, err = project.run "status"
    assert.equal(0, code)
    assert.matches("STATE +MIGRATION +APPLIED AT\n", out)
    assert.matches("pending +001_create_a\npending +002_create_b\npending +003_create_c\n", out)
    assert.matches("0 applied, 3 pending\n$", out)
    assert.equal("", err)
    assert.equal("", cli.tables(project.db))
  end)

  it("shows what is applied, since when, and what is pending", function()
    assert.equal(0, (project.run "up --to 2 --quiet"))
    local _, out = project.run "status"
    local time = "%d%d%d%d%-%d%d%-%d%d %d%d:%d%d:%d%d[+-]%d%d:%d%d\n"
    assert.matches("applied +001_create_a +" .. time, out)
    assert.matches("applied +002_create_b +" .. time, out)
    assert.matches("pending +003_create_c\n", out)
    assert.matches("2 applied, 1 pending\n$", out)
  end)

  it("has a short form: the newest that is applied", function()
    assert.same({ 0, "nothing is applied\n", "" }, { project.run "version" })
    assert.equal(0, (project.run "up --to 2 -q"))
    assert.same({ 0, "002_create_b\n", "" }, { project.run "version" })
    local _, out = project.run "version --json"
    assert.matches('^{"version":2,"name":"create_b","label":"002_create_b","database":', out)
  end)

  it("shows times in the local zone on request, as history does; JSON never", function()
    assert.equal(0, (project.run "up -q"))
    local env = { TZ = "Asia/Kolkata", PGMIG_LOCAL_TIME = "on" }
    local function time(words, given)
      local _, out = project.run(words,
        { TZ = given.TZ, PGMIG_LOCAL_TIME = given.PGMIG_LOCAL_TIME })
      return out:match "(%d+%-%d%d%-%d%d)[T ](%d+:%d%d:%d%d)[%d.]*([+-][%d:]+)"
    end
    local day, clock, offset = time("status", {})
    assert.equal("+00:00", offset)
    local _, indian, indian_offset = time("status", env)
    assert.equal("+05:30", indian_offset)
    local function minutes(text)
      local hour, minute = text:match "(%d+):(%d+)"
      return hour * 60 + minute
    end
    assert.equal(330, (minutes(indian) - minutes(clock)) % 1440)
    assert.same({ time("status", env) }, { time("history --limit 3", env) })
    assert.same({ time("status", env) }, { time("status --local-time", { TZ = "Asia/Kolkata" }) })
    assert.same({ day, clock, "+00:00" }, { time("status --json", env) })
    assert.equal(2, (project.run("status", { PGMIG_LOCAL_TIME = "perhaps" })))
  end)

  it("shows applied migrations without a file", function()
    assert.equal(0, (project.run "up --quiet"))
    os.remove(project.dir .. "/002_create_b.sql")
    local _, out = project.run "status"
    assert.matches("missing +002_create_b +%d", out)
    assert.matches("3 applied, 0 pending, 1 without its file\n$", out)
  end)

  it("and every run say that the folder is the wrong one, with code 0", function()
    assert.equal(0, (project.run "up --quiet"))
    local elsewhere = support.tempdir()
    local where = ("none of the 3 applied migrations (the newest is 003_create_c) is in %s: is "
      .. "that the right folder, and %s the right database?"):format(elsewhere,
      project.db:query("SELECT current_database() AS name")[1].name)
    for _, words in ipairs { "status", "plan", "up", "down --dry-run", "doctor" } do
      local code, out, err = cli.run("--dir " .. elsewhere .. " " .. words, project.env())
      assert.equal(words == "down --dry-run" and 2 or 0, code)
      assert.truthy((out .. err):find(where, 1, true), words .. ": " .. out .. err)
    end
    for _, words in ipairs { "status --json", "plan --json", "up --json" } do
      local _, out = cli.run("--dir " .. elsewhere .. " " .. words, project.env())
      assert.truthy(out:find(where, 1, true), words .. ": " .. out)
    end
    support.write(elsewhere, "2024_other.sql", "-- UP\nSELECT 1;\n-- DOWN\n")
    local code, _, err = cli.run("--dir " .. elsewhere .. " up", project.env())
    assert.equal(2, code)
    assert.truthy(err:find(where, 1, true), err)
    assert.matches("%-%-policy missing=warn", err)
    assert.equal(0, (cli.run("--policy missing=warn --dir " .. elsewhere .. " up", project.env())))
  end)

  it("says that a file is another migration than was applied, in JSON too", function()
    assert.equal(0, (project.run "up --to 2 --quiet"))
    os.remove(project.dir .. "/002_create_b.sql")
    project.write("002_other.sql", "-- UP\nSELECT 2;\n-- DOWN\n")
    local _, out = project.run "status"
    assert.matches("replaced +002_other", out)
    assert.matches("replaced: 002_create_b was applied under this number, and 002_other is another",
      out)
    assert.is_nil(out:find "pgmig repair")
    local _, json = project.run "status --json"
    local m = dkjson.decode(json).applied[2]
    assert.same({ "replaced", "other", "create_b" }, { m.state, m.name, m.recorded_name })
    for _, words in ipairs { "up", "--json up", "repair 2", "repair --all" } do
      local code, _, err = project.run(words)
      assert.equal(2, code)
      assert.matches("002_create_b was applied under this number", err)
      assert.matches("give 002_other another number", err)
    end
    assert.equal(2, (project.run "repair --all --replaced"))
    assert.same({ 0, "repaired  002_other\n", "" }, { project.run "repair 2 --replaced" })
  end)

  it("tells the three reasons apart why a migration has no way back", function()
    project.write("004_none.sql", "SELECT 1;")
    project.write("005_empty.sql", "-- UP\nSELECT 1;\n-- DOWN\n")
    project.write("006_never.sql", "-- pgmig: irreversible data is gone\n-- UP\nSELECT 1;\n")
    local _, out = project.run "status"
    assert.matches("004_none +no DOWN section\n", out)
    assert.matches("005_empty +DOWN has no SQL\n", out)
    assert.matches("006_never +irreversible\n", out)
  end)

  it("shows ignored and broken files, and goes on", function()
    project.write("notes.sql", "SELECT 1;")
    project.write("004_bad.sql", "-- UP\nSELECT 'x")
    local code, out = project.run "status"
    assert.equal(0, code)
    assert.truthy(out:find("ignored: " .. project.dir .. "/notes.sql", 1, true), out)
    assert.truthy(out:find("broken: " .. project.dir .. "/004_bad.sql:2:8: ", 1, true), out)
    assert.matches("0 applied, 4 pending, 1 broken\n$", out)
  end)

  it("aligns its columns also with names that are not ASCII", function()
    project.write("004_straße.sql", "-- UP\nSELECT 1;\n-- DOWN\n")
    project.write("005_gasse_.sql", "-- UP\nSELECT 1;\n-- DOWN\n")
    local _, out = project.run "status"
    local first, second = out:match "004_straße( +)DOWN has no SQL\npending +005_gasse_( +)DOWN"
    assert.equal(first, second)
    assert.is_string(first)
  end)

  it("with --exit-code ends with 3 when something is pending, with 0 when nothing is", function()
    assert.equal(3, (project.run "status --exit-code"))
    assert.equal(0, (project.run "up --quiet"))
    assert.equal(0, (project.run "status --exit-code"))
    assert.equal(0, (project.run "down --quiet"))
    assert.equal(3, (project.run "--quiet status --exit-code"))
    assert.equal(0, (project.run "status"))
  end)

  it("with --exit-code ends with 3 when an applied file is broken", function()
    assert.equal(0, (project.run "up --quiet"))
    project.write("002_create_b.sql", "-- UP\nSELECT 'x")
    assert.equal(3, (project.run "status --exit-code"))
  end)

  it("says that it does not know, where another schema has the table", function()
    assert.equal(0, (project.run "up"))
    project.db:exec "CREATE SCHEMA app; ALTER TABLE schema_migrations SET SCHEMA app"
    project.db:exec "DROP TABLE schema_migrations_history, schema_migrations_journal"
    local code, out, err = project.run "status"
    assert.same({ 0, "" }, { code, err })
    assert.matches("^not known: .*app.schema_migrations.*%-%-table app.schema_migrations", out)
    assert.is_nil(out:find "applied,")
    assert.equal(3, (project.run "status --exit-code"))
    assert.equal(2, (project.run "status --json"))
    assert.equal(2, (project.run "up"))
  end)

  it("with --quiet writes nothing", function()
    local code, out, err = project.run "-q status"
    assert.same({ 0, "", "" }, { code, out, err })
  end)

  it("reports output that cannot be written", function()
    local code, _, err = cli.run_command(
      cli.command(project.words "status", project.env()) .. " >/dev/full")
    assert.equal(1, code)
    assert.equal("pgmig: could not write to standard output\n", err)
  end)
end)

describe("a dry run", function()
  local project
  before_each(function() project = cli.project() end)
  after_each(function() project.close() end)

  it("of up lists what would run and how, and creates nothing", function()
    project.write("004_index.sql",
      "-- pgmig: transaction=off\n-- UP\nSELECT 1; SELECT 2;\nCREATE INDEX CONCURRENTLY ON a (id);")
    for _, words in ipairs { "up --dry-run", "plan", "migrate --dry-run" } do
      local code, out, err = project.run(words)
      assert.equal(0, code)
      assert.matches("would apply  001_create_a  %(one transaction, 1 statement%)\n", out)
      assert.matches("would apply  004_index  %(transaction=off, 3 statements%)\n", out)
      assert.matches("4 migrations to apply; nothing was run\n$", out)
      assert.equal("", err)
    end
    assert.equal("", cli.tables(project.db))
  end)

  it("takes --to and --steps", function()
    local _, out = project.run "plan --to 2"
    assert.matches("002_create_b[^\n]*\n2 migrations to apply", out)
    _, out = project.run "up --dry-run --steps 1"
    assert.matches("001_create_a[^\n]*\n1 migration to apply", out)
  end)

  it("of down lists what would be taken back, newest first, and takes nothing back", function()
    assert.equal(0, (project.run "up --quiet"))
    local code, out = project.run "down --all --dry-run"
    assert.equal(0, code)
    assert.matches("would roll back  003_create_c.-\nwould roll back  002_create_b.-\n"
      .. "would roll back  001_create_a.-\n3 migrations to roll back; nothing was run\n$", out)
    assert.equal("a b c schema_migrations", cli.tables(project.db))
  end)

  it("of down tells which migrations have no way back, and ends as the run would", function()
    project.write("004_none.sql", "SELECT 1;")
    assert.equal(0, (project.run "up --quiet"))
    local code, out = project.run "down --dry-run"
    assert.equal(2, code)
    assert.matches("cannot roll back  004_none: it has no DOWN section\n", out)
    project.write("004_none.sql", "-- pgmig: irreversible data is gone\n-- UP\nSELECT 1;\n")
    code, out = project.run "down --dry-run"
    assert.equal(2, code)
    assert.matches("cannot roll back  004_none: it is irreversible: data is gone\n", out)
    os.remove(project.dir .. "/004_none.sql")
    code, out = project.run "down --dry-run"
    assert.equal(2, code)
    assert.matches("cannot roll back  004_none: its file is missing\n", out)
  end)

  it("refuses a broken file as up does", function()
    project.write("004_bad.sql", "-- UP\nSELECT 'x")
    local code, out, err = project.run "plan"
    assert.equal(2, code)
    assert.equal("", out)
    assert.matches("004_bad.sql:2:8: ", err)
  end)

  it("with nothing to do says so", function()
    assert.equal(0, (project.run "up --quiet"))
    local _, out = project.run "plan"
    assert.equal("nothing to apply, at 003_create_c\n", out)
  end)
end)
