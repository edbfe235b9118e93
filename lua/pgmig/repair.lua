--- Repairs, each asked for by name: of what the tables say, never of the schema.
local core = require "pgmig.core"
local drift = require "pgmig.drift"
local entry = require "pgmig.entry"
local errors = require "pgmig.errors"

local M = {}

--- What is to be said of a migration that is repaired; nil when nothing is.
local function reason(m)
  local sentence = drift.describe(m)
  if m.state == "edited" or m.state == "renamed" then return sentence end
  if m.failure then return "its failure is settled" end
  if m.applied_at and not (m.missing or m.recorded_checksum) then
    return "no checksum was recorded"
  end
end

--- The checksum that counts from now on: a repeatable migration stays due.
local function checksum_of(m)
  if m.repeatable then return m.recorded_checksum end
  return m.applied_at and core.file_checksum(m.path) or nil
end

local function entry_of(m, run, message)
  return entry.new(m, run, { event = "repaired", message = message, checksum = checksum_of(m) })
end

--- Accept the files as they are now.
-- @param migrator the migrator, whose tables are ready to be written
-- @param list migrations that were compared
-- @return those that were repaired
function M.accept(migrator, list)
  local run, repaired = core.token(), {}
  for _, m in ipairs(list) do
    local message = reason(m)
    if message then
      local renamed = m.recorded_name and m.recorded_name ~= m.name and not m.missing
      migrator.ledger:record(migrator.db, renamed and "name" or "none", entry_of(m, run, message))
      repaired[#repaired + 1] = m
    end
  end
  return repaired
end

local messages = {
  done = "its statement under way counts as done",
  redo = "its statement under way counts as not done",
  restart = "what is done is forgotten",
}

--- Settle what became of a migration with transaction=off.
-- @param m a migration that was compared
-- @param how "done", "redo" or "restart"
-- @raise kind "plan" when there is nothing to settle
function M.settle(migrator, m, how)
  local left = m.unfinished
  if not left or (how ~= "restart" and not left.running) then
    errors.raise("plan", ("nothing about %s is to be resolved"):format(m.label), {
      hint = left and "no statement is of unknown outcome: a run goes on behind those done"
        or "no statement of it is of unknown outcome",
    })
  end
  migrator.ledger:record(migrator.db, how, entry.new(m, core.token(), {
    event = "resolved", message = messages[how],
  }))
end

return M
