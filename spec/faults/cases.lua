--- One case of the cut-point loops: the workload up and three migrations down, with one fault, then
-- again without; and what must hold at the end.
local faults = require "spec.faults.support"
local support = require "spec.support"

local M = {}

local KEPT = 7 -- the version that `down` stops at
local ALL = 10
local CANNOT_CONNECT = 6

-- Modes after which the run itself cannot go on.
local fatal = { kill = true, killed = true }

local function add(case, ...) case.problems[#case.problems + 1] = (...):format(select(2, ...)) end

--- What the run's output says must be so.
local function check_claims(case, out, state, words)
  for version, what in pairs(faults.claims(out)) do
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
local function run(case, words, proxy_url, url, pid_file)
  local code, out, err = faults.run(proxy_url, words, pid_file)
  check_claims(case, out, faults.look(url), words:match "^%l+")
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
  local state = faults.look(url)
  check_counts(case, state)
  if state.print ~= reference then add(case, "the schema is another one: %s", state.text) end
  if state.journal ~= 0 then add(case, "%d rows are left in the journal", state.journal) end
  local left = faults.leftovers(url)
  if left ~= 0 then add(case, "%d sessions or locks are left", left) end
end

--- Run one case.
-- @param dir the workload
-- @param mode the proxy's mode
-- @param k the message that meets the fault
-- @param reference the fingerprint of the schema without faults; nil: it is found
-- @return { problems = list, lost, doubled, messages, kind = of the message, print }
function M.run(dir, mode, k, reference)
  local case = { mode = mode, k = k, problems = {}, lost = 0, doubled = 0 }
  local name = faults.database()
  local url = support.server():url(name)
  local proxy = faults.proxy(mode, k)
  local options = "--dir " .. dir .. " "
  run(case, "up " .. options, proxy.url(name), url, proxy.pid_file)
  run(case, ("down --to %d %s"):format(KEPT, options), proxy.url(name), url, proxy.pid_file)
  case.messages, case.kind = proxy.stop()
  case.print = faults.look(url).print
  check_end(case, url, reference or case.print)
  faults.drop(name)
  return case
end

return M
