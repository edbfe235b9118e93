--- New numbers after a merge: of migrations that have the same version one stays, the others get
-- the next ones.
-- @module pgmig.upkeep.renumber
local arguments = require "pgmig.arguments"
local base_branch = require "pgmig.upkeep.base_branch"
local core = require "pgmig.core"
local create = require "pgmig.files.create"
local errors = require "pgmig.errors"
local ledger = require "pgmig.state.ledger"
local lists = require "pgmig.files.list"
local migration = require "pgmig.files.migration"
local rename = require "pgmig.files.rename"
local states = require "pgmig.state.compare"

local M = {}

-- ---- the files ---------------------------------------------------------------

--- Refuse formats whose files are not numbered by their names.
-- @raise kind "usage"
local function check_format(migrator)
  local format, rule = migrator.format, migrator.naming
  if rule.listed then
    errors.raise("usage", ("the order of these migrations is that of %s: change it "
      .. "there"):format(rule.listed))
  end
  if type(format.create) == "string" then
    errors.raise("usage", "files of this format cannot be given new numbers: " .. format.create)
  end
  if rule.numbers_repeat then
    errors.raise("usage", "in this format several migrations may have one number")
  end
end

--- Refuse two files of one name and direction, in two folders or languages, and a way back that
-- nothing leads to: nobody can tell what belongs together.
-- @raise kind "naming"
local function check_unit(unit)
  local seen = {}
  for _, file in ipairs(unit.files) do
    local m = file.m
    local slot = (m.direction or "up") .. m.precedence
    if seen[slot] then
      errors.raise("naming", ("two files have version %s and one name: %s and %s"):format(m.text,
        seen[slot].path, m.path), { file = m.path, hint = "give one of them another name" })
    end
    seen[slot] = m
  end
  if unit.ups == 0 then
    errors.raise("naming", "this file has no UP file with the same number and name", {
      file = unit.files[1].m.path, hint = "rename it, or restore the UP file",
    })
  end
  return unit
end

