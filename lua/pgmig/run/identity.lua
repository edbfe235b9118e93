--- Whose transaction it is. Code that runs within a migration (a Lua migration, a hook) may end the
-- transaction and begin another one: the server knows them apart, the connection's state does not.
local errors = require "pgmig.errors"
local source = require "pgmig.files.source"

local M = {}

--- Whether the migration's transaction is still under way.
-- @param db the connection, which others have used
-- @param id of the transaction, as txid_current() says it
-- @return "same", "ended", or "failed": a statement in it has failed, and it cannot be asked which
--   one it is
function M.state(db, id)
  local status = db:transaction_status()
  if status ~= "open" then return status == "failed" and "failed" or "ended" end
  local now = db:ask_row("1 id:text?",
    "SELECT pg_catalog.txid_current_if_assigned()::pg_catalog.text AS id")
  return now.id == id and "same" or "ended"
end

--- What became of a transaction: "committed", "aborted", "in progress" (prepared), nil: the server
-- has forgotten.
function M.fate(db, id)
  return db:ask_row("1 fate:text?",
    "SELECT pg_catalog.txid_status($1::pg_catalog.int8) AS fate", id).fate
end

local PREPARED = "%s is prepared for two-phase commit and holds its locks until it is committed or "
  .. "rolled back: the view pg_prepared_xacts lists it"

-- What that means for the migration, by fate and direction.
local meanings = {
  committed = {
    up = "what it did up to that point is kept, including its tracking row: %s counts as applied",
    down = "what it did up to that point is kept, and its tracking row is deleted: %s counts as "
      .. "not applied",
    repeatable = "what it did up to that point is kept; %s is not recorded",
  },
  aborted = {
    up = "its tracking row was rolled back: %s is not applied, but what it committed itself is "
      .. "kept",
    down = "the rollback of %s was undone, but what it committed itself is kept",
  },
  ["in progress"] = {
    up = PREPARED, down = PREPARED, repeatable = PREPARED,
  },
}

local function meaning(step, fate)
  local of_fate = meanings[fate]
  if not of_fate then return nil end
  local text = step.m.repeatable and of_fate.repeatable or of_fate[step.direction]
  return text:format(step.m.label)
end

--- Whose code it is, and the kind of its errors.
local function whose(step)
  if source.fn(step.m, step.direction) then return "the migration's own code", "lua" end
  return "a hook", "hook"
end

--- The error of a migration whose code has closed the connection.
function M.closed(step)
  local code, kind = whose(step)
  return errors.new(kind, code .. " closed the migration's connection", {
    file = step.m.path, transaction = "unknown",
    detail = "what it had not committed is rolled back",
  })
end

--- The error of a migration whose code has ended its transaction.
-- @param step the step (pgmig.run.step)
-- @param fate of the transaction
-- @param raised what the code has raised after that; nil
function M.error(step, fate, raised)
  local code, kind = whose(step)
  local detail = meaning(step, fate) or "its outcome is not known"
  if errors.is(raised, "interrupted") then
    raised.detail, raised.transaction = detail, fate or "unknown"
    return raised
  end
  if raised then detail = detail .. "; then it raised: " .. tostring(raised) end
  return errors.new(kind, code .. " ended the migration's transaction", {
    file = step.m.path, detail = detail, transaction = fate or "unknown", cause = raised,
    hint = "inspect the database, and complete the migration or roll it back by hand; pgmig begins "
      .. "and commits the transaction itself, and `transaction = false` runs a Lua migration "
      .. "without one",
  })
end

return M
