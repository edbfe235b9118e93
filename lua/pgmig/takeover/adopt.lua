--- Taking over from another tool: its table's rows become pgmig's.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local files = require "pgmig.files.list"
local formats = require "pgmig.formats"
local ledger = require "pgmig.state.ledger"
local locked = require "pgmig.run.door"
local migration = require "pgmig.files.migration"
local planning = require "pgmig.state.plan"
local recovery = require "pgmig.db.recovery"
local rows = require "pgmig.takeover.rows"
local tracking = require "pgmig.takeover.tracking"

local M = {}

-- ---- where they disagree ---------------------------------------------------

local function look_at(from, set, m, row)
  if row.dirty then
    return ("%s is marked as failed or half finished"):format(m and m.label or rows.name_of(row))
  end
  if not m and row.key and rows.has_label(set, row.label) then
    return ("%s is planned otherwise than it was applied: what %s says of it, or of one before it, "
      .. "was changed"):format(row.label, from.naming.listed)
  end
  if not m then return ("%s is applied, but has no file"):format(rows.name_of(row)) end
  if not m.repeatable and not rows.is_same(from, m, row) then
    return ("%s is not the file that was applied: %s differs"):format(m.path,
      from.tracking.mark and from.tracking.mark[2] or "its checksum")
  end
end

local DIRTY = "a run of it failed: find out what of it took effect, fix that by hand, and let the "
  .. "tool record it (as `migrate force V` does)"

local function refuse(from, problems, dirty)
  local message = ("the table of %s and the files disagree: %s"):format(from.name, problems[1])
  errors.raise("drift", message, {
    detail = problems[2] and "also: " .. table.concat(problems, "; ", 2) or nil,
    hint = dirty and DIRTY or "restore the files as they were applied, or correct the tool's "
      .. "table; nothing was recorded",
  })
end

-- ---- what would be recorded ------------------------------------------------

--- Add all files up to a version.
local function add_below(plan, set, m)
  local at = plan.below + 1
  while set.list[at] and core.compare(set.list[at].id, m.id) <= 0 do
    plan:add(set.list[at])
    at = at + 1
  end
  plan.below = at - 1
end

