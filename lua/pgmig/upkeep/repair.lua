--- Repairs, each asked for by name: of what the tables say, never of the schema. They do not wait
-- for a run: what a person has decided is about what was there before it.
local core = require "pgmig.core"
local drift = require "pgmig.state.drift"
local errors = require "pgmig.errors"
local ledger = require "pgmig.state.ledger"
local locked = require "pgmig.run.door"
local orphan = require "pgmig.db.orphan"
local recovery = require "pgmig.db.recovery"
local state = require "pgmig.state.compare"

local M = {}

local NOT_AT_ALL = 0 -- seconds to wait for a run
local STATEMENT_WAIT = 3 -- seconds for a server process that nobody is connected to any more

--- Look, decide and write with the lock held; again where the connection is lost: `fn` sees by its
-- run what it has written before that.
local function write(migrator, emit, fn)
  local run = core.token()
  return locked.write(migrator, emit, function()
    return recovery.persist(migrator.db, migrator.reconnect, function()
      local found = state.read_locked(migrator, emit)
      migrator.ledger:prepare(migrator.db)
      return fn(found, run)
    end)
  end, NOT_AT_ALL)
end

--- What is to be said of a migration that is repaired; nil when nothing is.
local function reason(m)
  local sentence = drift.describe(m)
  if m.state == "edited" or m.state == "renamed" or m.state == "replaced" then return sentence end
  if m.state == "forgotten" then return "its row is restored" end
  if m.failure then return "its failure is resolved" end
  if m.row and not (m.missing or m.recorded_checksum) then
    return "no checksum was recorded"
  end
end

--- The checksum that counts from now on: a repeatable migration stays due.
local function checksum_of(m)
  if m.repeatable or m.missing or m.state == "forgotten" then return m.recorded_checksum end
  return m.row and core.file_checksum(m.path) or nil
end

local function entry_of(m, run, message)
  return ledger.entry(m, run, { event = "repaired", message = message, checksum = checksum_of(m) })
end

local function check_replaced(list)
  for _, m in ipairs(list) do
    if m.state == "replaced" then
      local sentence, hint = drift.describe(m)
      errors.raise("drift", sentence, {
        file = m.path, migration = m.label,
        hint = ("%s; only if they are the same migration after all: pgmig repair %s --replaced")
          :format(hint, m.shown),
      })
    end
  end
end

--- Refuse to give up a file that is there.
local function check_gone(list)
  for _, m in ipairs(list) do
    if not (m.missing and m.row) then
      local message = ("%s is not an applied migration whose file is missing"):format(m.label)
      errors.raise("plan", message, { file = m.path, hint = "nothing was changed" })
    end
  end
end

--- From now on, nobody expects its file.
local function give_up(migrator, m, run)
  if m.state ~= "missing" then return m.recorded_run == run end
  migrator.ledger:record(migrator.db, "none", ledger.entry(m, run, {
    event = "gone", message = "its file is gone for good", checksum = m.recorded_checksum,
  }))
  return true
end

local function accept(migrator, m, run)
  local message = reason(m)
  if not message then return m.recorded_run == run end
  if m.state == "forgotten" then
    migrator.ledger:prepare(migrator.db, { direction = "up", m }) -- its version needs room
    migrator.ledger:record(migrator.db, "row", entry_of(m, run, message))
    return true
  end
  local renamed = m.recorded_name and m.recorded_name ~= m.name and not m.missing
  migrator.ledger:record(migrator.db, renamed and "name" or "none", entry_of(m, run, message))
  return true
end

--- Accept files as they are now.
-- @param migrator the migrator
-- @param emit fn(event)
-- @param choose fn(state) returns the migrations that it is about (pgmig.state.compare)
-- @param allowed { replaced = whether one that looks like another migration is accepted, too; gone
--   = whether it is that the file is gone for good }
-- @return those that were repaired
-- @raise kinds "drift" for one that looks like another migration, "plan" for one that is said to be
--   gone and is not missing, "lock" while a run is at work
function M.accept(migrator, emit, choose, allowed)
  local settle = allowed.gone and give_up or accept
  return write(migrator, emit, function(found, run)
    local list, repaired = choose(found), {}
    if allowed.gone then check_gone(list) elseif not allowed.replaced then check_replaced(list) end
    for _, m in ipairs(list) do
      if settle(migrator, m, run) then repaired[#repaired + 1] = m end
    end
    return repaired
  end)
end

local messages = {
  done = "its interrupted statement counts as done",
  redo = "its interrupted statement counts as not done",
  restart = "its progress is discarded",
}

--- A statement that is still at work has no outcome.
local function check_ended(migrator, m)
  local row = migrator.ledger:journal(migrator.db)[ledger.key(m)]
  if not row or row.state ~= "running" then return end
  if orphan.wait(migrator.db, row, STATEMENT_WAIT) then return end
  errors.raise("lock", ("a statement of %s is still running on the server"):format(m.label), {
    file = m.path, statement = row.statement,
    hint = ("wait for it, or terminate it: SELECT pg_catalog.pg_terminate_backend(%s)")
      :format(row.pid or "PID"),
  })
end

local function check_unsettled(m, how)
  local left = m.unfinished
  local settled = left and (how == "restart" or left.running or how == "redo" and left.obstacle)
  if settled then return end
  errors.raise("plan", ("%s has nothing to resolve"):format(m.label), {
    hint = left and left.obstacle or left
      and "no statement has an unknown outcome: a run resumes after the completed ones"
      or "none of its statements has an unknown outcome",
  })
end

--- Write down what a person says, if the journal is still as that person has seen it.
local function record_settled(migrator, m, how, run)
  local said = ledger.entry(m, run, {
    event = "resolved", message = messages[how],
    owner = m.unfinished.owner, revision = m.unfinished.revision,
  })
  local ok, err = pcall(migrator.ledger.record, migrator.ledger, migrator.db, how, said)
  if ok then return end
  if not errors.is(err) or err.sqlstate ~= "22012" then error(err, 0) end
  local message = ("another session changed the journal of %s in the meantime"):format(m.label)
  errors.raise("lock", message, {
    file = m.path, hint = "nothing was changed here: check again with pgmig doctor",
  })
end

--- Settle what became of a migration with transaction=off.
-- @param migrator the migrator
-- @param emit fn(event)
-- @param choose fn(state) returns the migration (pgmig.state.compare)
-- @param how "done", "redo" or "restart"
-- @return the migration
-- @raise kinds "plan" when there is nothing to settle, "lock" while a run, or the statement, is at
--   work
function M.settle(migrator, emit, choose, how)
  return write(migrator, emit, function(found, run)
    local m = choose(found)
    if m.recorded_run == run then return m end
    check_unsettled(m, how)
    check_ended(migrator, m)
    record_settled(migrator, m, how, run)
    return m
  end)
end

return M
