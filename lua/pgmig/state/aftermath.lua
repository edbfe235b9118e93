--- Runs that have not told how they ended: killed, or without a server. The next one finds their
-- rows (core/ledger/journal.h), waits for what they may still have under way, and writes down what
-- the tables say became of it.
local core = require "pgmig.core"
local ledger = require "pgmig.state.ledger"

local M = {}

local PATIENCE = 2 -- seconds; a server process notices within one that its client is gone
local PAUSE = 0.05 -- seconds between two looks

local AT_WORK = [[
  SELECT 1 FROM pg_catalog.pg_stat_activity a
  WHERE a.pid OPERATOR(pg_catalog.=) $1::pg_catalog.int4
    AND a.state OPERATOR(pg_catalog.<>) 'idle'
    AND a.backend_start OPERATOR(pg_catalog.=) $2::pg_catalog.timestamptz
    AND $3::pg_catalog.timestamptz OPERATOR(pg_catalog.=) pg_catalog.pg_postmaster_start_time()]]

local function is_at_work(db, left)
  return db:ask_row("? _:int", AT_WORK, left.pid, left.backend_start, left.server_start) ~= nil
end

--- Wait, though not for long, until nobody works for these runs any more.
-- @param db a connection
-- @param runs of `ledger:read`
-- @return a set of the runs whose server process still does
function M.wait(db, runs)
  local deadline, at_work = core.now() + PATIENCE, {}
  for _, left in ipairs(runs) do
    while left.pid and is_at_work(db, left) do
      if core.now() >= deadline then
        at_work[left.run] = true
        break
      end
      db:sleep(PAUSE)
    end
  end
  return at_work
end

--- The migration that was under way: the first behind the last one that the history has of the run.
-- @return { id, name } of its plan; nil when the history says how it went, or there was none
local function under_way(left, marks)
  local at = 1
  for i, m in ipairs(left.plan) do
    if marks.run[ledger.key(m)] == left.run then at = i + 1 end
  end
  local last = left.plan[at - 1]
  local event = last and marks.event[ledger.key(last)]
  if ledger.is_failure(event) then return nil end
  return left.plan[at]
end

--- What became of a migration, as far as the tables say.
local function outcome(left, m, read, at_work)
  local row = read.journal[ledger.key(m)]
  if row and row.owner:sub(1, #left.run) == left.run then
    return "its statements done, according to the journal: " .. #row.done
  end
  if at_work then return ("server process %d is still working on it"):format(left.pid) end
  local there = m.id and read.rows.there[m.id] ~= nil
  if m.id and there == (left.direction == "up") then return "another run has completed it since" end
  -- behind a pooler nobody sees who works
  if not left.pid then return "it has not taken effect yet" end
  return "it was rolled back, if it had begun"
end

--- What is said of a run.
-- @param left one of `ledger:read`
-- @param read what that returned
-- @param at_work whether its server process still works
-- @return the sentence
-- @return { id, name } of the migration that was under way; both nil when there was none
function M.describe(left, read, at_work)
  local m = under_way(left, read.marks)
  if not m then return nil end
  local sentence = "a run on %s (%s, user %s) that started at %s did not record how it ended: %s"
  return sentence:format(left.host or "?", left.program or "?", left.db_user, left.started_at,
    outcome(left, m, read, at_work)), m
end

--- What a migration of a run's plan is called.
function M.label(m)
  if not m.id then return m.name end
  return ("0"):rep(3 - #m.id) .. m.id .. "_" .. m.name
end

--- Write down, and tell, how runs have ended, with the lock held.
-- @param migrator of pgmig.migrator
-- @param read what `ledger:read` has returned since `wait`
-- @param at_work what `wait` has returned
-- @param emit fn(event)
function M.settle(migrator, read, at_work, emit)
  for _, left in ipairs(read.left) do
    local message, m = M.describe(left, read, at_work[left.run])
    if m then
      migrator.ledger:record(migrator.db, "none", ledger.entry(m, left.run, {
        event = "interrupted", message = message, host = left.host, program = left.program,
      }))
      emit { type = "warning", message = M.label(m) .. ": " .. message }
    end
    migrator.ledger:end_run(migrator.db, left.run)
  end
end

return M
