-- The program killed, and the server stopped, at points of time spread over a run.
local cases = require "spec.faults.cases"
local core = require "pgmig.core"
local faults = require "spec.faults.support"
local restart = require "spec.faults.restart"
local summary = require "spec.faults.summary"
local support = require "spec.support"
local workload = require "spec.faults.workload"

local KILLS = faults.whole and 200 or 10
local RESTARTS = faults.whole and 50 or 4

describe("at any time", function()
  local dir, reference
  local took = {} -- seconds, by command, without faults

  setup(function()
    dir = workload.ten()
    local database = faults.database()
    local url = support.server():url(database)
    local case = cases.run(dir, "none", database, function(words)
      local started = core.now()
      local code, out, err = faults.run(url, words)
      took[words:match "^%l+"] = core.now() - started
      return code, out, err
    end)
    assert.same({}, case.problems)
    reference = case.print
    faults.drop(database)
  end)

  --- Try `count` points of time, spread over both commands.
  -- @param fault fn(url, words, seconds) runs a command with the fault after so many seconds
  local function try(name, count, fault)
    local problems = {}
    for i = 1, count do
      local at, database = (took.up + took.down) * (i - 0.5) / count, faults.database()
      local url = support.server():url(database)
      local case = cases.run(dir, name, database, function(words)
        local command = words:match "^%l+"
        local seconds = command == "up" and at or at - took.up
        if seconds < 0 or seconds > took[command] then return faults.run(url, words) end
        return fault(url, words, seconds)
      end, reference)
      summary.add(name, case)
      for _, problem in ipairs(case.problems) do
        problems[#problems + 1] = ("%.3f s: %s"):format(at, problem)
      end
      faults.drop(database)
    end
    assert.same({}, problems)
  end

  it("a killed program loses nothing and does nothing twice", function()
    try("time", KILLS, faults.run_killed)
  end)

  it("a server that stops at once and starts again loses nothing and does nothing twice", function()
    try("restart", RESTARTS, restart.run)
  end)
end)
