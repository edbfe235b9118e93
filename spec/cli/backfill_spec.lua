-- `pgmig backfill`, as a user of the program sees it.
local cli = require "spec.cli.helper"
local dkjson = require "dkjson"

describe("pgmig backfill", function()
  local project

  before_each(function()
    project = cli.project()
    project.db:exec [[CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0);
      INSERT INTO t SELECT i FROM generate_series(1, 5000) AS i]]
    project.write("004_fill.sql", "-- UP\nSELECT 1;\n-- BACKFILL table=t set=\"n = n + 1\"\n")
  end)

  after_each(function() project.close() end)

  local function run(words) return project.run(words) end

  local function sum() return project.db:query("SELECT sum(n) AS n FROM t")[1].n end

  it("tells of nothing, and of what up has done or left", function()
    assert.same({ 0, "no backfills\n", "" }, { run "backfill" })
    local _, out = run "up --dry-run"
    assert.matches("\n  then: backfill t, SET n = n %+ 1\n", out)
    _, out = run "up"
    assert.matches("\napplied      004_fill  %([^\n]*\nfilled       004_fill  t  %(5,000 rows%)\n",
      out)
    local code
    code, out = run "backfill status --exit-code"
    assert.equal(0, code)
    assert.matches("^done       004_fill  t  5,000 of about %d,%d+ rows passed, 5,000 changed, 100",
      out)
    local _, json = run "backfill --json"
    local found = dkjson.decode(json).backfills[1]
    assert.same({ "4", 1, "t", "done", 5000 },
      { found.migration, found.step, found.table, found.state, found.rows })
  end)

  it("runs what was left for later; pause, resume, cancel, retry", function()
    local code, _, err = run "up --backfill later"
    assert.equal(0, code)
    assert.matches("the backfill of t %(004_fill%) is to be run later: `pgmig backfill run`", err)
    assert.equal(3, (run "backfill --exit-code"))
    local _, out = run "backfill pause 4"
    assert.matches("^paused     004_fill  t  .*\n +paused by postgres\n", out)
    run "backfill run"
    assert.equal(0, sum())
    code, _, err = run "backfill retry 4.1"
    assert.equal(2, code)
    assert.matches("there is no backfill to retry", err)
    code, _, err = run "backfill cancel 4"
    assert.same({ 0, "" }, { code, err })
    code, _, err = run "backfill retry 004"
    assert.same({ 0, "" }, { code, err })
    code, _, err = run "backfill run 4.1"
    assert.same({ 0, "" }, { code, err:match "^pgmig.*" or "" })
    assert.equal(5000, sum())
    code, _, err = run "backfill run 5"
    assert.equal(2, code)
    assert.matches("there is no backfill of 5", err)
  end)

  it("stops at a time, keeps to a rate, and refuses what is none of these", function()
    run "up --backfill later"
    local process = cli.start(project.words "backfill run --rate 50 --json", project.env())
    require("spec.support").wait(function() return sum() > 0 end, "the first batch")
    process:kill "INT"
    assert.equal(130, process:code())
    assert.is_true(sum() < 2500)
    local events = cli.objects(process:out())
    assert.same({ "backfill", "start", "running" },
      { events[1].event, events[1].phase, events[1].backfill.state })
    assert.matches("^pending", (select(2, run "backfill")))
    for _, words in ipairs { "run --until noon", "run --duty 0", "run --hours 6", "--rate 5",
      "stop" } do
      assert.equal(2, (run("backfill " .. words)), words)
    end
    local _, json = run("backfill run --json --duty 90 --until " .. os.date("%H:%M",
      os.time() + 3600))
    local objects = cli.objects(json)
    assert.equal("done", objects[#objects].backfills[1].state)
    assert.equal(5000, sum())
  end)

  it("tries rows again that were left out", function()
    project.db:exec "ALTER TABLE t ADD CONSTRAINT odd CHECK (n < 1 OR id NOT IN (7, 4000))"
    project.write("004_fill.sql", "-- UP\nSELECT 1;\n"
      .. "-- BACKFILL table=t set=\"n = n + 1\" skip=9\n")
    local _, _, err = run "up"
    assert.matches("004_fill: WARNING: the row with id = 4000 is left out: .*odd", err)
    local _, out = run "backfill"
    assert.matches("2 rows are left out:\n +%(7%): .*odd", out)
    project.db:exec [[ALTER TABLE t DROP CONSTRAINT odd;
      ALTER TABLE t ADD CONSTRAINT odd CHECK (n < 1 OR id <> 4000)]]
    run "backfill retry 4"
    run "backfill run 4"
    assert.equal(4999, sum())
    _, out = run "backfill"
    assert.matches("^done.*1 rows are left out:\n +%(4000%): .*odd", out)
  end)
end)
