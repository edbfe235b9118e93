--- What a command has done so far, and when it fails, for people: what happened, where the database
-- stands now, what to do next.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local needed = require "pgmig.needed"
local texts = require "pgmig.texts"

local failures = needed "state.failure"
local source = needed "files.source"

local M = {}

-- ---- what was done -----------------------------------------------------------

local methods = {} -- of a record
methods.__index = methods

--- Make an empty record.
-- @return { applied, rolled_back, recorded, unapplied = finished migrations, in order; current =
--   the one that has begun and not ended, and its direction; began = when the first event came;
--   statements = how many have run, nil where some were not counted; command = what is typed to go
--   on, where that is no `up` or `down` }
function M.record()
  return setmetatable({
    applied = {}, rolled_back = {}, recorded = {}, unapplied = {}, statements = 0,
  }, methods)
end

--- Take in an event of the migrator.
function methods:event(event)
  self.began = self.began or core.now()
  if event.type == "start" then
    self.current, self.direction = event.migration, event.direction
  elseif self[event.type] and event.migration then
    table.insert(self[event.type], event.migration)
    self.statements = event.statements and self.statements and self.statements + event.statements
    self.current = nil
  elseif event.type == "skipped" then
    self.current = nil
  end
end

--- How long it has taken since the first event, in seconds; nil where nothing has run.
function methods:duration()
  local has_run = self.applied[1] or self.rolled_back[1]
  return has_run and core.now() - self.began
end

--- Whether nothing has happened to the database.
function methods:untouched()
  return not self.current
    and #self.applied + #self.rolled_back + #self.recorded + #self.unapplied == 0
end

-- ---- failures -----------------------------------------------------------------

local MOST_NAMES = 10

local function names(list)
  if #list > MOST_NAMES then
    return ("%s to %s, %d migrations"):format(list[1].label, list[#list].label, #list)
  end
  local labels = {}
  for i, m in ipairs(list) do labels[i] = m.label end
  return table.concat(labels, ", ")
end

--- What became of a migration whose own code has ended its transaction.
local function ended(err, record)
  local label = record.current.label
  if err.transaction == "committed" then
    return ("%s is %s, and what it had done by then is kept"):format(label,
      record.direction == "up" and "recorded as applied" or "recorded as not applied")
  end
  if err.transaction ~= "aborted" then return label .. ": see `pgmig status`" end
  return ("%s is %s; what it committed itself is kept"):format(label,
    record.direction == "up" and "not applied" or "still applied")
end

--- What became of the migration that was running.
local function fate(err, record)
  local label = record.current.label
  local still = record.direction == "up" and "not applied" or "still applied"
  if err.transaction then return ended(err, record) end
  if errors.is_untold(err) then return label .. ": see `pgmig status`" end
  if not source.is_transactional(record.current, record.direction) then
    return ("%s ran without a transaction: what it has done is kept, and the next run resumes "
      .. "after it; it is recorded as %s"):format(label, still)
  end
  if err.kind == "connect" then
    return ("%s is %s: a lost connection undoes what it had begun"):format(label, still)
  end
  if record.direction == "down" then
    return ("the rollback of %s was undone; it is %s"):format(label, still)
  end
  return ("%s was rolled back and is %s"):format(label, still)
end

local function standing(err, record)
  local lines = {}
  if #record.rolled_back > 0 then
    lines[#lines + 1] = "rolled back before that: " .. names(record.rolled_back)
  end
  if #record.applied > 0 then
    lines[#lines + 1] = "applied before that, and kept: " .. names(record.applied)
  end
  if record.current then lines[#lines + 1] = fate(err, record) end
  return lines
end

--- What to do next, where the error's own hint does not say it.
local function remedy(err, record)
  if not record.current then return nil end
  if err.kind == "connect" and not err.hint then
    return ("run `pgmig %s` again; the server's log says why the connection was lost"):format(
      record.command or record.direction)
  end
  if err.kind ~= "sql" then return nil end
  local correction = failures.correction(err)
  return ("%srun `pgmig %s` again"):format(correction and correction .. ", then " or "",
    record.command or record.direction)
end

--- The text for people.
-- @param err an error of pgmig's
-- @param record what the run had done before
function M.describe(err, record)
  local lines = { "pgmig: " .. tostring(err) }
  for _, line in ipairs(standing(err, record)) do
    lines[#lines + 1] = "pgmig: " .. texts.line(line)
  end
  local next_step = remedy(err, record)
  if next_step then lines[#lines + 1] = "pgmig: " .. next_step end
  return table.concat(lines, "\n")
end

-- Kinds that refuse before anything is touched.
local refusals = {
  usage = true, parse = true, naming = true, plan = true, io = true, drift = true,
}

local codes = { lock = 4, unknown = 5, connect = 6 }

--- The exit code that a failure ends the program with.
function M.exit_code(err, record)
  if err.kind == "interrupted" then return 128 + err.signal end
  if err.kind == "connect" and not record:untouched() then return 1 end
  if refusals[err.kind] then return record:untouched() and 2 or 1 end
  return codes[err.kind] or 1
end

return M
