--- A migration, as scripts see it.
-- `version` is a number below 10^14, else the string of digits; `id` is always the string; `name`,
-- `path`, `label` (`tostring(m)`), `language` ("sql", "lua"). `state`: applied ones are "applied",
-- "edited", "renamed" or "missing", others "pending", "out_of_order", "failed" or "unfinished".
-- A `repeatable` one has no version. An applied one has `applied_at` (ISO 8601 with offset) and
-- `applied_at_epoch` (seconds). After `status` there is `down`.
-- @module pgmig.migration
local core = require "pgmig.core"

local M = {}

local NUMBER_DIGITS = 14 -- versions below 10^14 are Lua numbers, exact on both VMs

local migration = {}
migration.__index = migration

--- The label: `001_create_users`.
function migration:__tostring() return self.label end

--- The version of an id: a number below 10^14, else the string of digits.
function M.version_of(id) return #id <= NUMBER_DIGITS and tonumber(id) or id end

--- Make a migration.
-- @param fields id (nil: a repeatable one), name, path, label; for applied ones applied_at and
--   applied_at_epoch
-- @return the migration, with `version` set: a number below 10^14, else the string of digits
function M.new(fields)
  local id = fields.id
  if id then fields.version = M.version_of(id) end
  return setmetatable(fields, migration)
end

--- Whether migration a comes before b.
function M.before(a, b) return core.compare(a.id, b.id) < 0 end

--- The id of a version that a script gives: a number, digits, or a migration.
-- @raise kinds "usage", "naming"
function M.id_of(version)
  if type(version) == "table" then version = version.id end
  if type(version) == "number" then version = ("%.0f"):format(version) end
  return core.version(tostring(version))
end

return M
