--- One case: the ten migrations up and three of them down, with one fault, then again without; and
-- what must hold at the end.
local faults = require "spec.faults.support"
local proxies = require "spec.faults.proxy"
local states = require "spec.faults.state"
local support = require "spec.support"

local M = {}

local KEPT = 7 -- the version that `down` stops at
local ALL = 10
local CANNOT_CONNECT = 6

-- Modes after which the run itself cannot go on.
local fatal = { kill = true, killed = true, time = true }

local function add(case, ...) case.problems[#case.problems + 1] = (...):format(select(2, ...)) end

--- What the run's output says must be so.
local function check_claims(case, out, state, words)
  for version, what in pairs(states.claims(out)) do
    local there = state.versions[version] ~= nil
    if what:find "^applied" and not there and words == "up" then
      case.lost = case.lost + 1
      add(case, "%s: said to be applied: %d", words, version)
    elseif what:find "^rolled back" and there then
      add(case, "%s: said to be rolled back: %d", words, version)
    end
  end
end

--- Run a command with the fault; where that ends it, again without: which must work at once.
-- @param attempt fn(words) runs it with the fault, as faults.run
local function run(case, words, attempt, url)
  local code, out, err = attempt(words)
  check_claims(case, out, states.look(url), words:match "^%l+")
  if code == 0 then return end
  if not (fatal[case.mode] or code == CANNOT_CONNECT) then
    add(case, "%s ended with %d: %s", words, code, err)
  end
  local again, _, why = faults.run(url, words)
  if again ~= 0 then add(case, "%s again ended with %d: %s", words, again, why) end
end

local function check_counts(case, state)
  for n = 1, ALL do
    local expected = { [n] = 1 }
    if n > KEPT then expected[-n] = 1 end
    for key in pairs(expected) do
      local count = state.counts[key] or 0
      if count < 1 then case.lost = case.lost + 1 end
      if count > 1 then case.doubled = case.doubled + 1 end
      if count ~= 1 then add(case, "migration %d was executed %d times", key, count) end
    end
    local rows, wanted = state.versions[n] or 0, n <= KEPT and 1 or 0
    if rows ~= wanted then add(case, "version %d has %d rows", n, rows) end
  end
end

local function check_end(case, url, reference)
  local state = states.look(url)
  case.print = state.print
  check_counts(case, state)
  if state.print ~= (reference or state.print) then
    add(case, "the schema is another one: %s", state.text)
  end
  if state.journal ~= 0 then add(case, "%d rows are left in the journal", state.journal) end
  local left = states.leftovers(url)
  if left ~= 0 then add(case, "%d sessions or locks are left", left) end
end

--- Run one case.
-- @param dir the workload
-- @param mode the fault's name
-- @param database its name; it exists and is empty
-- @param attempt fn(words) runs the program with the fault, as faults.run
-- @param reference the fingerprint of the schema without faults; nil: it is found
-- @param flags further words for the program; nil
-- @return { problems = list, lost, doubled, print }
function M.run(dir, mode, database, attempt, reference, flags)
  local case = { mode = mode, problems = {}, lost = 0, doubled = 0 }
  local url = support.server():url(database)
  local where = ("--dir %s %s"):format(dir, flags or "")
  run(case, "up " .. where, attempt, url)
  run(case, ("down --to %d %s"):format(KEPT, where), attempt, url)
  check_end(case, url, reference)
  return case
end

--- Run one case through the proxy.
-- @param mode the proxy's mode
-- @param k the message that meets the fault, or several (proxy.lua)
-- @param upstream what stands before the server; nil: nothing
-- @return as run, with messages = how many there were, kind = of the k-th, nil without it
function M.cut(dir, mode, k, reference, flags, upstream)
  local database = faults.database()
  local proxy = proxies.start(mode, k, upstream)
  local case = M.run(dir, mode, database, function(words)
    return faults.run(proxy.url(database), words, proxy.pid_file)
  end, reference, flags)
  case.messages, case.kind = proxy.stop()
  faults.drop(database)
  return case
end

return M
