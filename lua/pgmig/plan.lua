--- What a run would do: files and tracking table compared, nothing touched.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local migration = require "pgmig.migration"

local M = {}

local MIN_DIGITS = 3

--- An applied migration whose file is gone.
local function without_file(row)
  local digits = ("0"):rep(MIN_DIGITS - #row.id) .. row.id
  return migration.new {
    id = row.id, name = row.name, label = digits .. "_" .. row.name, missing = true,
  }
end

--- Compare files with the tracking table's rows.
-- @param files what `pgmig.files` read
-- @param rows { id, name, applied_at, applied_at_epoch }, by version
-- @return { applied = migrations, pending = migrations, by_id = all of them }
function M.compare(files, rows)
  local state = { applied = {}, pending = {}, by_id = {} }
  for _, row in ipairs(rows) do
    local m = files.by_id[row.id] or without_file(row)
    m.state = m.missing and "missing" or "applied"
    m.applied_at, m.applied_at_epoch = row.applied_at, row.applied_at_epoch
    state.applied[#state.applied + 1] = m
    state.by_id[m.id] = m
  end
  for _, m in ipairs(files.list) do
    if not state.by_id[m.id] then
      m.state = "pending"
      state.pending[#state.pending + 1] = m
      state.by_id[m.id] = m
    end
  end
  return state
end

local function known_versions(state)
  local list = {}
  for _, m in pairs(state.by_id) do list[#list + 1] = m end
  if #list == 0 then return "there are no migrations" end
  table.sort(list, migration.before)
  return ("there are versions %s to %s"):format(list[1].id, list[#list].id)
end

--- The id of a target, which must be a known version.
local function check_target(state, target)
  local id = migration.id_of(target)
  if state.by_id[id] then return id end
  errors.raise("plan", "there is no migration " .. id, { hint = known_versions(state) })
end

--- A whole number that an option gives.
local function check_steps(steps)
  local number = tonumber(steps)
  if not number or number < 1 or number ~= math.floor(number) then
    errors.raise("usage", ("steps is a whole number from 1, not %s"):format(tostring(steps)))
  end
  return number
end

--- Which pending migrations `migrate` would apply, in order.
-- @param options { target = version, inclusive; steps = at most so many }
-- @return a list with direction = "up"
-- @raise kind "plan" for an unknown target
function M.up(state, options)
  local plan = { direction = "up" }
  local target = options.target ~= nil and check_target(state, options.target)
  local steps = options.steps and check_steps(options.steps)
  for _, m in ipairs(state.pending) do
    if target and core.compare(m.id, target) > 0 then break end
    if steps and #plan >= steps then break end
    plan[#plan + 1] = m
  end
  return plan
end

--- The version that `to` keeps; nil: none is kept.
local function check_floor(state, to)
  local id = migration.id_of(to)
  if id == "0" and not state.by_id["0"] then return nil end
  return check_target(state, to)
end

--- Which applied migrations `rollback` would undo, newest first.
-- @param options { steps = how many, default 1 } or { to = version that is kept; 0: undo all }
-- @return a list with direction = "down"
-- @raise kinds "usage" for wrong steps, "plan" for an unknown version
function M.down(state, options)
  local plan = { direction = "down" }
  local floor, steps
  if options.to ~= nil then
    floor = check_floor(state, options.to)
  else
    steps = check_steps(options.steps or 1)
  end
  for i = #state.applied, 1, -1 do
    local m = state.applied[i]
    if steps and #plan >= steps then break end
    if floor and core.compare(m.id, floor) <= 0 then break end
    plan[#plan + 1] = m
  end
  return plan
end

return M
