--- A migration, as scripts see it.
-- `version` is a number below 10^14, else the string of digits; `id` is always the string; `name`,
-- `path`, `label` (`tostring(m)`), `language` ("sql", "lua"). `state`: applied ones are "applied",
-- "edited", "unreadable", "renamed", "replaced" or "missing", others "pending", "renumbered",
-- "out_of_order", "forgotten", "failed" or "unfinished" (pgmig.state.drift).
-- A `repeatable` one has no version. An applied one has `applied_at` (ISO 8601 with offset) and
-- `applied_at_epoch` (seconds). After `status` there are `down` and `phase`, "pre" or "post".
-- @module pgmig.files.migration
local core = require "pgmig.core"
local shell = require "pgmig.shell"

local M = {}

local NUMBER_DIGITS = 14 -- versions below 10^14 are Lua numbers, exact on both VMs

local ID_SHOWN = 20 -- digits; real versions have no more

local migration = {}

--- The label: `001_create_users`.
function migration:__tostring() return self.label end

--- The version of an id: a number below 10^14, else the string of digits.
function M.version_of(id) return #id <= NUMBER_DIGITS and tonumber(id) or id end

--- A column of the row that an applied one has in the tracking table.
local function of_row(name)
  return function(m)
    local at = rawget(m, "row")
    local column = at and m.read.rows[name]
    return column and column[at] or nil
  end
end

--- What the history says last.
local function of_marks(name)
  return function(m)
    local read = rawget(m, "read")
    return read and read.marks[name][rawget(m, "id") or "repeatable:" .. m.name]
  end
end

-- What most migrations have alike, or what follows from other fields, is not kept in each: there
-- may be a million.
local derived = {
  version = function(m)
    local id = rawget(m, "id")
    return id and M.version_of(id)
  end,
  label = function(m) return ("%s_%s"):format(m.text, m.name) end,
  -- what a person types, as a word for the shell: a format's ids may be long, then as the file's
  -- name has it
  shown = function(m)
    local id = rawget(m, "id")
    return shell.word(id and #id > ID_SHOWN and m.text or id or m.name)
  end,
  language = function() return "sql" end,
  precedence = function() return 0 end,
  applied_at = of_row "applied_at",
  applied_at_epoch = of_row "applied_at_epoch",
  recorded_name = of_row "name",
  recorded_checksum = of_marks "checksum",
  recorded_event = of_marks "event",
  recorded_run = of_marks "run",
}

function migration:__index(key)
  local derive = derived[key]
  return derive and derive(self) or nil
end

--- Make a migration.
-- @param fields id (nil: a repeatable one), name, path, text = the version as it is written; label,
--   language, precedence, where they do not follow from these; read = what the ledger has read, and
--   for applied ones row = their place in its rows
-- @return the migration; `version` is a number below 10^14, else the string of digits
function M.new(fields) return setmetatable(fields, migration) end

--- Whether migration a comes before b: by their numbers, which have no leading zeros.
function M.before(a, b)
  local first, second = a.id, b.id
  if #first ~= #second then return #first < #second end
  return first < second
end

--- The id of a version that a script gives: a number, digits, or a migration.
-- @raise kinds "usage", "naming"
function M.id_of(version)
  if type(version) == "table" then version = version.id end
  if type(version) == "number" then version = ("%.0f"):format(version) end
  return core.version(tostring(version))
end

return M
