-- The benchmark measures what it says, and its tables are whole. No figure is judged here.
local pgmig = require "pgmig"
local support = require "spec.support"

local run = support.run

local function bench(words)
  local output = support.tempdir()
  local code, out, err = run(("script/bench --output %s %s"):format(output, words))
  return code, out, err, output
end

--- The cells of the table row that begins with a name.
local function row(text, name)
  for line in text:gmatch "[^\n]+" do
    local cells = {}
    for cell in line:gmatch "| ([^|]*) " do cells[#cells + 1] = cell end
    if cells[1] and cells[1]:sub(1, #name) == name then return cells end
  end
end

setup(function()
  local code, out, err = run "script/build && cmake --build build --target bench"
  assert(code == 0, out .. err)
end)

describe("script/bench", function()
  local code, out, err, output
  setup(function() code, out, err, output = bench "--quick small copy" end)

  it("gives a row for every contender, and writes table and picture", function()
    assert.equal(0, code, err)
    for _, name in ipairs { "pgmig, Lua 5.4", "pgmig, LuaJIT", "psql, one file",
      "psql, a file each", "limit: one libpq pipeline" } do
      assert.is_number(tonumber(row(out, name)[2]), name)
    end
    for _, name in ipairs { "dbmate", "node-pg-migrate, one transaction for all",
      "node-pg-migrate, a transaction each", "sqitch (5 only)" } do
      local cell = row(out, name)[2]
      assert.is_true(tonumber(cell) ~= nil or cell == "not installed", name .. ": " .. cell)
    end
    assert.equal("1.00", row(out, "psql, one file")[5])
    assert.equal(out, support.read(output .. "/results.md") .. "\n")
    local picture = support.read(output .. "/results.svg")
    assert.is_truthy(picture:find "^<svg .*</svg>\n$")
    local _, bars = picture:gsub("<rect ", "")
    assert.is_true(bars >= 5)
  end)

  it("shows a contender that fails with the reason, in place of a time", function()
    local copy = assert(out:match "COPY data.*")
    assert.is_number(tonumber(row(copy, "pgmig, Lua 5.4")[2]))
    local cell = row(copy, "dbmate")[2]
    assert.is_true(cell == "not installed" or cell:find "^failed: .*syntax error" ~= nil, cell)
  end)

  it("refuses a workload that it does not know", function()
    local refused, _, why = bench "smal"
    assert.is_true(refused ~= 0)
    assert.is_truthy(why:find("must be one of 'small'", 1, true), why)
  end)
end)

describe("a measured run", function()
  local measured = require "bench.programs".path "run"

  --- What the runner writes about a command: its fields, and the log.
  local function measure(limit, command)
    local dir = support.tempdir()
    assert.equal(0, (run(("%s %s %s/log %s/result sh -c %s"):format(measured, limit, dir, dir,
      support.quote(command)))))
    local fields = {}
    for field in support.read(dir .. "/result"):gmatch "%S+" do
      fields[#fields + 1] = tonumber(field)
    end
    return fields, support.read(dir .. "/log")
  end

  it("has the time, the exit status and what was printed", function()
    local fields, log = measure(10, "sleep 0.1; echo out; echo err >&2; exit 3")
    assert.is_true(fields[1] >= 0.1)
    assert.equal(3, fields[5])
    assert.equal("out\nerr\n", log)
  end)

  it("counts processor time and memory of children", function()
    local busy = [[lua5.4 -e 'local s = ("x"):rep(50e6) for _ = 1, 1e7 do end'; true]]
    local fields = measure(10, busy)
    assert.is_true(fields[2] + fields[3] > 0.01)
    assert.is_true(fields[4] > 48000)
  end)

  it("ends at its limit, with its children", function()
    local fields = measure(0.2, "sleep 60 & wait")
    assert.equal(124, fields[5])
    assert.is_true(fields[1] < 60) -- not the time of the command
  end)

  it("keeps the end of a long log", function()
    local _, log = measure(10, "seq 100000")
    assert.equal(65536, #log)
    assert.is_truthy(log:find "\n100000\n$")
  end)
end)

describe("the link with latency", function()
  local delay = require "bench.delay"
  local core = require "pgmig.core"

  local function connect(link)
    return pgmig.connect(("postgresql://postgres@/postgres?host=%s&port=%d"):format(link.host,
      link.port))
  end

  it("takes its time both ways and counts round trips", function()
    local link = delay.start(support.server(), 5)
    local db = connect(link)
    local start = core.now()
    for _ = 1, 10 do db:query "SELECT 1" end
    assert.is_true(core.now() - start >= 0.1)
    db:close()
    local connections, round_trips = link.stop()
    assert.equal(1, connections)
    local other = delay.start(support.server(), 5)
    connect(other):close()
    local _, to_connect = other.stop()
    assert.equal(10, round_trips - to_connect)
  end)

  it("counts one round trip for many statements in one message", function()
    local link = delay.start(support.server(), 5)
    local db = connect(link)
    db:exec(("SELECT 1;"):rep(1000))
    db:close()
    local _, round_trips = link.stop()
    assert.is_true(round_trips <= 4) -- connecting among them
  end)

  it("hands on large answers and requests whole", function()
    local link = delay.start(support.server(), 5)
    local db = connect(link)
    local rows = db:query("SELECT md5($1) AS sum, repeat('x', 20000000) AS answer", ("y"):rep(2e7))
    local direct = pgmig.connect(support.server():url())
    local sum = direct:query "SELECT md5(repeat('y', 20000000)) AS sum"[1].sum
    assert.equal(sum, rows[1].sum)
    assert.equal(20000000, #rows[1].answer)
    direct:close()
    db:close()
    link.stop()
  end)
end)

describe("the pipeline that is the limit", function()
  local pipeline = require "bench.programs".path "pipeline"

  it("runs all statements, and says what fails", function()
    local url = support.database()
    local dir = support.tempdir()
    support.write(dir, "good", "CREATE TABLE a (id int);\0INSERT INTO a VALUES (1);\0")
    support.write(dir, "bad", "SELECT 1;\0SELEC 2;\0SELECT 3;\0")
    assert.equal(0, (run(("%s %s %s/good"):format(pipeline, support.quote(url), dir))))
    assert.equal("1", support.psql(url, "SELECT count(*) FROM a"))
    local code, _, err = run(support.timeout(60)
      .. ("%s %s %s/bad"):format(pipeline, support.quote(url), dir))
    assert.equal(1, code)
    assert.is_truthy(err:find 'syntax error at or near "SELEC"')
  end)
end)
