--- Taking up a migration with transaction=off where an earlier attempt has left it: the journal
-- says which statements are done, and which one was under way.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local indexes = require "pgmig.indexes"
local ledger = require "pgmig.ledger"
local orphan = require "pgmig.orphan"

local M = {}

--- Nobody may still be at work on it.
local function wait_for_owner(step, row)
  if row.state ~= "running" then return end
  local ended = orphan.wait(step.run.db, {
    pid = row.pid, backend_start = row.backend_start, statement = row.statement,
    ours = row.owner:sub(1, #step.run.token) == step.run.token,
  }, step.run.lock_wait)
  if ended then return end
  errors.raise("lock", "an earlier run's statement is still at work on the server", {
    file = step.m.path, statement = row.statement,
    hint = ("wait for it, or end it: SELECT pg_terminate_backend(%s)"):format(row.pid or "PID"),
  })
end

--- Refuse to go on behind a statement that is not the one that was run.
local function check_unedited(step, row)
  for index, hash in ipairs(row.done) do
    local known, statement = pcall(step.script.statement, step.script, step.section, index)
    if not known or core.checksum(statement.sql) ~= hash then
      errors.raise("drift", ("statement %d was edited after it was run"):format(index), {
        file = step.m.path, line = known and statement.line or nil,
        hint = ("bring back its text, or give up what is done: pgmig resolve %s --restart")
          :format(step.m.shown),
      })
    end
  end
end

local function unprovable(step, row)
  errors.raise("unknown", ("nobody knows whether statement %d has taken effect")
    :format(#row.done + 1), {
    file = step.m.path, statement = row.statement,
    hint = ("look into the database, then: pgmig resolve %s --done, or --redo")
      :format(step.m.shown),
  })
end

--- What is safe to run a second time, whatever became of the first.
local repeatable_kinds = {
  VACUUM = true, ANALYZE = true, ["ALTER SYSTEM"] = true, CHECKPOINT = true, CLUSTER = true,
  ["DISCARD ALL"] = true, ["REINDEX"] = true,
}

--- Find out about the statement under way: true when it is done. What it has left is removed.
local function examine(step, row)
  local text = "-- pgmig: transaction=off\n" .. row.statement
  local ok, script = pcall(core.parse_script, text, step.m.path)
  local statement = ok and script:statement("up", 1)
  if not statement then return unprovable(step, row) end
  local change = statement.index_change
  if change and change.concurrently then
    return indexes.settle(step.run.db, change, row.existed, function(name)
      step.run.emit {
        type = "warning", migration = step.m,
        message = ("dropped the INVALID index %s that an earlier attempt has left"):format(name),
      }
    end)
  end
  local first_word = statement.kind:match "^%S+"
  if row.state == "failed" or repeatable_kinds[first_word] or repeatable_kinds[statement.kind] then
    return false
  end
  return unprovable(step, row)
end

--- Where a migration has to begin.
-- @param step the step of a run, with its script and section
-- @return nil for a first attempt; else { taken_from = owner, done = statements, statement = its
--   number is done + 1 }
-- @raise kinds "lock" when an earlier attempt is still at work, "drift" when a statement that is
--   done was edited, "unknown" when nobody can tell what became of one
function M.prepare(step)
  local key = ledger.key(step.m)
  local row = step.run.ledger:journal(step.run.db)[key]
  if not row then return nil end
  if row.direction ~= step.direction then
    errors.raise("plan", ("an unfinished %s of this migration is in the journal")
      :format(row.direction), {
      file = step.m.path, hint = ("run pgmig %s, or: pgmig resolve %s --restart")
        :format(row.direction, step.m.shown),
    })
  end
  wait_for_owner(step, row)
  row = step.run.ledger:journal(step.run.db)[key] -- the owner may have got further
  if not row then return nil end
  check_unedited(step, row)
  local done = #row.done
  if row.running and examine(step, row) then
    step.run.ledger:record(step.run.db, "done", step:entry {
      event = "resolved", checksum = step:checksum(),
      message = ("statement %d had taken effect"):format(done + 1),
    })
    row.done[done + 1] = row.running
    check_unedited(step, row)
    done = done + 1
  end
  return { taken_from = row.owner, done = done }
end

return M
