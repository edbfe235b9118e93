--- What the table of another tool lacks of what pgmig has applied, and what it has too much.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local layouts = require "pgmig.takeover.layout"
local ledger = require "pgmig.state.ledger"
local migration = require "pgmig.files.migration"
local rows = require "pgmig.takeover.rows"
local tracking = require "pgmig.takeover.tracking"

local M = {}

-- ---- what speaks against it --------------------------------------------------

local CHANGED = { edited = true, replaced = true, unreadable = true }

--- Refuse while something is half finished: nobody could say whether it is applied.
local function check_settled(state)
  for _, list in ipairs { state.applied, state.pending, state.repeatable } do
    for _, m in ipairs(list) do
      if m.unfinished then
        errors.raise("plan", ("%s is half finished: it is neither applied nor not"):format(m.label),
          { file = m.path, hint = "finish it first: see pgmig doctor" })
      end
    end
  end
end

--- Whether a migration that is applied has no row and needs none: nobody misses its file.
local function is_dispensable(m) return m.missing and not m.foreign and m.state ~= "missing" end

--- Why the tool would refuse the file as it is; nil.
local function objection(case, m)
  local how = case.to.tracking
  if not (CHANGED[m.state] and (how.checksum or how.mark or how.same)) then return nil end
  return ("%s is not the file that was applied"):format(m.path)
end

--- Why the row of an applied migration cannot be written; nil.
local function obstacle(case, m)
  local to = case.to
  if m.foreign and (to.tracking.checksum or to.tracking.same) then
    return ("%s is code: only %s can compute its checksum"):format(m.path, to.name)
  end
  if m.missing and not m.foreign then
    return ("%s is applied, but its file is missing"):format(m.label)
  end
  if to.name ~= case.own_format and not to.naming.parse(case.relative(m.path)) then
    return ("%s is not named as %s names its files"):format(m.path, to.name)
  end
end

local HINT = "restore the files as they were applied, or accept them: pgmig repair; nothing was "
  .. "written"

local function refuse(case, problems)
  errors.raise("drift", ("the rows of %s cannot be written: %s"):format(case.to.name, problems[1]),
    { detail = problems[2] and "also: " .. table.concat(problems, "; ", 2) or nil, hint = HINT })
end

--- Where the tool's order is its memory, what is applied has to come before what is not.
local function check_gap(case)
  local newest, gap = case.to.tracking.newest, nil
  if not (newest or case.layout.sql.in_order) then return end
  for _, m in ipairs(case.set.list) do
    if not case.wanted[m.id] then
      gap = gap or m
    elseif gap then
      errors.raise("plan", ("%s is applied, and %s before it is not: %s"):format(m.label, gap.label,
        newest and case.to.name .. " keeps only its newest version"
          or case.to.name .. " would never run it"), {
        hint = "apply it first, or record it as applied: pgmig up --fake " .. gap.shown,
      })
    end
  end
end

-- ---- the rows that are there -------------------------------------------------

--- A migration without a file, as a row of the tool's says it.
local function of_row(case, row)
  local name = rows.name_of(row)
  local id = rows.id_of(case.set, case.to, row)
  return case.wanted[id or ""] or migration.new {
    id = id, name = name, label = name, text = row.version or row.key or name, path = row.path,
    key = row.key, missing = true,
  }
end

