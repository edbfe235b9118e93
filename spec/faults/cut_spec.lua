-- One fault at each message that the program sends, in each way a connection can break.
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

-- A pipeline sends four messages a statement, which differ little: the whole form takes every
-- fifth, other ones in each mode. Without it there is one a request, and all are tried.
local ways = {
  { name = "", flags = "", stride = 5 },
  { name = ", without a pipeline", flags = "--no-pipeline", stride = 1 },
}

local modes = { "before", "after", "half", "orphan", "stall", "swallow", "torn", "late", "kill",
  "killed" }

for _, way in ipairs(ways) do
  describe("a fault at one message" .. way.name, function()
    local dir, clean

    setup(function()
      dir = workload.ten()
      clean = cases.cut(dir, "none", 0, nil, way.flags)
      assert.same({}, clean.problems)
      print(("# a run without faults sends %d messages%s"):format(clean.messages, way.name))
    end)

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
        local case = cases.cut(dir, mode, k, clean.print, way.flags)
        summary.add(mode .. way.name, case)
        for _, problem in ipairs(case.problems) do
          problems[#problems + 1] = ("%s %d (%s): %s"):format(mode, k, case.kind or "-", problem)
        end
      end
      assert.same({}, problems)
    end

    for offset, mode in ipairs(modes) do
      it("of mode " .. mode .. " loses nothing and does nothing twice", function()
        try(mode, offset * 7)
        if not faults.whole then return end
        local beyond = cases.cut(dir, mode, clean.messages + MOST, clean.print, way.flags)
        assert.same({}, beyond.problems)
        assert.is_nil(beyond.kind) -- every message has been counted: the next one does not exist
      end)
    end
  end)
end
