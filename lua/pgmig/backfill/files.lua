--- The backfills that migration files ask for.
local core = require "pgmig.core"
local definitions = require "pgmig.backfill.definition"
local errors = require "pgmig.errors"
local ledgers = require "pgmig.state.ledger"

local M = {}

--- A time as a directive has it, in seconds.
local function seconds_of(text)
  local ms = text and core.duration_setting(text)
  return ms and ms / 1000
end

--- What a BACKFILL line says, checked.
local function read(m, line)
  local ok, entry = pcall(definitions.check, {
    table = line.table, key = line.key, set = line.set, where = line.where,
    batch = tonumber(line.batch), skip = tonumber(line.skip), target = seconds_of(line.target),
  })
  if ok then return entry end
  if errors.is(entry, "usage") then
    entry.kind, entry.file, entry.line, entry.column = "parse", m.path, line.line, line.column
  end
  error(entry, 0)
end

--- The backfills of a migration that goes up.
-- @param m the migration
-- @param script its script
-- @param section "up" or "down"
-- @return a list of entries for pgmig.backfill.store; nil: it has none
-- @raise kind "parse"
function M.entries(m, script, section)
  local lines = script:backfills(section)
  if not lines then return nil end
  local entries = {}
  for i, line in ipairs(lines) do
    local entry = read(m, line)
    entry.migration, entry.step, entry.label = ledgers.key(m), i, m.label
    entry.deferred, entry.line = line.run == "later", line.line
    entries[i] = entry
  end
  return entries
end

return M
