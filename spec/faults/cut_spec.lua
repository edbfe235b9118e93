-- One fault at each message that the program sends, in each way a connection can break.
local bouncers = require "spec.faults.pgbouncer"
local cases = require "spec.faults.cases"
local faults = require "spec.faults.support"
local proxies = require "spec.faults.proxy"
local summary = require "spec.faults.summary"
local support = require "spec.support"
local workload = require "spec.faults.workload"

local SHORT_CASES = 5 -- of each mode
local MOST = 2000 -- messages; a run has far fewer

describe("a slow network", function()
  it("is not taken for a broken one, however long the data takes", function()
    local dir, database, rows = support.tempdir(), faults.database(), {}
    for i = 1, 20000 do rows[i] = i .. "\t" .. ("x"):rep(100) end
    support.write(dir, "001_a.sql", "-- UP\nCREATE TABLE a (n int, t text);\nCOPY a FROM STDIN;\n"
      .. table.concat(rows, "\n") .. "\n\\.\n-- DOWN\n")
    local proxy = proxies.start("slow", 0)
    -- some 35 reads, 60 ms apart: longer than the program waits for an answer
    local code, _, err = faults.run(proxy.url(database), "up --dir " .. dir)
    proxy.stop()
    assert.same({ 0, "" }, { code, err })
    faults.drop(database)
  end)
end)

local modes = { "before", "after", "half", "orphan", "stall", "swallow", "torn", "late", "kill",
  "killed" }

-- A pipeline sends four messages a statement, which differ little: the whole form takes every
-- fifth, other ones in each mode. Without it there is one a request, and all are tried.
local ways = {
  { name = "", stride = 5, modes = modes },
  { name = ", without a pipeline", flags = "--no-pipeline", stride = 1, modes = modes },
  {
    name = ", through pgbouncer", stride = 13, pooled = true,
    modes = faults.whole and modes or { "swallow" },
  },
  {
    name = ", through pgbouncer without a pipeline", flags = "--no-pipeline", stride = 2,
    pooled = true, modes = faults.whole and modes or { "swallow" },
  },
}

for _, way in ipairs(ways) do
  describe("a fault at one message" .. way.name, function()
    local dir, clean, pooler, upstream

    setup(function()
      if way.pooled then
        pooler = bouncers.start(10)
        upstream = pooler.socket
      end
      dir = workload.ten(way.pooled)
      clean = cases.cut(dir, "none", 0, nil, way.flags, upstream)
      assert.same({}, clean.problems)
      print(("# a run without faults sends %d messages%s"):format(clean.messages, way.name))
    end)

    teardown(function() if pooler then pooler.stop() end end)

    --- Which messages of a mode are tried: a sample that moves with the mode, or all.
    local function points(offset)
      local list, stride = {}, math.max(1, math.floor(clean.messages / SHORT_CASES))
      if faults.whole then stride = way.stride end
      for k = 1 + offset % stride, clean.messages, stride do list[#list + 1] = k end
      return list
    end

    local function try(mode, offset)
      local problems = {}
      for _, k in ipairs(points(offset)) do
        local case = cases.cut(dir, mode, k, clean.print, way.flags, upstream)
        summary.add(mode .. way.name, case)
        for _, problem in ipairs(case.problems) do
          problems[#problems + 1] = ("%s %d (%s): %s"):format(mode, k, case.kind or "-", problem)
        end
      end
      assert.same({}, problems)
    end

    for offset, mode in ipairs(way.modes) do
      it("of mode " .. mode .. " loses nothing and does nothing twice", function()
        try(mode, offset * 7)
        if not faults.whole then return end
        local beyond = cases.cut(dir, mode, clean.messages + MOST, clean.print, way.flags, upstream)
        assert.same({}, beyond.problems)
        assert.is_nil(beyond.kind) -- every message has been counted: the next one does not exist
      end)
    end
  end)
end

-- The first and the second message whose answers are lost: at such distances.
local losses = { [9] = { 4 }, [60] = { 6 }, [110] = { 8 } }
if faults.whole then
  losses = {}
  for k = 1, 200, 7 do losses[k] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 } end
end

describe("an answer that is lost twice", function()
  for k, distances in pairs(losses) do
    it(("is looked for twice, also of the first request of a new connection: from %d on"):format(k),
      function()
        local dir, problems = workload.ten(), {}
        for _, distance in ipairs(distances) do
          local case = cases.cut(dir, "swallow", ("%d,%d"):format(k, k + distance))
          summary.add("swallow, twice", case)
          for _, problem in ipairs(case.problems) do
            problems[#problems + 1] = ("%d and %d: %s"):format(k, k + distance, problem)
          end
        end
        assert.same({}, problems)
      end)
  end
end)
