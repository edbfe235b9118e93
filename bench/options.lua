--- The words after `script/bench`.
local argparse = require "argparse"

local M = {}

local function whole_number(text)
  local number = text:match "^%d+$" and tonumber(text)
  if number and number >= 1 then return number end
  return nil, ("'%s' is not a whole number from 1"):format(text)
end

local function list_of(workloads)
  local lines = { "Workloads:" }
  for _, w in ipairs(workloads) do
    lines[#lines + 1] = ("   %-16s %s"):format(w.key, w.about)
  end
  return table.concat(lines, "\n")
end

--- @param workloads all that there are
-- @param words the command line
-- @return { quick = , rounds = , output = folder, names = set of keys or nil for all }
function M.parse(workloads, words)
  local keys = {}
  for i, w in ipairs(workloads) do keys[i] = w.key end
  local parser = argparse("script/bench", "Measures pgmig beside its rivals, " ..
    "an hour for everything: see bench/README.md.",
    list_of(workloads))
  parser:argument("workload", "What to run (default: everything)."):args("*"):choices(keys)
  parser:flag("--quick", "A small form of each workload: a minute in all, figures without worth.")
  parser:option("--rounds", "How often each contender runs (default: 5; 1 with --quick).")
    :argname "N":convert(whole_number)
  parser:option("--output", "The folder for results.md and results.svg (default: bench after a\n" ..
    "whole run, else build/bench)."):argname "DIR"
  local given = parser:parse(words)
  local names
  if #given.workload > 0 then
    names = {}
    for _, key in ipairs(given.workload) do names[key] = true end
  end
  local whole = not given.quick and not names
  return {
    quick = given.quick,
    rounds = given.rounds or (given.quick and 1 or 5),
    output = given.output or (whole and "bench" or "build/bench"),
    names = names,
  }
end

return M
