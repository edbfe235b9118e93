--- The migrations folder: which files are migrations, and which are not.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local migration = require "pgmig.migration"
local naming = require "pgmig.naming"

local M = {}

local function join(dir, name)
  return dir:sub(-1) == "/" and dir .. name or dir .. "/" .. name
end

--- The digits of a version as a rule gives it.
local function digits_of(rule, version, path)
  if type(version) == "number" then version = ("%.0f"):format(version) end
  if type(version) ~= "string" then
    errors.raise("naming", "the naming rule gives no version", { file = path })
  end
  return rule.dotted and naming.dotted(version) or version
end

--- What the rule says of a file, as a migration.
local function new_migration(rule, parsed, dir, name)
  local path = join(dir, name)
  local digits = digits_of(rule, parsed.version, path)
  return migration.new {
    id = core.version(digits),
    name = parsed.name,
    label = parsed.label or ("%s_%s"):format(parsed.version, parsed.name),
    path = path,
    digits = #digits,
    language = parsed.language or "sql",
    direction = parsed.direction,
  }
end

--- A repeatable migration: its name is its identity.
local function new_repeatable(parsed, dir, name)
  return migration.new {
    name = parsed.name, label = parsed.label or parsed.name, path = join(dir, name),
    language = parsed.language or "sql", repeatable = true,
  }
end

local function clash(set, m, other)
  local what = m.id and "version " .. m.id or "name " .. m.name
  set.duplicates[#set.duplicates + 1] = errors.new("naming",
    ("two files have %s: %s and %s"):format(what, other.path, m.path),
    { file = m.path, hint = "give one of them another " .. (m.id and "number" or "name") })
end

--- The other file of a pair joins its migration.
local function join_pair(set, m, other)
  if not m.direction or m.direction == other.direction or other.down_path
    or m.name ~= other.name then
    return clash(set, m, other)
  end
  local up, down = other, m
  if m.direction == "up" then up, down = m, other end
  up.down_path = down.path
  set.by_id[m.id] = up
end

local function add(set, m)
  local other = set.by_id[m.id]
  if other then return join_pair(set, m, other) end
  set.by_id[m.id] = m
end

local function sorted(by_id)
  local list = {}
  for _, m in pairs(by_id) do
    if m.direction == "down" then
      errors.raise("naming", "this file has no UP beside it", {
        file = m.path, hint = "bring back the file of the same number that goes up",
      })
    end
    list[#list + 1] = m
  end
  table.sort(list, migration.before)
  return list
end

local function add_repeatable(set, m)
  local other = set.by_name[m.name]
  if other then return clash(set, m, other) end
  set.by_name[m.name] = m
  set.repeatable[#set.repeatable + 1] = m
end

local function read_dir(set, dir, rule)
  for _, name in ipairs(core.list(dir, rule.deep)) do
    local parsed = rule.parse(name)
    if parsed and parsed.repeatable then
      add_repeatable(set, new_repeatable(parsed, dir, name))
    elseif parsed then
      add(set, new_migration(rule, parsed, dir, name))
    elseif name:find "%.sql$" then
      set.ignored[#set.ignored + 1] = join(dir, name)
    end
  end
end

--- Read folders.
-- @param dirs list of folders
-- @param rule a naming rule (pgmig.naming)
-- @return { list = migrations by version, by_id = the same by id, ignored = paths of .sql files
--   that the rule does not know, repeatable = migrations that run again, by name, duplicates =
--   errors about two files of one version or name }
-- @raise kinds "io" for a missing folder, "naming" for a file whose version is none
function M.read(dirs, rule)
  local set = {
    list = {}, by_id = {}, ignored = {}, repeatable = {}, by_name = {}, duplicates = {},
  }
  for _, dir in ipairs(dirs) do read_dir(set, dir, rule) end
  set.list = sorted(set.by_id)
  table.sort(set.repeatable, function(a, b) return a.name < b.name end)
  return set
end

return M
