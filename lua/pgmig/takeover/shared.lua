--- Shared mode: the tracking table of another tool is used in place, so that both may run.
-- A format's `shared` is a table: the SQL of a ledger's layout (pgmig.h, struct pgmig_layout), and
--
-- * `key_of(m)`: what the tool calls a migration in its table; without it the version, as it is
--   written in the file's name
-- * `digest`: what its table has of the file, "sha384" or "crc32" (core.file_digest)
-- @module pgmig.takeover.shared
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local files = require "pgmig.files.list"

local M = {}
local shared = {}
shared.__index = shared

--- The shared mode of a format.
-- @param format of pgmig.formats
-- @param rule the migrator's naming rule
-- @raise kind "usage" where the tool's table cannot be shared
function M.new(format, rule)
  if not format.shared then
    errors.raise("usage", ("the table of %s cannot be shared: %s"):format(format.name,
      format.unshared or "the format does not define how"), {
      hint = ("take over its records instead: pgmig adopt --from %s"):format(format.name),
    })
  end
  return setmetatable({
    layout = format.shared, table = format.tracking.table, rule = rule, name = format.name,
    ids = {},
  }, shared)
end

--- What the tool's table calls a migration.
function shared:key(m) return self.layout.key_of and self.layout.key_of(m) or m.text end

--- Learn from the files which migration each key stands for.
-- @param set what `pgmig.files.list` has read
-- @raise kind "naming" for two migrations that its table cannot tell apart
function shared:learn(set)
  self.ids = {}
  for _, m in ipairs(set.list) do
    local key = self:key(m)
    if self.ids[key] then
      errors.raise("naming", ("the table of %s can hold %s only once"):format(self.name, key), {
        file = m.path, hint = "give the file another number",
      })
    end
    self.ids[key] = m.id
  end
end

--- Add to a history's entry what the tool's table wants to know.
function shared:complete(entry, m)
  if m.missing then -- its row says how it is called
    entry.key = m.row and m.read.rows.key[m.row]
    return
  end
  if not m.id then return end
  entry.key = self:key(m)
  entry.digest = self.layout.digest and core.file_digest(m.path, self.layout.digest) or nil
end

--- The version that a key of the table without a file stands for.
local function version_of(self, key)
  if not self.layout.key_of then return key end
  local parsed = self.rule.parse(key) or self.rule.parse(key .. ".sql")
  return parsed and parsed.version
end

--- The id of the migration that a row stands for.
local function id_of(self, key)
  if self.ids[key] then return self.ids[key] end
  local ok, id = pcall(function()
    local digits = files.digits(self.rule, version_of(self, key))
    return core.version(digits .. (self.rule.numbers_repeat and "99" or ""))
  end)
  if ok then return id end
  errors.raise("plan", ("the table of %s has a row that is not a migration: %s"):format(self.name,
    key), { hint = "is it the right table?" })
end

--- Bring the rows of the tool's table to the form of pgmig's own, by version.
-- @param columns as of `ledger:list`, with the tool's keys as `id`
-- @raise kind "plan" for a row that stands for no version
function shared:convert(columns)
  local ids, order, sorted = {}, {}, {}
  for i = 1, columns.count do ids[i], order[i] = id_of(self, columns.id[i]), i end
  columns.key, columns.id = columns.id, ids
  table.sort(order, function(a, b) return core.compare(ids[a], ids[b]) < 0 end)
  for name, list in pairs(columns) do
    if type(list) == "table" then
      sorted[name] = {}
      for i, at in ipairs(order) do sorted[name][i] = list[at] end
    end
  end
  for name, list in pairs(sorted) do columns[name] = list end
end

return M