--- The migrations of one version, each with its files: those of one name belong together, or those
-- of one number where that alone tells.
-- @return a list of { id, name, label, files }, by label
local function units_of(files, names_differ)
  local by_name, units = {}, {}
  local is_pair = names_differ and #files == 2 and files[1].m.direction ~= files[2].m.direction
  for _, file in ipairs(files) do
    local m = file.m
    local name = is_pair and "" or m.name
    local unit = by_name[name]
    if not unit then
      unit = { id = m.id, name = m.name, label = m.label, files = {}, ups = 0 }
      by_name[name], units[#units + 1] = unit, unit
    end
    unit.ups = unit.ups + (m.direction == "down" and 0 or 1)
    table.insert(unit.files, file)
  end
  table.sort(units, function(a, b) return a.label < b.label end)
  return units
end

--- All migrations, by version.
-- @return a list of lists, as of `units_of`
-- @return the versions of baseline migrations, each a migration
local function read_groups(migrator)
  local rule, by_id, groups, baselines = migrator.naming, {}, {}, {}
  for _, dir in ipairs(migrator.dirs) do
    local folder = rename.folder(dir, rule)
    local files, others = lists.files({ dir }, rule, migrator.format)
    for _, m in ipairs(files) do
      by_id[m.id] = by_id[m.id] or {}
      table.insert(by_id[m.id], { m = m, folder = folder })
    end
    for _, m in ipairs(others) do baselines[#baselines + 1] = m end
  end
  for _, files in pairs(by_id) do groups[#groups + 1] = units_of(files, rule.names_differ) end
  table.sort(groups, function(a, b) return core.compare(a[1].id, b[1].id) < 0 end)
  return groups, baselines
end

-- ---- which one stays -----------------------------------------------------------

local function paths_of(units)
  local paths = {}
  for i, unit in ipairs(units) do paths[i] = unit.files[1].m.path end
  return paths
end

--- The only one for which a function returns true.
-- @return it; nil
-- @return how many there are
local function only(units, fn)
  local found, count = nil, 0
  for _, unit in ipairs(units) do
    if fn(unit) then found, count = unit, count + 1 end
  end
  return count == 1 and found or nil, count
end

local function has_file(unit, path)
  for _, file in ipairs(unit.files) do
    if file.m.path == path or core.is_same_file(file.m.path, path) then return true end
  end
  return false
end

--- The one that was named.
local function told(units, keep)
  return only(units, function(unit)
    for _, path in ipairs(keep) do
      if has_file(unit, path) then return true end
    end
    return false
  end)
end

local function is_file(groups, path)
  for _, units in ipairs(groups) do
    for _, unit in ipairs(units) do
      if has_file(unit, path) then return true end
    end
  end
  return false
end

--- Refuse to keep what is none of the files: another one would stay in its place.
-- @raise kind "usage"
local function check_keep(groups, keep)
  for _, path in ipairs(keep) do
    if not is_file(groups, path) then
      errors.raise("usage", ("%s is none of the migration files: it cannot stay"):format(path))
    end
  end
end

--- The one that the database has applied, by its name, or else by its text.
-- @param read what `ledger:read` returned
-- @return it; nil
-- @return whether the database has applied one of them
local function applied(units, read)
  local at = read.rows.there[units[1].id]
  if not at then return nil, false end
  local name = read.rows.name and read.rows.name[at]
  local checksum = read.marks.checksum[ledger.key(units[1])]
  local named, count = only(units, function(unit) return unit.name == name end)
  if count > 0 or not checksum then return named, name ~= nil end
  return only(units, function(unit)
    return core.file_checksum(unit.files[1].m.path) == checksum
  end), true
end

--- The one that is on the main branch.
local function merged(units, base)
  local branch
  local found = only(units, function(unit)
    local file = unit.files[1]
    local folder = file.folder
    branch = base_branch.find(folder.dir, base)
    return branch and base_branch.has(folder.dir, branch, file.m.path:sub(#folder.prefix + 1))
  end)
  return found, branch
end

local function refuse(units, why, base)
  local paths, choices = paths_of(units), {}
  for i, path in ipairs(paths) do choices[i] = "--keep " .. path end
  errors.raise("naming", ("%s have version %s, and %s"):format(table.concat(paths, " and "),
    units[1].files[1].m.text, why), {
    hint = ("say which one stays: %s (option `keep`)%s"):format(table.concat(choices, ", or "),
      base and "" or "; or name the branch that has it: --base BRANCH"),
  })
end

--- Which of the migrations of one version stays, and why.
-- @raise kind "naming" where nothing tells
local function keeper(units, read, options)
  local found, count = told(units, options.keep)
  if found then return found, "as told" end
  if count > 1 then refuse(units, "only one of them can stay", true) end
  local is_applied
  if read then found, is_applied = applied(units, read) end
  if found then return found, "applied" end
  if is_applied then refuse(units, "which of them is applied is not known", true) end
  local branch
  found, branch = merged(units, options.base)
  if found then return found, "on branch " .. branch end
  refuse(units, branch and ("branch %s does not tell them apart"):format(branch)
    or "nothing tells which of them was there first", options.base)
end

-- ---- new versions --------------------------------------------------------------

--- All versions that there are, of files and in the database: the newest last.
local function all_versions(groups, list, read, rule)
  for _, units in ipairs(groups) do list[#list + 1] = units[1].files[1].m end
  -- where digits only sort as a version does, they do not tell it
  local rows = read and not (rule.digits or rule.dotted) and read.rows.count or 0
  for at = 1, rows do
    list[#list + 1] = migration.new { id = read.rows.id[at], name = "", text = read.rows.id[at] }
  end
  table.sort(list, migration.before)
  return list
end

--- The next version, with as many digits as a migration has had.
local function next_version(rule, list, text)
  local version = create.next_version(rule, list)
  if rule.next then return version end
  local digits = core.version(version)
  return ("0"):rep(#text - #digits) .. digits
end

--- Give migrations the next versions.
-- @return a list of { from, to } of their files, each once
local function plan_moves(migrator, units, list)
  local moves, seen = {}, {}
  local rule = migrator.naming
  for _, unit in ipairs(units) do
    local version = next_version(rule, list, unit.files[1].m.text)
    list[#list + 1] = migration.new {
      id = core.version(lists.digits(rule, version)), name = unit.name, text = version,
    }
    for _, file in ipairs(unit.files) do
      local from, to = rename.step(file.m.path, rename.path(file.folder, file.m.path, version))
      if not seen[from] then moves[#moves + 1] = { from = from, to = to } end
      seen[from] = true
    end
  end
  return moves
end

-- ---- what moves ----------------------------------------------------------------

--- Those of the groups that have to move, and those that stay in their place.
local function sort_out(groups, state, options)
  local moving, kept = {}, {}
  for _, units in ipairs(groups) do
    local stays, why
    for _, unit in ipairs(units) do check_unit(unit) end
    if units[2] then
      stays, why = keeper(units, state and state.read, options)
      kept[#kept + 1] = { path = stays.files[1].m.path, reason = why }
    end
    local known = state and state.by_id[units[1].id]
    local is_late = options.out_of_order and known and known.state == "out_of_order"
    for _, unit in ipairs(units) do
      if unit ~= stays and (stays or is_late) then moving[#moving + 1] = unit end
    end
  end
  return moving, kept
end

--- What runs before a migration now that ran behind it.
local function notes_of(moving, groups, state)
  local notes, is_moving = {}, {}
  for _, unit in ipairs(moving) do is_moving[unit] = true end
  for _, unit in ipairs(state and moving or {}) do
    local passed = {}
    for _, units in ipairs(groups) do
      local first = units[1]
      local is_behind = core.compare(first.id, unit.id) > 0 and not state.read.rows.there[first.id]
      if is_behind and not is_moving[first] then passed[#passed + 1] = first.label end
    end
    if passed[1] then
      notes[#notes + 1] = ("%s ran before %s and now runs behind: check that they do not need "
        .. "it"):format(unit.label, table.concat(passed, ", "))
    end
  end
  return notes
end

local function state_of(migrator)
  if not migrator.db then return nil end
  return (states.read(migrator, function()
    return lists.read(migrator.dirs, migrator.naming, migrator.format)
  end))
end

--- Give unapplied migrations whose version others have, too, the next ones. Which one stays: what
-- the database has applied; without a database, or where it has applied none, what git has on the
-- main branch; or what is named. All files of a migration move together, all or none.
-- @param migrator of pgmig.migrator, with a connection or without
-- @param given { keep = a path or a list of them, of files that stay; base = the main branch, where
--   it is not origin's, main or master; out_of_order = true: also unapplied ones below the newest
--   applied one; dry_run = true: only say what would be renamed }
-- @return { renamed = { { from, to } }, of files or folders, kept = { { path, reason } }, notes =
--   sentences }
-- @raise kinds "usage" for a format that cannot, and for a file to keep that is none of them,
--   "naming" where nothing tells which one stays, "io"
function M.run(migrator, given)
  local options = arguments.read("renumber", given)
  options.keep = type(options.keep) == "table" and options.keep or { options.keep }
  check_format(migrator)
  if options.out_of_order and not migrator.db then
    errors.raise("usage", "only the database tells which migrations are out of order")
  end
  local groups, baselines = read_groups(migrator)
  check_keep(groups, options.keep)
  local state = state_of(migrator)
  local moving, kept = sort_out(groups, state, options)
  local moves = plan_moves(migrator, moving,
    all_versions(groups, baselines, state and state.read, migrator.naming))
  if not options.dry_run then rename.move_all(moves) end
  return { renamed = moves, kept = kept, notes = notes_of(moving, groups, state) }
end

return M