local function add_newest(plan, set, m, from)
  add_below(plan, set, m)
  if set.foreign[m.id] then plan:add(m) end
  plan.notes[#plan.notes + 1] = ("%s keeps only its newest version, %s: all %d files up to it are"
    .. " assumed to be applied"):format(from.name, m.label, #plan)
end

local function add_baseline(plan, set, row, from)
  local id = core.version(files.digits(set.rule, row.version))
  local before = #plan
  add_below(plan, set, { id = id })
  local is_alone = #plan == before
  for _, m in ipairs(set.baselines) do
    if m.id == id and not set.by_id[id] then plan:add(m) end
  end
  if row.judged and is_alone then return end -- nothing is assumed
  plan.notes[#plan.notes + 1] = ("%s has a baseline at %s: %d files up to it are assumed to be"
    .. " applied"):format(from.name, row.version, #plan - before)
end

local plan_methods = {}

function plan_methods:add(m, applied_at)
  if self.has[m] then return end
  self.has[m] = true
  self[#self + 1] = m
  self.applied_at[m] = applied_at
end

local function new_plan(from, qualified)
  return setmetatable({
    direction = "up", record_only = "adopted", from = from.name, from_table = qualified, notes = {},
    applied_at = {}, has = {}, below = 0, -- so many of the files, by version, were added
  }, { __index = plan_methods })
end

--- Whether a row stands for all up to it: it says so, or its file does.
local function is_baseline(set, row)
  if row.baseline or not row.version then return row.baseline end
  local ok, id = pcall(function() return core.version(files.digits(set.rule, row.version)) end)
  for _, m in ipairs(ok and not set.by_id[id] and set.baselines or {}) do
    if m.id == id then return true end
  end
end

--- Add what a row says, or return what is wrong with it.
local function add_row(plan, set, find, from, row)
  if is_baseline(set, row) and not row.dirty then return add_baseline(plan, set, row, from) end
  local m = find(row)
  local problem = look_at(from, set, m, row)
  if problem then return problem end
  if from.tracking.newest then return add_newest(plan, set, m, from) end
  if m.repeatable and not rows.is_same(from, m, row) then return nil end -- it is due again
  plan:add(m, row.applied_at_iso)
end

--- The rows of the folder's own project; a tool may keep those of several in one table.
local function drop_others(plan, set, list, qualified)
  local own, names, others = {}, {}, {}
  for _, row in ipairs(list) do
    if tracking.is_of(row, set.project) then
      own[#own + 1] = row
    elseif not others[row.project] then
      others[row.project], names[#names + 1] = true, row.project
    end
  end
  if names[1] then
    plan.notes[#plan.notes + 1] = ("what %s has of other projects than %s is left out: %s"):format(
      qualified, set.project, table.concat(names, ", "))
  end
  return own
end

--- Leave out what pgmig's own tables have already; a row without history was not pgmig's.
local function drop_known(plan, read)
  local left, count = 0, #plan
  for i = 1, count do
    local m = plan[i]
    plan[i] = nil
    if not (read.marks.event[ledger.key(m)] and (m.repeatable or read.rows.there[m.id])) then
      left = left + 1
      plan[left] = m
    end
  end
  plan.known = count - left
end

--- Compare another tool's table with the files.
-- @param migrator the migrator
-- @param from the tool's format
-- @param options { table = the tool's table, where it has another name }
-- @return a list of migrations to record, with from, from_table, notes = sentences about what is
--   assumed, known = how many are recorded already, applied_at by migration
-- @raise kinds "plan", also for one that pgmig has left half-way, and "drift" where table and files
--   disagree, with each
function M.plan(migrator, from, options)
  local set = migrator:files()
  local list, qualified = tracking.read(migrator.db, from, options.table)
  local plan, problems, dirty = new_plan(from, qualified), {}, false
  if from.tracking.judge then list, problems = from.tracking.judge(list, set) end
  local find = rows.finder(set, from)
  list = drop_others(plan, set, list, qualified)
  for _, row in ipairs(list) do
    problems[#problems + 1] = add_row(plan, set, find, from, row)
    dirty = dirty or row.dirty
  end
  if problems[1] then refuse(from, problems, dirty) end
  local read = migrator.ledger:read(migrator.db)
  drop_known(plan, read)
  planning.check_unfinished(planning.compare(set, read), plan)
  table.sort(plan, function(a, b)
    if a.id and b.id then return migration.before(a, b) end
    return a.id ~= nil and not b.id or (not a.id and not b.id and a.name < b.name)
  end)
  return plan
end

--- What the table of the format's own tool says, where nothing was taken over from it yet.
-- @param migrator the migrator
-- @return { from, from_table, applied = a set of keys, message, hint, remedy = a shell command },
--   the last one nil where table and files disagree; nil: no such table, or it says nothing
function M.look(migrator)
  local from = migrator.format
  local qualified = from.tracking and tracking.exists(migrator.db, from.tracking)
  if not qualified then return nil end
  local ok, plan = pcall(M.plan, migrator, from, { table = qualified })
  if not ok then
    if not (errors.is(plan, "plan") or errors.is(plan, "drift")) then error(plan, 0) end
    return {
      from = from.name, from_table = qualified, applied = {}, message = plan.message,
      hint = (plan.hint or "nothing can be taken over"):gsub("; nothing was recorded$", ""),
    }
  end
  if not plan[1] then return nil end
  local applied = {}
  for _, m in ipairs(plan) do applied[ledger.key(m)] = true end
  return {
    from = from.name, from_table = qualified, applied = applied,
    message = ("%s has applied %d of these migrations, up to %s, according to its table %s")
      :format(from.name, #plan, plan[#plan].label, qualified),
    hint = from.shared and "use its table in place with --shared, or take them over"
      or "take them over",
    remedy = ("pgmig --format %s adopt"):format(from.name),
  }
end

-- ---- recording -------------------------------------------------------------

local function entries_of(plan)
  local list, token = {}, core.token()
  for i, m in ipairs(plan) do
    list[i] = ledger.entry(m, token, {
      event = "adopted", message = "applied by " .. plan.from, applied_at = plan.applied_at[m],
      checksum = not m.foreign and core.file_checksum(m.path) or nil,
    })
  end
  return list
end

--- The format that is taken over from.
-- @raise kind "usage"
function M.format(migrator, name)
  if name == nil or name == migrator.format.name then return migrator.format end
  return formats.find(name)
end

--- Record what another tool has applied: all in one transaction, or nothing.
-- @param emit fn(event)
-- @return the plan, as of `M.plan`
function M.run(migrator, from, options, emit)
  return locked.write(migrator, emit, function()
    return recovery.persist(migrator.db, migrator.reconnect, function()
      local plan = M.plan(migrator, from, options)
      if #plan == 0 then return plan end
      migrator.ledger:prepare(migrator.db, plan)
      migrator.ledger:adopt(migrator.db, entries_of(plan))
      return plan
    end)
  end)
end

return M
