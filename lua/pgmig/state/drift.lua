--- Where files and database do not fit together: each way has a name, and a policy.
-- `edited`: the file is not the one that was applied. `unreadable`: nobody can tell whether it is;
-- the policy is that of `edited`. `renamed`: applied under another name. `replaced`: both, so that
-- it is another migration. `missing`: applied, and the file is gone. `renumbered`: pending, and it
-- is one that is applied under another number. `out_of_order`: pending, and lower than the newest
-- applied one; of those that run after the deploy, than another of them. `forgotten`: not in the
-- tracking table, though applied as the history says. `ignored`: a .sql file that is not named like
-- a migration. `duplicate`: two files of one version, which is always an error.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local source = require "pgmig.files.source"

local M = {}

--- What happens to a run that meets a state: "error" (refused before anything runs), "warn" or
-- "allow".
M.defaults = {
  edited = "error", renamed = "warn", replaced = "error", missing = "warn", renumbered = "error",
  out_of_order = "warn", forgotten = "error", ignored = "warn", duplicate = "error",
}

local STATES = "edited, renamed, replaced, missing, renumbered, out_of_order, forgotten, ignored, "
  .. "duplicate"

local choices = { error = true, warn = true, allow = true }

--- Check a policy, and complete it with the defaults.
-- @param given { [state] = choice } or nil
-- @return the policy; `all_missing` in it: what happens to a run that has something to do while
--   the files of all applied migrations are missing
-- @raise kind "usage"
function M.policy(given)
  local policy = {}
  for state, choice in pairs(M.defaults) do policy[state] = choice end
  for state, choice in pairs(given or {}) do
    if not M.defaults[state] then
      errors.raise("usage", ("policy: unknown state %s"):format(tostring(state)), {
        hint = "known states are: " .. STATES,
      })
    end
    if not choices[choice] then
      errors.raise("usage", ("policy: %s must be error, warn or allow, not %s")
        :format(state, tostring(choice)))
    end
    if state == "duplicate" and choice ~= "error" then
      errors.raise("usage", "policy: duplicate is always error", {
        hint = "which of two files of one version is meant cannot be determined",
      })
    end
    policy[state] = choice
  end
  policy.all_missing = given and given.missing or "error"
  return policy
end

local BATCH = 1000 -- files that are read at once, by several threads

--- Whether the file of an applied migration can be compared. Without a recorded checksum, as from
-- another tool, nobody can tell.
local function is_comparable(m)
  return not m.missing and m.recorded_checksum ~= nil and m.recorded_event ~= "down"
end

local states = { differs = "edited", unreadable = "unreadable" }

--- Set the state of those of a batch whose file is another one than was applied.
local function compare_batch(batch)
  local paths, checksums = {}, {}
  for i, m in ipairs(batch) do paths[i], checksums[i] = m.path, m.recorded_checksum end
  for i, found in ipairs(core.compare_files(paths, checksums)) do
    batch[i].state = states[found] or batch[i].state
  end
end

