-- history, doctor, repair, resolve, up --fake and policies, as a user of the program sees them.
local cli = require "spec.cli.helper"
local dkjson = require "dkjson"

describe("pgmig", function()
  local project

  before_each(function() project = cli.project() end)

  after_each(function() project.close() end)

  local function run(words) return project.run(words) end

  it("history shows what has happened, the newest last", function()
    assert.same({ 0, "nothing has happened yet\n", "" }, { run "history" })
    run "up"
    run "down"
    local code, out = run "history"
    assert.equal(0, code)
    assert.matches("^%d+%-%d+%-%d+ %d+:%d+:%d+%S*  up +001_create_a  %(%d+ ms%)  postgres@%S+\n",
      out)
    assert.matches("down +003_create_c  %(%d+ ms%)  postgres@%S+\n$", out)
    local _, newest = run "history --limit 1"
    assert.equal(out:match "[^\n]+\n$", newest)
  end)

  it("history says where a failure was, and what the server said", function()
    project.write("002_create_b.sql", "-- UP\nCREATE TABLE b (n int UNIQUE);\n"
      .. "INSERT INTO b VALUES (1), (1);\n")
    run "up"
    local _, out = run "history --limit 1"
    assert.truthy(out:find(("- %s/002_create_b.sql:3:1: duplicate key value violates unique "
      .. 'constraint "b_n_key" (SQLSTATE 23505) DETAIL: Key (n)=(1) already exists.\n'):format(
      project.dir), 1, true), out)
    local _, json = run "history --limit 1 --json"
    local event = dkjson.decode(json).history[1]
    assert.same({ "failed", "23505", 3, 1 },
      { event.event, event.sqlstate, event.line, event.column })
  end)

  it("history --json has all of it, in a fixed order", function()
    run "up --to 1"
    local code, out = run "history --json"
    assert.equal(0, code)
    assert.matches('^{"history":%[{"event":"up","version":1,"name":"create_a","duration":[%d.e-]+,'
      .. '"checksum":"%x+","started_at":"[^"]+","finished_at":"[^"]+","db_user":"postgres",'
      .. '"host":"[^"]+","program":"pgmig [%d.]+","run":"%w+"}%],"database":{', out)
  end)

  it("status and doctor end with 0, and name the odd", function()
    run "up --to 2"
    project.write("001_create_a.sql", "-- UP\nSELECT 1;\n-- DOWN\n")
    local code, out = run "status"
    assert.equal(0, code)
    assert.matches("edited +001_create_a", out)
    assert.matches("edited: 001_create_a was edited after it was applied; .*pgmig repair 1", out)
    code, out = run "doctor"
    assert.equal(0, code)
    assert.matches("edited: 001_create_a was edited after it was applied.*\n   pgmig %-%-dir %S+ "
      .. "repair 1\n", out)
    assert.matches("1 finding\n$", out)
    local _, json = run "doctor --json"
    local finding = dkjson.decode(json).findings[1]
    assert.same({ "edited", ("pgmig --dir %s repair 1"):format(project.dir) },
      { finding.kind, finding.remedy })
  end)

  it("up refuses an edited file with code 2, --policy lets it pass, repair settles it", function()
    run "up --to 2"
    project.write("001_create_a.sql", "-- UP\nSELECT 1;\n-- DOWN\n")
    local code, _, err = run "up"
    assert.equal(2, code)
    assert.matches("001_create_a.sql: 001_create_a was edited after it was applied", err)
    assert.matches("pgmig repair 1; or allow it: %-%-policy edited=warn", err)
    code, _, err = run "--policy edited=warn up --to 3"
    assert.equal(0, code)
    assert.matches("WARNING: 001_create_a was edited", err)
    assert.same({ 0, "repaired  001_create_a\n", "" }, { run "repair 1" })
    code, _, err = run "up"
    assert.same({ 0, "" }, { code, err })
    assert.same({ 0, "nothing to repair\n", "" }, { run "repair --all" })
  end)

  it("refuses a policy that is none", function()
    for policy, message in pairs {
      ["edited"] = "--policy", ["edited=perhaps"] = "error, warn or allow",
      ["eaten=warn"] = "states are", ["duplicate=warn"] = "always error",
    } do
      local code, _, err = run("--policy " .. policy .. " up")
      assert.equal(2, code)
      assert.matches(message, err, 1, true)
    end
  end)

  it("up --fake records one without running it", function()
    local code, out = run "up --fake 1"
    assert.equal(0, code)
    assert.matches("recorded +001_create_a .*1 migration recorded", out)
    assert.equal("schema_migrations", cli.tables(project.db))
    code, out = run "up --fake 1"
    assert.equal(0, code)
    assert.not_matches("recorded +001", out)
    assert.equal(2, (run "up --fake 77"))
    assert.equal(2, (run "up --fake 2 --to 3"))
  end)

  it("unapply records one as not applied without running anything", function()
    run "up"
    local code, out = run "unapply 2"
    assert.equal(0, code)
    assert.matches("^unapplied +002_create_b .*\n1 migration unapplied\n$", out)
    assert.equal("a b c schema_migrations", cli.tables(project.db))
    assert.same({ 0, "it is not applied\n", "" }, { run "unapply 2" })
    assert.equal(2, (run "unapply 77"))
    assert.equal(2, (run "unapply"))
    assert.matches(" unapplied +002_create_b ", select(2, run "history --limit 1"))
    code, out = run "status"
    assert.equal(0, code)
    assert.matches("out_of_order +002_create_b", out) -- and not forgotten
    project.db:exec "DROP TABLE b"
    assert.equal(0, (run "up"))
    os.remove(project.dir .. "/003_create_c.sql")
    code, out = run "unapply 3 --json"
    assert.equal(0, code)
    local events = {}
    for i, event in ipairs(cli.objects(out)) do events[i] = event.event end
    assert.same({ "start", "unapplied", "finished" }, events)
    assert.matches("2 applied, 0 pending\n$", select(2, run "status"))
  end)

  it("unapply ends a rollback that was finished by hand, and calls no hooks", function()
    project.write("004_off.sql", "-- UP\nCREATE TABLE d ();\n-- DOWN\n-- pgmig: transaction=off\n"
      .. "DROP TABLE d;\nSELECT 1/0;\n")
    run "up"
    assert.equal(1, (run "down"))
    project.write("pgmig.conf.lua", "return { hooks = { before_each = function() error 'x' end } }")
    local code, _, err = run("--config " .. cli.quote(project.dir .. "/pgmig.conf.lua")
      .. " unapply 4")
    assert.same({ 0, "" }, { code, err })
    os.remove(project.dir .. "/004_off.sql")
    assert.same({ 0, "all is well\n", "" }, { run "doctor" })
  end)

  it("repair --gone accepts that a file is gone for good, and notices when it is back", function()
    run "up"
    local text = "-- UP\nCREATE TABLE b (id int);\n-- DOWN\nDROP TABLE b;\n"
    os.remove(project.dir .. "/002_create_b.sql")
    local _, out = run "doctor"
    local dir, command = out:match "accept that it is gone for good: pgmig %-%-dir (%S+) ([^\n]+)\n"
    assert.same({ project.dir, "repair 2 --gone" }, { dir, command })
    assert.same({ 0, "nothing to repair\n", "" }, { run "repair 2" })
    assert.same({ 0, "repaired  002_create_b\n", "" }, { run(command) })
    assert.same({ 0, "nothing to repair\n", "" }, { run(command) })
    assert.same({ 0, "all is well\n", "" }, { run "doctor" })
    assert.equal(0, (run "status --exit-code"))
    assert.same({ 0, "nothing to apply, at 003_create_c\n", "" }, { run "up" })
    assert.matches(" gone +002_create_b .*gone for good", select(2, run "history --limit 1"))
    assert.equal(2, (run "repair 3 --gone"))
    assert.equal(2, (run "repair --all --gone"))
    project.write("004_create_b.sql", text) -- which ran as 002
    assert.equal(2, (run "up"))
    os.rename(project.dir .. "/004_create_b.sql", project.dir .. "/002_create_b.sql")
    assert.same({ 0, "all is well\n", "" }, { run "doctor" })
    project.write("002_create_b.sql", text .. "SELECT 1;")
    assert.matches("^edited: 002_create_b ", select(2, run "doctor"))
  end)

  it("resolve settles what is unknown, and nothing else", function()
    project.write("004_off.sql", "-- UP\n-- pgmig: transaction=off\nCREATE TABLE d (n int);\n"
      .. "CALL nothing();\n-- DOWN\n")
    assert.equal(1, (run "up"))
    local code, _, err = run "resolve 4 --done"
    assert.equal(2, code)
    assert.matches("004_off has nothing to resolve", err)
    project.db:exec [[UPDATE schema_migrations_journal SET state = 'running', pid = NULL,
      running = done[1], statement = 'CALL nothing()']]
    code, _, err = run "up"
    assert.equal(5, code)
    assert.matches("it is not known whether statement 2 took effect", err)
    assert.matches("pgmig resolve 4 %-%-done, or %-%-redo", err)
    assert.matches(" unknown +004_off .*it is not known "
      .. "whether", select(2, run "history --limit 1"))
    assert.equal(2, (run "resolve 4"))
    local out
    code, out = run "resolve 4 --redo"
    assert.same({ 0, "resolved  004_off  (redo)\n" }, { code, out })
    project.write("004_off.sql", "-- UP\n-- pgmig: transaction=off\nCREATE TABLE d (n int);\n"
      .. "ANALYZE d;\n-- DOWN\n")
    code, out, err = run "up"
    assert.equal(0, code)
    assert.matches("resuming from statement 2", err)
    assert.matches("applied +004_off", out)
  end)

  it("shows repeatable migrations, and runs them when they change", function()
    project.write("R__view.sql", "CREATE OR REPLACE VIEW v AS SELECT id FROM a;\n")
    local _, out = run "status"
    assert.matches("pending +R__view", out)
    _, out = run "up"
    assert.matches("applied +003_create_c.*applied +R__view.*4 migrations applied", out)
    _, out = run "status"
    assert.matches("applied +R__view", out)
    _, out = run "up"
    assert.not_matches("R__view", out)
    project.write("R__view.sql", "CREATE OR REPLACE VIEW v AS SELECT id, 1 AS one FROM a;\n")
    _, out = run "plan"
    assert.matches("R__view", out)
    _, out = run "up"
    assert.matches("applied +R__view", out)
  end)
end)
