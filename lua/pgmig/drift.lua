--- Where files and database do not fit together: each way has a name, and a policy.
-- `edited`: the file is not the one that was applied. `renamed`: applied under another name.
-- `missing`: applied, and the file is gone. `out_of_order`: pending, and lower than the newest
-- applied one. `ignored`: a .sql file that is not named like a migration. `duplicate`: two files of
-- one version, which is always an error.
local core = require "pgmig.core"
local errors = require "pgmig.errors"

local M = {}

--- What happens to a run that meets a state: "error" (refused before anything runs), "warn" or
-- "allow".
M.defaults = {
  edited = "error", renamed = "warn", missing = "warn", out_of_order = "warn", ignored = "warn",
  duplicate = "error",
}

local choices = { error = true, warn = true, allow = true }

--- Check a policy, and complete it with the defaults.
-- @param given { [state] = choice } or nil
-- @raise kind "usage"
function M.policy(given)
  local policy = {}
  for state, choice in pairs(M.defaults) do policy[state] = choice end
  for state, choice in pairs(given or {}) do
    if not M.defaults[state] then
      errors.raise("usage", ("policy: unknown state %s"):format(tostring(state)), {
        hint = "states are: edited, renamed, missing, out_of_order, ignored, duplicate",
      })
    end
    if not choices[choice] then
      errors.raise("usage", ("policy: %s is error, warn or allow, not %s")
        :format(state, tostring(choice)))
    end
    if state == "duplicate" and choice ~= "error" then
      errors.raise("usage", "policy: duplicate is always error", {
        hint = "nobody can tell which of two files of one version is meant",
      })
    end
    policy[state] = choice
  end
  return policy
end

local BATCH = 100 -- files that are read at once

--- Whether the file of an applied migration can be compared. Without a recorded checksum, as from
-- another tool, nobody can tell.
local function is_comparable(m)
  return not m.missing and m.recorded_checksum ~= nil and m.recorded_event ~= "down"
end

--- Set the state of those of a batch whose file is another one than was applied.
local function compare_batch(batch)
  local paths, checksums = {}, {}
  for i, m in ipairs(batch) do paths[i], checksums[i] = m.path, m.recorded_checksum end
  for i, differs in ipairs(core.differing(paths, checksums)) do
    if differs then batch[i].state = "edited" end
  end
end

local function find_edited(list, breathe)
  local batch = {}
  for i, m in ipairs(list) do
    if is_comparable(m) then batch[#batch + 1] = m end
    if #batch == BATCH or (i == #list and #batch > 0) then
      breathe()
      compare_batch(batch)
      batch = {}
    end
  end
end

--- Find the states of migrations that were compared (pgmig.plan): sets `state`.
-- @param state what `plan.compare` returned
-- @param reads whether files are read, without which no edited one is found
-- @param breathe called between files
function M.find(state, reads, breathe)
  local newest = state.applied[#state.applied]
  if reads then find_edited(state.applied, breathe) end
  for _, m in ipairs(state.applied) do
    local recorded = m.recorded_name
    if m.state == "applied" and not m.missing and recorded and recorded ~= m.name then
      m.state = "renamed"
    end
  end
  for _, m in ipairs(state.pending) do
    if m.state == "pending" and newest and core.compare(m.id, newest.id) < 0 then
      m.state = "out_of_order"
    end
  end
end

local sentences = {
  edited = function(m) return ("%s was edited after it was applied"):format(m.label) end,
  renamed = function(m)
    return ("%s was applied under the name %s"):format(m.label, m.recorded_name)
  end,
  missing = function(m) return ("%s is applied, but its file is missing"):format(m.label) end,
  out_of_order = function(m)
    return ("%s is lower than the newest applied migration"):format(m.label)
  end,
}

local hints = {
  edited = function(m)
    return ("bring the file back, or accept what it is now: pgmig repair %s"):format(m.shown)
  end,
  renamed = function(m) return ("let the table say so too: pgmig repair %s"):format(m.shown) end,
  missing = function() return "bring the file back, for example from version control" end,
  out_of_order = function() return "give it a higher number, or apply it all the same" end,
}

--- What is said about a migration's state: a sentence, and a hint; nil for a usual state.
function M.describe(m)
  if not sentences[m.state] then return nil end
  return sentences[m.state](m), hints[m.state](m)
end

local function refuse(list)
  local first = list[1]
  local sentence, hint = M.describe(first)
  local others = {}
  for i = 2, #list do others[#others + 1] = (M.describe(list[i])) end
  errors.raise("drift", sentence, {
    file = first.path, migration = first.label, hint = ("%s; or allow it: --policy %s=warn")
      :format(hint, first.state),
    detail = #others > 0 and "also: " .. table.concat(others, "; ") or nil,
  })
end

--- Judge a comparison before a run.
-- @param state what `plan.compare` returned, with its states found
-- @param policy of `M.policy`
-- @param planned the migrations that the run is about; out_of_order counts only among them
-- @return warnings: { { state, migration, message } }
-- @raise kind "drift"
function M.judge(state, policy, planned)
  local refused, warnings, is_planned = {}, {}, {}
  for _, m in ipairs(planned) do is_planned[m] = true end
  local function look(m)
    local choice = policy[m.state]
    if not choice or (m.state == "out_of_order" and not is_planned[m]) then return end
    if choice == "error" then refused[#refused + 1] = m end
    if choice == "warn" then
      warnings[#warnings + 1] = { state = m.state, migration = m, message = (M.describe(m)) }
    end
  end
  for _, m in ipairs(state.applied) do look(m) end
  for _, m in ipairs(state.pending) do look(m) end
  if refused[1] then refuse(refused) end
  return warnings
end

return M
