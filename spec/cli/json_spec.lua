-- --json: standard output for programs.
local cli = require "spec.cli.helper"
local dkjson = require "dkjson"

describe("--json", function()
  local project
  before_each(function() project = cli.project() end)
  after_each(function() project.close() end)

  --- Run, and decode what it prints; each object is on a line of its own.
  local function run(words)
    local code, out, err = project.run("--json " .. words)
    return cli.objects(out), code, err, out
  end

  local function events(objects)
    local list = {}
    for i, object in ipairs(objects) do
      list[i] = object.event .. (object.label and " " .. object.label or "")
    end
    return list
  end

  it("of status is one object, in a fixed order, with empty lists as lists", function()
    local objects, code, err, out = run "status"
    assert.same({ 0, "", 1 }, { code, err, #objects })
    assert.truthy(out:find('{"applied_count":0,"pending_count":3,"applied":[],"pending":[{'
      .. '"version":1,"name":"create_a","label":"001_create_a","state":"pending","down":"ready",'
      .. '"path":"', 1, true), out)
    assert.truthy(out:find('"ignored":[],"problems":[],"database":{', 1, true), out)
    assert.equal("001_create_a 002_create_b 003_create_c", cli.labels(objects[1].pending))
  end)

  it("has all other keys by name, the same in each process", function()
    for _ = 1, 3 do
      local _, _, _, out = run "renumber --dry-run"
      assert.matches('},"kept":%[%],"notes":%[%],"renamed":%[%],"written":false}\n$', out)
    end
  end)

  it("of status has times, states, ignored and broken files", function()
    assert.equal(0, (project.run "up -q"))
    os.remove(project.dir .. "/003_create_c.sql")
    local ignored = project.write("notes.sql", "")
    local broken = project.write("004_bad.sql", "-- UP\nSELECT 'x")
    local status = run("status")[1]
    assert.same({ 3, 1 }, { status.applied_count, status.pending_count })
    assert.matches("^%d+%-%d+%-%d+T%d+:%d+:", status.applied[1].applied_at)
    assert.same({ "applied", "missing" }, { status.applied[1].state, status.applied[3].state })
    assert.same({ ignored }, status.ignored)
    assert.same({ "parse", broken }, { status.problems[1].kind, status.problems[1].path })
  end)

  it("keeps long versions exact", function()
    project.write("20240115103000_stamp.sql", "SELECT 1;")
    project.write("20240115103000123456_long.sql", "SELECT 1;")
    local _, _, _, out = run "up"
    assert.truthy(out:find('"version":20240115103000,', 1, true), out)
    assert.truthy(out:find('"version":"20240115103000123456",', 1, true), out)
    _, _, _, out = run "status"
    assert.truthy(out:find('"version":20240115103000,', 1, true), out)
    assert.truthy(out:find('"version":"20240115103000123456",', 1, true), out)
  end)

  it("of up is one event per line, and a last one that sums up", function()
    project.write("002_create_b.sql", "DO $$ BEGIN RAISE NOTICE 'hello'; END $$;")
    project.write("005-odd.sql", "")
    local objects, code, err, out = run "up"
    assert.same({ 0, "" }, { code, err })
    assert.same({
      "ignored",
      "start 001_create_a", "applied 001_create_a",
      "start 002_create_b", "notice 002_create_b", "applied 002_create_b",
      "start 003_create_c", "applied 003_create_c", "finished",
    }, events(objects))
    assert.truthy(out:find('{"event":"applied","version":1,"name":"create_a",'
      .. '"label":"001_create_a","duration":0.', 1, true), out)
    assert.same({ "NOTICE", "hello" }, { objects[5].severity, objects[5].message })
    assert.equal("001_create_a 002_create_b 003_create_c", cli.labels(objects[9].applied))
    assert.equal(3, objects[9].statements)
    assert.is_true(objects[9].duration > 0)
  end)

  it("of a long statement has progress, about once a second", function()
    project.write("002_create_b.sql", "-- UP\nSELECT pg_sleep(2.5);\n-- DOWN\n")
    local objects = run "up --to 2"
    local progress, seconds = {}, nil
    for _, object in ipairs(objects) do
      if object.event == "progress" then progress[#progress + 1] = object end
      if object.event == "applied" and object.version == 2 then seconds = object.duration end
    end
    assert.is_true(#progress >= 1 and #progress <= seconds + 1, #progress .. " events")
    local first = progress[1]
    assert.same({ "002_create_b", 1, 2, "SELECT", 0, #"SELECT pg_sleep(2.5)" },
      { first.label, first.done, first.total, first.statement, first.bytes, first.size })
  end)

  it("of up with nothing to do is only the last event", function()
    assert.equal(0, (project.run "up -q"))
    local _, _, _, out = run "up"
    assert.equal('{"event":"finished","applied":[],"rolled_back":[]}\n', out:match "\n(.*)$")
  end)

  it("of down and redo is events", function()
    assert.equal(0, (project.run "up -q"))
    assert.same({
      "start 003_create_c", "rolled_back 003_create_c", "start 003_create_c",
      "applied 003_create_c", "finished",
    }, events(run "redo"))
    local objects = run "down --steps 2"
    assert.same({
      "start 003_create_c", "rolled_back 003_create_c", "start 002_create_b",
      "rolled_back 002_create_b", "finished",
    }, events(objects))
    assert.equal("003_create_c 002_create_b", cli.labels(objects[5].rolled_back))
  end)

  it("of a dry run is one object", function()
    local objects, code = run "up --dry-run --to 1"
    assert.same({ 0, 1, "up" }, { code, #objects, objects[1].direction })
    local first = objects[1].migrations[1]
    assert.same({ 1, "001_create_a", true, 1, project.dir .. "/001_create_a.sql" },
      { first.version, first.label, first.transaction, first.statements, first.path })
    local _, _, _, out = run "down --dry-run"
    assert.equal('{"direction":"down","ignored":[],"migrations":[]', out:match '^(.*),"database"')
  end)

  it("of a dry run of down names what stands in the way", function()
    project.write("004_none.sql", "SELECT 1;")
    assert.equal(0, (project.run "up -q"))
    local objects, code = run "down --dry-run"
    assert.equal(2, code)
    assert.equal("it has no DOWN section", objects[1].migrations[1].problem)
  end)

  it("of create is the path, of wait that it is reached", function()
    local objects = run "create more"
    assert.equal(project.dir .. "/004_more.sql", objects[1].path)
    assert.equal("reached", dkjson.decode((select(4, run "wait"))).event)
  end)

  it("of a failure is an event on standard output; standard error keeps the text", function()
    project.write("003_create_c.sql", "-- UP\nSELECT user_idd FROM a;\n")
    local objects, code, err = run "up"
    local last = objects[#objects]
    assert.equal(1, code)
    assert.same({
      "error", "sql", 'column "user_idd" does not exist', project.dir .. "/003_create_c.sql", 2, 8,
      "42703", "003_create_c", "SELECT user_idd FROM a",
    }, {
      last.event, last.kind, last.message, last.file, last.line, last.column,
      last.sqlstate, last.migration, last.statement,
    })
    assert.equal("001_create_a 002_create_b", cli.labels(last.applied))
    assert.matches("^pgmig: [^\n]*003_create_c.sql:2:8: ", err)
  end)

  it("of a refusal is such an event, whatever the command", function()
    for _, words in ipairs { "status", "up", "plan", "down", "redo", "create x" } do
      local objects, code = run(words .. " --dir /nowhere")
      assert.equal(2, code)
      assert.same({ 1, "error", "io" }, { #objects, objects[1].event, objects[1].kind })
    end
    local objects, code = run "status -d host=/nowhere"
    assert.same({ 6, "error", "connect" }, { code, objects[1].event, objects[1].kind })
  end)

  it("with --quiet writes errors only", function()
    assert.same({ 0, "", "" }, { project.run "--json -q up" })
    local objects, code = run "-q up --to 9"
    assert.same({ 2, "error", "plan" }, { code, objects[1].event, objects[1].kind })
  end)
end)