--- Note what a row says is applied.
local function note_row(case, m, row)
  local there = { m = m, row = row }
  case.there[#case.there + 1] = there
  if m.id or m.repeatable then case.has[ledger.key(m)] = there end
end

--- Note a row that stands for all up to its version.
local function note_below(case, m, row)
  for _, other in ipairs(case.set.list) do
    if other ~= m and m.id and core.compare(other.id, m.id) < 0 then note_row(case, other, row) end
  end
  note_row(case, m, row)
end

local function take_row(case, find, row)
  local m = find(row) or of_row(case, row)
  if row.dirty then
    errors.raise("drift", ("the table of %s marks %s as failed or half finished")
      :format(case.to.name, m.label), {
      hint = "find out what of it took effect, and let the tool settle it first",
    })
  end
  local note = (case.to.tracking.newest or row.baseline) and note_below or note_row
  note(case, m, row)
end

local function take_rows(case, list)
  local find = rows.finder(case.set, case.to)
  for _, row in ipairs(list) do
    if tracking.is_of(row, case.set.project) then take_row(case, find, row) end
  end
end

-- ---- what is to be done ------------------------------------------------------

--- What becomes of the row of an applied migration.
-- @return "known", "correct" or "write"; nil: nothing can
-- @return why
local function judge_row(case, m, row)
  if m.missing or row.baseline or rows.is_same(case.to, m, row) then return "known" end
  if m.repeatable then return "write" end -- each run of it has a row
  if case.layout.sql.correct then return "correct" end
  return nil, ("%s is not the file that %s has applied"):format(m.path, case.to.name)
end

--- Likewise, where there is no row; "needless": it stays so.
local function judge_absence(case, m)
  if is_dispensable(m) then return "needless" end
  local problem = obstacle(case, m)
  return not problem and "write" or nil, problem
end

local function judge(case, m)
  local problem = objection(case, m)
  if problem then return nil, problem end
  local there = case.has[ledger.key(m)]
  if there then return judge_row(case, m, there.row) end
  return judge_absence(case, m)
end

local take = {
  known = function(plan) plan.known = plan.known + 1 end,
  write = function(plan, m) plan[#plan + 1] = m end,
  correct = function(plan, m) plan.corrected[#plan.corrected + 1] = m end,
  needless = function(plan, m)
    plan.notes[#plan.notes + 1] = ("%s is left out: it has no file any more"):format(m.label)
  end,
}

--- Look at a row of what is not applied: pgmig has taken that back, or does not know of it.
local function judge_stray(case, plan, there)
  local m, to = there.m, case.to
  if case.wanted[ledger.key(m)] or m.repeatable or there.row.baseline then return end
  if m.id and case.state.read.marks.applied[m.id] == false then
    plan.removed[#plan.removed + 1] = m
  elseif to.tracking.newest then
    errors.raise("plan", ("%s has applied %s, which pgmig has not recorded"):format(to.name,
      m.label), { hint = ("take it over first: pgmig adopt --from %s"):format(to.name) })
  else
    plan.notes[#plan.notes + 1] = ("%s has applied %s, which pgmig has not recorded: its row "
      .. "stays; pgmig adopt takes it over"):format(to.name, m.label)
  end
end

--- What is applied, as far as the tool keeps such things.
local function applied_of(case)
  local list = {}
  for _, m in ipairs(case.state.applied) do list[#list + 1] = m end
  for _, m in ipairs(case.layout.sql.repeatable and case.state.repeatable or {}) do
    if m.state == "applied" then list[#list + 1] = m end
  end
  for _, m in ipairs(list) do case.wanted[ledger.key(m)] = m end
  return list
end

--- A function that says the path of a file from the folder that it is in.
local function relative_to(dirs)
  return function(path)
    for _, dir in ipairs(dirs) do
      local prefix = dir:gsub("/*$", "") .. "/"
      if path:sub(1, #prefix) == prefix then return (path:sub(#prefix + 1):gsub("^/+", "")) end
    end
    return path
  end
end

--- Compare what pgmig has applied with another tool's table.
-- @param migrator the migrator
-- @param to the tool's format
-- @param place its table, of `pgmig.takeover.tracking.place`
-- @param state, set what `pgmig.state.compare.read` has returned
-- @return a list of the migrations whose rows are to be written, with to, to_table, creates =
--   whether the table is to be made, known = how many have theirs, removed and corrected = lists
--   of migrations, notes = sentences, newest = the last applied one that has a file, layout =
--   how they are written
-- @raise kinds "plan" and "drift" for what speaks against it
function M.plan(migrator, to, place, state, set)
  check_settled(state)
  local relative = relative_to(migrator.dirs)
  local case = {
    to = to, own_format = migrator.format.name, state = state, set = set, relative = relative,
    layout = layouts.new(migrator.db, to, place, relative), wanted = {}, there = {}, has = {},
  }
  local plan = {
    to = to.name, to_table = place.name, creates = not place.exists, notes = {}, known = 0,
    removed = {}, corrected = {}, layout = case.layout,
  }
  local applied, problems = applied_of(case), {}
  take_rows(case, place.rows)
  check_gap(case)
  for _, m in ipairs(applied) do
    local what, problem = judge(case, m)
    problems[#problems + 1] = problem
    if what then take[what](plan, m) end
    if not is_dispensable(m) then plan.newest = m end
    migrator.db.breathe()
  end
  if problems[1] then refuse(case, problems) end
  for i = #case.there, 1, -1 do judge_stray(case, plan, case.there[i]) end
  return plan
end

return M
