--- Files of migrations under other versions: their names, and moving them.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local lists = require "pgmig.files.list"
local naming = require "pgmig.naming"

local M = {}

-- ---- names -------------------------------------------------------------------

--- A folder's parser, its prefix and its files.
-- @param dir the folder
-- @param rule its naming rule
-- @return { dir, prefix, parse, rule }
function M.folder(dir, rule)
  local names = core.list(dir, rule.deep)
  return {
    dir = dir, prefix = dir:sub(-1) == "/" and dir or dir .. "/", rule = rule,
    parse = naming.parser(rule, names, lists.reader(dir)),
  }
end

--- The id that a file of a folder has by its name; nil.
local function id_of(folder, parsed)
  return parsed and parsed.version and core.version(lists.digits(folder.rule, parsed.version))
end

local function escaped(text) return (text:gsub("%p", "%%%0")) end

--- The path with another version in it: as the rule writes it, or where its digits stand.
local function renamed(folder, name, parsed, version)
  local format, old = folder.rule.format, tostring(parsed.version)
  local direction = parsed.direction or "up"
  if format(old, parsed.name, direction) == name then
    return format(version, parsed.name, direction)
  end
  local changed = name:gsub("%f[%d]" .. escaped(old) .. "%f[%D]", escaped(version), 1)
  return changed
end

-- What else a name says.
local kept = { "name", "direction", "language", "repeatable", "baseline", "transaction",
  "precedence" }

local function is_same_but_version(folder, parsed, path, id)
  local ok, again = pcall(folder.parse, path)
  if not ok or not again or id_of(folder, again) ~= id then return false end
  for _, key in ipairs(kept) do
    if parsed[key] ~= again[key] then return false end
  end
  return true
end

--- The path of a file under another version.
-- @param folder as of `M.folder`
-- @param path of the file
-- @param version as names write it
-- @return the path
-- @raise kind "naming" where the rule's names do not tell how
function M.path(folder, path, version)
  local name = path:sub(#folder.prefix + 1)
  local parsed = folder.parse(name)
  local id = core.version(lists.digits(folder.rule, version))
  local changed = renamed(folder, name, parsed, version)
  if changed ~= name and is_same_but_version(folder, parsed, changed, id) then
    return folder.prefix .. changed
  end
  errors.raise("naming", ("the naming rule does not tell how this file is called as version "
    .. "%s"):format(version), { file = path, hint = "rename it by hand" })
end

-- ---- moving ------------------------------------------------------------------

--- What has to be renamed for a file to have another path: itself, or the folder around it.
-- @return the path before, and behind
function M.step(from, to)
  local at = 1
  while true do
    local slash, other = from:find("/", at, true), to:find("/", at, true)
    if not slash or not other or from:sub(1, slash) ~= to:sub(1, other) then
      if slash and other and from:sub(slash) == to:sub(other) then
        return from:sub(1, slash - 1), to:sub(1, other - 1)
      end
      return from, to
    end
    at = slash + 1
  end
end

--- Move files and folders, all of them or none; nothing is overwritten.
-- @param moves a list of { from, to }
-- @raise kind "io"
function M.move_all(moves)
  for i, move in ipairs(moves) do
    local ok, err = pcall(core.move_file, move.from, move.to)
    if not ok then
      for k = i - 1, 1, -1 do pcall(core.move_file, moves[k].to, moves[k].from) end
      err.hint = err.hint or "nothing was renamed"
      error(err, 0)
    end
  end
end

return M
