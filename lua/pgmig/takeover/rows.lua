--- Which migrations the rows of another tool's table are about (pgmig.takeover.tracking).
local core = require "pgmig.core"
local files = require "pgmig.files.list"

local M = {}

local FIRST = "00" -- behind a number that may repeat: of the first file with it

-- How the path of a file may end whose row says the rest.
local ENDINGS = { ".sql", ".up.sql", "/migration.sql" }

--- The id of a version as a tool's table has it; nil: it is none.
-- @param behind digits of one whose number may repeat; or nil
local function id_of_version(set, version, behind)
  local ok, id = pcall(function()
    return core.version(files.digits(set.rule, version) .. (behind or ""))
  end)
  return ok and id or nil
end

--- The migration of a row, by its version.
local function by_version(set, version)
  local id = id_of_version(set, version)
  return id and (set.by_id[id] or set.foreign[id]) or nil
end

--- A function that finds migrations by what `key_of` says of them: a list, in their order.
local function index(list, key_of)
  local found
  return function(key)
    if not found then
      found = {}
      for _, m in ipairs(list) do
        local its = key_of(m) or ""
        found[its] = found[its] or {}
        table.insert(found[its], m)
      end
    end
    return found[key] or {}
  end
end

local function file_name(path) return path:match "[^/]*$" end

--- How the migrations of files are found.
-- @param kind of the digest that the tool's table has of a file; or nil
local function indexes_of(set, kind)
  return {
    digest = index(set.list, function(m) return core.file_digest(m.path, kind) end),
    repeatable = index(set.repeatable, function(m) return m.name end),
    key = index(set.list, function(m) return m.key end),
    label = index(set.list, function(m) return m.label end),
    file = index(set.list, function(m) return file_name(m.path) end),
  }
end

--- The migration of a row, by the path of its file; where files were renamed, by its version.
local function by_path(set, find, rule, path)
  for _, m in ipairs(find.file(file_name(path))) do
    if m.path:sub(-#path - 1) == "/" .. path then return m end
  end
  local parsed = rule.parse(path)
  if not (parsed and parsed.version) then return nil end
  local m = by_version(set, parsed.version)
  return m and m.name == parsed.name and m or nil
end

--- The migration of a row, by its key; of one that has no label, too, by its digest where the file
-- has another key by now.
local function by_key(find, row)
  local found = find.key(row.key)
  local same = not row.label and find.digest(row.checksum)[1] or nil
  for _, m in ipairs(found) do
    if m == same or m.label == row.label then return m end
  end
  return found[1] or same
end

--- A function that finds the migration that a row is about; nil: there is no such file.
-- @param set what `pgmig.files.list` has read
-- @param from the tool's format
function M.finder(set, from)
  local find = indexes_of(set, from.tracking.checksum)
  return function(row)
    if row.repeatable then
      local parsed = from.naming.parse(row.path)
      return parsed and find.repeatable(parsed.name)[1]
    end
    if row.key then return by_key(find, row) end
    if row.version then return by_version(set, row.version) end
    if row.label then return find.label(row.label)[1] end
    return by_path(set, find, from.naming, row.path)
  end
end

--- Whether the files have a migration of that label.
function M.has_label(set, label)
  for _, m in ipairs(set.list) do
    if m.label == label then return true end
  end
  return false
end

--- What a row calls its migration.
function M.name_of(row) return row.version or row.label or row.path or row.key end

--- What a tool's naming rule says of the file that a row without one is about; nil.
local function parsed_row(rule, row)
  local stem = (row.path or row.label or row.key):gsub("%.sql$", "")
  for _, ending in ipairs(ENDINGS) do
    local ok, parsed = pcall(rule.parse, stem .. ending) -- a rule may refuse a name
    if ok and parsed and parsed.version then return parsed end
  end
end

--- The id of the version that a row without a file says; nil: none.
-- @param set, from as of `finder`
function M.id_of(set, from, row)
  if row.version then return id_of_version(set, row.version) end
  local parsed = parsed_row(from.naming, row)
  if not parsed then return nil end
  if not set.rule.numbers_repeat then return id_of_version(set, parsed.version) end
  local id = id_of_version(set, parsed.version, FIRST)
  return not set.by_id[id or ""] and id or nil -- another file has it by now
end

-- ---- files -------------------------------------------------------------------

--- The mark in a file's beginning.
local function mark_in(path, pattern)
  for line in (core.read_file(path) or ""):gmatch "[^\n]+" do
    local mark = line:match(pattern)
    if mark then return mark end
  end
end

--- What the tool computes of a migration's file; nil: nothing.
-- @param from the tool's format
-- @param m the migration
-- @param row what its table has of it; nil
function M.checksum(from, m, row)
  local how = from.tracking.checksum or from.shared and from.shared.digest
  if type(how) == "function" then return how(m, row or {}) end
  return how and core.file_digest(m.path, how)
end

--- Whether the file is the one that the tool has applied, as far as its table tells.
function M.is_same(from, m, row)
  local how = from.tracking
  if m.foreign then return true end
  if how.mark then return mark_in(m.path, how.mark[1]) == row.mark end
  if how.same then return how.same(core.read_file(m.path) or "", row, m) end
  return not (how.checksum and row.checksum) or M.checksum(from, m, row) == row.checksum
end

return M
