--- What can be known of a database and its files: nothing is created, written or raised.
local drift = require "pgmig.state.drift"
local files = require "pgmig.files.list"
local needed = require "pgmig.needed"
local source = require "pgmig.files.source"
local states = require "pgmig.state.compare"

local adopt, at_work = needed "takeover.adopt", needed "upkeep.at_work"

local M = {}

local down_states = { ready = "ready", nothing = "ready" }

--- See what can be known from a file: whether it parses, and whether there is a way back.
local function inspect(m, problems)
  local ok, state = pcall(source.down_state, m)
  source.phase(m)
  source.discard(m)
  if ok then
    m.down = not m.repeatable and state ~= "unknown" and (down_states[state] or state) or nil
    return
  end
  problems[#problems + 1] = {
    kind = state.kind, message = tostring(state), path = m.path, migration = m,
  }
end

--- Who is at work on what has been begun, if something has.
local function find_at_work(migrator, read)
  if read.left[1] or next(read.journal) then return at_work.find(migrator, read) end
end

--- See what can be known; see `migrator:status`.
-- @return what that returns
function M.read(migrator)
  local state, set = states.read(migrator, function()
    return files.read(migrator.dirs, migrator.naming, migrator.format)
  end)
  local problems = {}
  for _, err in ipairs(set.wrong) do
    problems[#problems + 1] = { kind = err.kind, message = tostring(err), path = err.file }
  end
  for _, list in ipairs { set.list, set.repeatable } do
    for _, m in ipairs(list) do
      migrator.db.breathe()
      inspect(m, problems)
    end
  end
  return {
    applied_count = #state.applied, pending_count = #state.pending,
    applied = state.applied, pending = state.pending, repeatable = state.repeatable,
    ignored = set.ignored, reasons = set.reasons, problems = problems,
    warning = state.all_missing and drift.describe_all_missing(state) or nil, read = state.read,
    at_work = find_at_work(migrator, state.read),
    untaken = states.may_be_untaken(migrator, state.applied[1]) and adopt.look(migrator) or nil,
  }
end

return M
