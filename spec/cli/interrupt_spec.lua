-- Ctrl-C and kill.
local cli = require "spec.cli.helper"
local core = require "pgmig.core"

local LIMIT = 200 -- tenths of a second

describe("a signal", function()
  local project
  before_each(function()
    project = cli.project()
    project.write("004_sleep.sql", "-- UP\nCREATE TABLE d ();\nSELECT pg_sleep(30);\n")
  end)
  after_each(function() project.close() end)

  --- Until the server sleeps for the migration; false when it never does.
  local function asleep()
    for _ = 1, LIMIT do
      local rows = project.db:query [[SELECT 1 FROM pg_stat_activity
        WHERE datname = current_database() AND query = 'SELECT pg_sleep(30)' AND state = 'active']]
      if #rows > 0 then return true end
      core.poll({}, {}, 0.1)
    end
    return false
  end

  local function interrupted(words, signal)
    local started = cli.start(project.words(words), project.env())
    assert.is_true(asleep())
    started:kill(signal)
    return started:code(LIMIT), started
  end

  for signal, expected in pairs { INT = 130, TERM = 143 } do
    it(("SIG%s rolls back what runs, says where it stands, and ends with %d")
      :format(signal, expected), function()
      local code, started = interrupted("up", signal)
      assert.equal(expected, code)
      assert.matches("applied +003_create_c", started:out())
      assert.matches("interrupted by SIG" .. signal, started:err())
      assert.matches("applied before that, and kept: 001_create_a, 002_create_b, 003_create_c\n",
        started:err())
      assert.matches("004_sleep was rolled back and is not applied\n", started:err())
      assert.equal("a b c schema_migrations", cli.tables(project.db))
    end)
  end

  it("is an event in JSON", function()
    local code, started = interrupted("up --json", "INT")
    assert.equal(130, code)
    local objects = cli.objects(started:out())
    local last = objects[#objects]
    assert.same({ "error", "interrupted", "004_sleep" }, { last.event, last.kind, last.migration })
    assert.equal("001_create_a 002_create_b 003_create_c", cli.labels(last.applied))
  end)

  it("ends wait with 130", function()
    local started = cli.start("wait --timeout 60 -d host=/nowhere")
    core.poll({}, {}, 0.5)
    assert.is_nil(started:code(0))
    started:kill "INT"
    assert.equal(130, started:code(LIMIT))
    assert.equal("pgmig: interrupted while waiting\n", started:err())
  end)
end)
