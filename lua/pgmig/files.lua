--- The migrations folder: which files are migrations, and which are not.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local migration = require "pgmig.migration"

local M = {}

local function join(dir, name)
  return dir:sub(-1) == "/" and dir .. name or dir .. "/" .. name
end

local function read_name(rule, dir, name)
  local parsed = rule.parse(name)
  if not parsed then return nil end
  local path = join(dir, name)
  if parsed.language == "lua" then
    errors.raise("naming", "this version of pgmig runs SQL migrations only", {
      file = path, hint = "rename it, or move it out of the folder",
    })
  end
  return migration.new {
    id = core.version(parsed.version),
    name = parsed.name,
    label = parsed.version .. "_" .. parsed.name,
    path = path,
    digits = #parsed.version,
  }
end

local function add(set, m)
  local other = set.by_id[m.id]
  if other then
    local message = ("two files have version %s: %s and %s"):format(m.id, other.path, m.path)
    errors.raise("naming", message, {
      file = m.path, hint = "give one of them another number",
    })
  end
  set.by_id[m.id] = m
  set.list[#set.list + 1] = m
end

--- Read folders.
-- @param dirs list of folders
-- @param rule a naming rule (pgmig.naming)
-- @return { list = migrations by version, by_id = the same by id, ignored = paths of .sql files
--   that the rule does not know }
-- @raise kinds "io" for a missing folder, "naming" for two files of one version
function M.read(dirs, rule)
  local set = { list = {}, by_id = {}, ignored = {} }
  for _, dir in ipairs(dirs) do
    for _, name in ipairs(core.list(dir)) do
      local m = read_name(rule, dir, name)
      if m then
        add(set, m)
      elseif name:find "%.sql$" then
        set.ignored[#set.ignored + 1] = join(dir, name)
      end
    end
  end
  table.sort(set.list, migration.before)
  return set
end

return M