--- @param seen checksums by path: files that have the one that was recorded are not read again
local function find_edited(list, seen, breathe)
  local batch = {}
  for i, m in ipairs(list) do
    if is_comparable(m) and seen[m.path] ~= m.recorded_checksum then batch[#batch + 1] = m end
    if #batch == BATCH or (i == #list and #batch > 0) then
      breathe()
      compare_batch(batch)
      batch = {}
    end
  end
end

local PIECE, SMALL = 10, 65536 -- files that are read at once, beside a request; bytes of each

--- Read files ahead, while the server looks for what they are compared with.
-- @param get_list fn() returns a list of migrations; nil: not yet
-- @param breathe called between files
-- @return fn() reads some more; returns whether it has
-- @return the checksums that were found, by path; which of them are right tells `find`
function M.reader(get_list, breathe)
  local at, seen = 0, {}
  return function()
    local list, paths = get_list() or {}, {}
    for i = at + 1, math.min(at + PIECE, #list) do paths[#paths + 1] = list[i].path end
    if not paths[1] then return false end
    at = at + #paths
    breathe()
    for path, checksum in pairs(core.file_checksums(paths, SMALL)) do seen[path] = checksum end
    return true
  end, seen
end

local function has_other_name(m)
  local recorded = m.recorded_name
  return recorded ~= nil and recorded ~= m.name and not m.missing
end

--- Those that were applied under another name.
local function with_other_name(list)
  local found = {}
  for _, m in ipairs(list) do
    if has_other_name(m) then found[#found + 1] = m end
  end
  return found
end

--- Applied migrations that no file stands for any more, by the name they were applied under.
local function find_lost(list)
  local lost = {}
  for _, m in ipairs(list) do
    if (m.missing or m.state == "replaced") and m.recorded_checksum then
      lost[m.recorded_name or m.name] = m
    end
  end
  return lost
end

--- Find pending migrations that are applied under a number that they no longer have.
local function find_renumbered(state)
  local lost = find_lost(state.applied)
  for _, m in ipairs(next(lost) and state.pending or {}) do
    local was = m.state ~= "unfinished" and lost[m.name]
    if was and core.compare_files({ m.path }, { was.recorded_checksum })[1] == "same" then
      m.state, m.applied_as, was.renumbered_as = "renumbered", was, m
    end
  end
end

--- Whether the files of all applied migrations are missing.
local function are_all_missing(state)
  for _, m in ipairs(state.applied) do
    if m.state ~= "missing" then return false end
  end
  for _, m in ipairs(state.pending) do
    if m.state == "renumbered" then return false end
  end
  return state.applied[1] ~= nil
end

local function is_post(m, breathe)
  breathe()
  local phase = source.phase(m)
  source.discard(m)
  return phase == "post"
end

--- Whether a pending migration, lower than the newest applied one, is late. One that runs after the
-- deploy may be: until then those of the next release go before it. Only others of its phase count.
local function is_late(m, applied, breathe)
  if source.phase(m) ~= "post" then return true end
  for i = #applied, 1, -1 do
    if core.compare(m.id, applied[i].id) > 0 then return false end
    if is_post(applied[i], breathe) then return true end
  end
  return false
end

--- Find the states of migrations that were compared (pgmig.state.plan): sets `state`; of a
-- renumbered one `applied_as`, the applied one that it is, of which it is `renumbered_as`.
-- @param state what `plan.compare` returned; `all_missing` is set
-- @param suspects those whose files are read to find edited ones
-- @param seen what `reader` has found since then; nil: nothing
-- @param breathe called between files
function M.find(state, suspects, seen, breathe)
  local newest = state.applied[#state.applied]
  find_edited(suspects, seen or {}, breathe)
  for _, m in ipairs(state.applied) do
    if has_other_name(m) then m.state = m.state == "edited" and "replaced" or "renamed" end
  end
  for _, m in ipairs(state.pending) do
    if m.state == "pending" and newest and core.compare(m.id, newest.id) < 0
      and is_late(m, state.applied, breathe) then
      m.state = "out_of_order"
    end
  end
  find_renumbered(state)
  state.all_missing = are_all_missing(state)
end

--- The comparison as it will be when a plan has been rolled back.
function M.behind(state, plan)
  local undone, behind = {}, { applied = {}, pending = {} }
  for _, m in ipairs(plan) do undone[m.id] = true end
  for _, m in ipairs(state.applied) do
    if not undone[m.id] then table.insert(behind.applied, m) end
  end
  local newest = behind.applied[#behind.applied]
  for _, m in ipairs(state.pending) do
    local is_in_order = m.state == "out_of_order"
      and not (newest and core.compare(m.id, newest.id) < 0)
    if not is_in_order then table.insert(behind.pending, m) end
  end
  behind.all_missing = are_all_missing(behind)
  return behind
end

--- The applied migrations whose files have to be read.
-- @param state what `plan.compare` returned
-- @param all whether edited ones are looked for; else those that may be another migration
function M.suspects(state, all) return all and state.applied or with_other_name(state.applied) end

-- ---- what is said ----------------------------------------------------------

--- The label of what was applied under a migration's number.
local function applied_label(m)
  local name = m.recorded_name
  if not name or name == m.name then return m.label end
  return rawget(m, "label") and name or ("%s_%s"):format(m.text, name)
end

local sentences = {
  edited = function(m) return ("%s was edited after it was applied"):format(m.label) end,
  unreadable = function(m)
    local _, err = pcall(core.file_checksum, m.path)
    return ("%s cannot be compared with what was applied: %s"):format(m.label,
      errors.is(err) and err.message or "its file could not be read a moment ago")
  end,
  renamed = function(m)
    return ("%s was applied under the name %s"):format(m.label, m.recorded_name)
  end,
  replaced = function(m)
    return ("%s was applied under this number, and %s is another migration: name and text differ")
      :format(applied_label(m), m.label)
  end,
  missing = function(m) return ("%s is applied, but its file is missing"):format(m.label) end,
  renumbered = function(m)
    return ("%s is applied already, as %s"):format(m.label, applied_label(m.applied_as))
  end,
  out_of_order = function(m)
    return ("%s is lower than the newest applied migration"):format(m.label)
  end,
  forgotten = function(m)
    return ("%s is applied according to the history, but its row in the tracking table is "
      .. "missing"):format(
      m.label)
  end,
}

local hints = {
  edited = function(m)
    return ("restore the file, or accept it as it is now: pgmig repair %s"):format(m.shown)
  end,
  unreadable = function(m) return ("let this user read %s"):format(m.path) end,
  renamed = function(m)
    local hint = ("record the new name: pgmig repair %s"):format(m.shown)
    if m.recorded_checksum then return hint end
    return "no checksum is recorded: make sure that it is the same migration, then " .. hint
  end,
  replaced = function(m)
    local hint = ("give %s another number"):format(m.label)
    if m.renumbered_as then return hint .. ", and " .. m.renumbered_as.label .. " its old one" end
    return ("%s, and restore the file of %s"):format(hint, applied_label(m))
  end,
  missing = function(m)
    if m.renumbered_as then return ("give %s its old number"):format(m.renumbered_as.label) end
    return ("restore the file, for example from version control, or accept that it is gone for "
      .. "good: pgmig repair %s --gone"):format(m.shown)
  end,
  renumbered = function(m)
    return ("give it its old number, or record it under the new one: pgmig up --fake %s")
      :format(m.shown)
  end,
  out_of_order = function() return "give it a higher number, or apply it anyway" end,
  forgotten = function(m)
    return ("restore the row from the history: pgmig repair %s"):format(m.shown)
  end,
}

-- Of these the policy is no remedy: a migration would be lost, or run twice.
local unoffered = { replaced = true, renumbered = true }

--- What is said about a migration's state: a sentence, and a hint; nil for a usual state.
function M.describe(m)
  if not sentences[m.state] then return nil end
  return sentences[m.state](m), hints[m.state](m)
end

--- What is said when the files of all applied migrations are missing: a sentence, and a hint.
-- @param state with `place` = { dirs, database }
function M.describe_all_missing(state)
  local count, place = #state.applied, state.place
  local newest = state.applied[count].label
  local which = count == 1 and ("the applied migration, %s, is not"):format(newest)
    or ("none of the %d applied migrations (the newest is %s) is"):format(count, newest)
  return ("%s in %s: is that the right folder, and %s the right database?"):format(which,
    table.concat(place.dirs, ", "), place.database),
    "set the folder with --dir, the database with --database"
end

-- States whose policy is another one's.
local policy_of = { unreadable = "edited" }

--- What is said of migrations whose rows are gone: a sentence, and a hint.
function M.describe_forgotten(list)
  if not list[2] then return M.describe(list[1]) end
  return ("%d migrations, %s to %s, are applied according to the history, but their rows in the "
    .. "tracking table are missing"):format(#list, list[1].label, list[#list].label),
    "`pgmig doctor` shows the command that restores the rows from the history"
end

--- Those of a list that are in a state.
local function those(list, state)
  local found = {}
  for _, m in ipairs(list) do
    if m.state == state then found[#found + 1] = m end
  end
  return found
end

local function refuse_forgotten(list, direction)
  local sentence, hint = M.describe_forgotten(list)
  errors.raise("drift", sentence, {
    file = list[1].path, migration = list[1].label,
    hint = hint .. (direction == "down" and "; or, if they should not count: "
      or "; or, to run them again: ") .. "--policy forgotten=warn",
  })
end

local function refuse(list, direction)
  local first = list[1]
  local sentence, hint = M.describe(first)
  if first.state == "forgotten" then
    refuse_forgotten(those(list, "forgotten"), direction)
  end
  if not unoffered[first.state] then
    hint = ("%s; or allow it: --policy %s=warn"):format(hint, policy_of[first.state] or first.state)
  end
  local others = {}
  for i = 2, #list do others[#others + 1] = (M.describe(list[i])) end
  errors.raise("drift", sentence, {
    file = first.path, migration = first.label, hint = hint,
    detail = #others > 0 and "also: " .. table.concat(others, "; ") or nil,
  })
end

local function refuse_all_missing(state)
  local sentence, hint = M.describe_all_missing(state)
  errors.raise("drift", sentence, {
    hint = hint .. "; if their files were removed on purpose: --policy missing=warn",
  })
end

local function warning_of(m, direction)
  local message = M.describe(m)
  if direction == "down" and m.state == "edited" then
    message = message .. ": DOWN runs from the file as it is now"
  end
  return { state = m.state, migration = m, message = message }
end

local MOST_MISSING = 5 -- that are warned of one by one

--- The warnings about missing files: many are one.
local function warn_of_missing(list, warnings)
  if #list <= MOST_MISSING then
    for _, m in ipairs(list) do warnings[#warnings + 1] = warning_of(m) end
    return
  end
  warnings[#warnings + 1] = {
    state = "missing", message = ("%d applied migrations have no file, %s to %s"):format(#list,
      list[1].label, list[#list].label),
  }
end

--- What all is said at once about missing files: refused, or one warning.
local function judge_all_missing(state, policy, planned, warnings)
  local is_doubtful = planned[1] and not planned.returns
  local choice = is_doubtful and policy.all_missing or policy.missing
  if choice == "error" then refuse_all_missing(state) end
  if choice ~= "warn" then return end
  warnings[#warnings + 1] = { state = "missing", message = (M.describe_all_missing(state)) }
end

local softened = { error = "warn", warn = "warn", allow = "allow" }

-- What a policy means for a run that does not go up; `named` states count only where the run is
-- about the migration.
local kinds = {
  up = {
    named = { out_of_order = true, renumbered = true, forgotten = true },
    policy = function(p) return p end,
  },
  -- a way back is stopped by a file that is another migration's, and by what may be built on it
  down = { named = { edited = true, unreadable = true, replaced = true }, policy = function(p)
    return {
      edited = softened[p.edited], replaced = p.replaced, missing = softened[p.missing],
      forgotten = p.forgotten, all_missing = softened[p.missing],
    }
  end },
  baseline = { named = { out_of_order = true }, policy = function(p)
    local own = { renumbered = "allow", forgotten = "allow" }
    for state, choice in pairs(p) do own[state] = own[state] or choice end
    return own
  end },
  fake = { named = { replaced = true }, policy = function(p) return { replaced = p.replaced } end },
  unapplied = { named = {}, policy = function() return {} end },
}

--- The choice for a migration of a way back: one whose row is gone is in the way of older ones.
local function choice_of(choice, m, floor, direction)
  if direction ~= "down" or m.state ~= "forgotten" then return choice end
  local is_built_on = not floor or core.compare(m.id, floor.id) > 0
  return is_built_on and choice or softened[choice]
end

--- Judge a comparison before a run.
-- @param state what `plan.compare` returned, with its states found
-- @param policy of `M.policy`
-- @param planned the plan; `about`: the migrations that it is about, where these are others;
--   `returns`: they were applied before
-- @return warnings: { { state, migration, message } }
-- @raise kind "drift"
function M.judge(state, policy, planned)
  local refused, warnings, missing, forgotten, is_planned = {}, {}, {}, {}, {}
  local direction = planned.direction
  local kind = kinds[planned.record_only or direction]
  local floor = planned[#planned] or state.applied[#state.applied]
  policy = kind.policy(policy)
  for _, m in ipairs(planned.about or planned) do is_planned[m.id or m] = true end
  if state.all_missing then judge_all_missing(state, policy, planned, warnings) end
  local function look(m)
    local choice = choice_of(policy[policy_of[m.state] or m.state], m, floor, direction)
    if not choice or (kind.named[m.state] and not is_planned[m.id]) then return end
    if choice == "error" then
      refused[#refused + 1] = m
    elseif choice == "warn" and m.state == "missing" then
      missing[#missing + 1] = m
    elseif choice == "warn" and m.state == "forgotten" then
      forgotten[#forgotten + 1] = m
    elseif choice == "warn" then
      warnings[#warnings + 1] = warning_of(m, direction)
    end
  end
  for _, m in ipairs(state.applied) do look(m) end
  for _, m in ipairs(state.pending) do look(m) end
  if refused[1] then refuse(refused, direction) end
  if not state.all_missing then warn_of_missing(missing, warnings) end
  if forgotten[1] then
    warnings[#warnings + 1] = { state = "forgotten", message = (M.describe_forgotten(forgotten)) }
  end
  return warnings
end

return M
