--- Taking up a migration with transaction=off where an earlier attempt has left it: the journal
-- says which statements are done, and which one was under way. First the row gets this attempt as
-- its owner, if it is still as it was read; only then is anything decided or removed. A plan
-- decides in the same way, and removes nothing.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local failures = require "pgmig.state.failure"
local indexes = require "pgmig.state.indexes"
local ledger = require "pgmig.state.ledger"
local orphan = require "pgmig.db.orphan"
local source = require "pgmig.files.source"
local texts = require "pgmig.texts"

local unpack = unpack or table.unpack

local M = {}

local PAUSE, SESSION_LIMIT = 0.05, 2 -- seconds: see wait_for_session
local MAX_RACES = 20 -- others that change the row between a look and taking it over

--- Nobody may still be at work on it.
local function wait_for_owner(step, row)
  if row.state ~= "running" then return end
  row.ours = row.owner:sub(1, #step.run.token) == step.run.token
  if orphan.wait(step.run.db, row, step.run.lock_wait) then return end
  errors.raise("lock", "a statement of an earlier run is still running on the server", {
    file = step.m.path, statement = row.statement,
    hint = ("wait for it, or terminate it: SELECT pg_catalog.pg_terminate_backend(%s)")
      :format(row.pid or "PID"),
  })
end

local function check_direction(step, row)
  if row.direction == step.direction then return end
  errors.raise("plan", ("the journal has an unfinished %s of this migration")
    :format(row.direction), {
    file = step.m.path, hint = ("run pgmig %s, or: pgmig resolve %s --restart")
      :format(row.direction, step.m.shown),
  })
end

--- Where the former owner's COMMIT was waited for, what its session has behind it is written next,
-- in the same message: it comes at once, unless its server process has ended in between.
local function wait_for_session(step, row)
  local deadline = core.now() + SESSION_LIMIT
  while not row.session_known and #row.done > 0 and core.now() < deadline do
    step.run.db:sleep(PAUSE)
    row = step.run.ledger:journal(step.run.db)[row.migration] or row
  end
  return row
end

local function refuse(step)
  errors.raise("lock", "another run is at work on this migration", {
    file = step.m.path, hint = "wait for it, then run again: what it has applied is skipped",
  })
end

--- Take the row over, once the statement under way has ended.
-- @return the row, which is ours; nil when there is none
local function take(step)
  local run, key = step.run, ledger.key(step.m)
  for _ = 1, MAX_RACES do
    local row = run.ledger:journal(run.db)[key]
    if not row then return nil end
    check_direction(step, row)
    wait_for_owner(step, row)
    local taken = run.ledger:take(run.db, step:entry {
      owner = row.owner, revision = row.revision,
    }, step:owner())
    if taken then return wait_for_session(step, taken) end
  end
  refuse(step)
end

--- Refuse to go on behind a statement that is not the one that was run.
local function check_unedited(step, row)
  local index, line = failures.edited(step.script, step.section, row.done)
  if not index then return end
  errors.raise("drift", ("statement %d was edited after it was run"):format(index), {
    file = step.m.path, line = line,
    hint = ("restore its text, or discard the progress so far: pgmig resolve %s --restart")
      :format(step.m.shown),
  })
end

--- Refuse to go on where the rest may need what is gone.
local function check_ground(step, row)
  local obstacle = ledger.obstacle(row)
  if not obstacle then return end
  local _, count = step.script:statement(step.section, 1)
  if #row.done >= count then return end
  if step.failure then error(step.failure, 0) end -- of this run, which has tried again
  local version = step.m.shown
  errors.raise("plan", ("%s stopped at statement %d, and %s"):format(step.m.label, #row.done + 1,
    obstacle), {
    file = step.m.path, hint = ("if that does no harm: pgmig resolve %s --redo; otherwise finish "
      .. "it by hand and run pgmig up --fake %s, or undo it by hand and run pgmig resolve %s "
      .. "--restart")
      :format(version, version, version),
  })
end

local function unprovable(step, row)
  local sentence = row.state == "partial"
    and "statement %d failed, and what it had committed before that is not known"
    or "it is not known whether statement %d took effect"
  errors.raise("unknown", sentence:format(#row.done + 1), {
    file = step.m.path, statement = row.statement,
    line = failures.line_of(step.script, step.section, row), text = texts.excerpt(row.statement),
    hint = ("inspect the database, then: pgmig resolve %s --done, or --redo")
      :format(step.m.shown),
  })
end

--- What pgmig.state.indexes has to know of a statement.
local function index_case(db, row, change)
  return {
    db = db, change = change, relation = row.relation, target = row.target,
    existed = row.existed, invalid = row.invalid, tag = orphan.tag(row.owner),
    role = row.role ~= "none" and row.role or nil, path = row.path, failed = row.state == "failed",
  }
end

--- Find out about the statement under way: true when it is done.
local function examine(step, row, actor)
  local how, change = failures.settles(row, step.m.path)
  if how == "again" then return false end
  local done
  if how == "index" then done = actor.settle_index(row, change) end
  if done == nil then unprovable(step, row) end
  return done
end

--- Decide where a migration goes on.
-- @param step { m, script, section, direction; failure = of this run, which has tried again }
-- @param row of the journal, changed with what is found out
-- @param actor { settle_index = fn(row, change), note_done = fn(row), note_undone = fn(row) }
local function decide(step, row, actor)
  check_unedited(step, row)
  if row.running and examine(step, row, actor) then
    actor.note_done(row)
    check_unedited(step, row)
  elseif row.running then
    actor.note_undone(row)
  end
  check_ground(step, row)
end

-- ---- for a run ---------------------------------------------------------------

--- Find out about an index; what it has left INVALID is removed.
local function settle_index(step, row, change)
  local case = index_case(step.run.db, row, change)
  case.limit = step.run.lock_wait
  function case.set_aside(index)
    local entry = step:entry { owner = row.owner, revision = row.revision }
    step.run.ledger:set_aside(step.run.db, entry, index)
  end
  function case.tell(message)
    step.run.emit { type = "warning", migration = step.m, message = message }
  end
  return indexes.settle(case)
end

--- The statement under way has turned out to be done.
local function note_done(step, row)
  local number = #row.done + 1
  step.run.ledger:record(step.run.db, "done", step:entry {
    event = "resolved", checksum = step:checksum(), owner = row.owner, revision = row.revision,
    message = ("statement %d had taken effect"):format(number),
  })
  row.revision, row.done[number] = row.revision + 1, row.running
end

--- It has turned out not to be done, or may be done twice.
local function note_undone(step, row)
  if not ledger.is_unknown(row) then return end -- the server had said that it failed
  step.run.ledger:record(step.run.db, "none", step:entry {
    event = "resolved", checksum = step:checksum(),
    message = ("statement %d had not taken effect, or can safely run twice: it runs again"):format(
      #row.done + 1),
  })
end

--- What a run does about what it finds out.
local function runner(step)
  return {
    settle_index = function(row, change) return settle_index(step, row, change) end,
    note_done = function(row) note_done(step, row) end,
    note_undone = function(row) note_undone(step, row) end,
  }
end

--- Whether an attempt of it has failed half-way, as the history says.
function M.has_failed_half_way(m)
  if not m.failure then return false end
  local transactional = source.is_transactional(m, "up")
  source.forget(m)
  return not transactional
end

--- Refuse to make a journal anew that is gone and would say how far a migration has come.
-- @param list all migrations that there are
-- @raise kind "unknown"
function M.check_left(list)
  for _, m in ipairs(list) do
    if M.has_failed_half_way(m) then
      errors.raise("unknown", ("the journal, which recorded the progress of %s, no longer "
        .. "exists"):format(
        m.label), {
        file = m.path, migration = m.label,
        hint = ("find out which of its statements are done, undo them or remove them from the "
          .. "file, then: pgmig repair %s"):format(m.shown),
      })
    end
  end
end

--- Take over a migration that somebody has finished by hand.
-- @return { revision = of the journal's row }; nil when there is none
-- @raise kind "lock" when an earlier attempt is still at work
function M.close(step)
  local row = take(step)
  return row and { revision = row.revision }
end

--- Take the migration over, and find out where it has to begin.
local function find_start(step)
  local row = take(step)
  if not row then return nil end
  decide(step, row, runner(step))
  return { revision = row.revision, done = #row.done }
end

-- The row is not as it was read; the index is not.
local outdated = { ["22012"] = true, ["2201E"] = true }

--- Where a migration has to begin.
-- @param step the step of a run, with its script and section
-- @return nil for a first attempt; else { revision = of the journal's row, done = statements }
-- @raise kinds "lock" when an earlier attempt is still at work, "drift" when a statement that is
--   done was edited, "unknown" when nobody can tell what became of one
function M.prepare(step)
  for _ = 1, MAX_RACES do
    local ok, start = pcall(find_start, step)
    if ok then return start end
    if not (errors.is(start) and outdated[start.sqlstate]) then error(start, 0) end
    step.run:check_lock() -- without it, whoever is first would be taken over again
  end
  refuse(step)
end

-- ---- for a plan --------------------------------------------------------------

--- Only look, and note it.
local function looker(db, found)
  return {
    settle_index = function(row, change)
      local done, left, finish = indexes.look(index_case(db, row, change))
      for _, index in ipairs(done == false and left or {}) do
        found.drops[#found.drops + 1] = index.qualified
      end
      found.finish = finish and finish.sql
      return done
    end,
    note_done = function(row) row.done[#row.done + 1] = row.running end,
    note_undone = function() end,
  }
end

local function copy_of(row)
  local copy = {}
  for key, value in pairs(row) do copy[key] = value end
  copy.done = { unpack(row.done) }
  return copy
end

-- What a run is refused with.
local refusals = { drift = true, lock = true, plan = true, unknown = true }

--- Where a run would take up a migration that was left half-way, as it is now.
-- @param db a connection
-- @param step { m, script, section, direction }
-- @return { done = statements, drops = INVALID indexes that are dropped first, finish = SQL that
--   completes the last one of those done, or nil, problem = the error that a run would raise, or
--   nil, unsure = why it was not to be seen what a run would find, or nil }; nil: nothing is left
-- @raise what is no answer
function M.foresee(db, step)
  local left = step.m.unfinished
  if not left then return nil end
  local found, row = { drops = {}, done = left.done }, copy_of(left.row)
  if row.state == "running" and orphan.is_busy(db, row) then
    found.unsure = "it is still running on the server, and a run waits for its end"
    return found
  end
  local ok, err = pcall(function()
    check_direction(step, row)
    decide(step, row, looker(db, found))
  end)
  found.done = #row.done
  if ok then return found end
  if errors.is(err, "sql") then -- a standby, where no empty twin of the table can be made
    found.unsure = err.message
  elseif errors.is(err) and refusals[err.kind] then
    found.problem = err
  else
    error(err, 0)
  end
  return found
end

return M
