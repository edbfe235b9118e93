--- Another attempt at a migration: with a new connection where the old one was lost, after a pause
-- where the failure passes.
local blockers = require "pgmig.db.blockers"
local errors = require "pgmig.errors"
local recovery = require "pgmig.db.recovery"

local M = {}

local function recover_loss(run, step, err)
  if errors.is(err, "unknown") then run:doubts(err) end
  if step:count "losses" > recovery.MAX_LOSSES then error(err, 0) end
  run.emit { type = "lost", migration = step.m, message = err.message }
  recovery.reconnect(run.db, run.reconnect, err)
end

--- How often a migration may be tried again: as its file says, else the run.
local function allowed_retries(run, step)
  return tonumber(step.script:directive(step.section, "retries")) or run.retries
end

local function recover_passing(run, step, err)
  local used = step.retries
  local delay = recovery.delay_after(used)
  blockers.name(err, run.db:seen_blockers())
  if used >= allowed_retries(run, step) then error(err, 0) end
  local ctx = step:context { delay = delay, error = err, blockers = err.blockers }
  run.hooks:fire("retry", ctx)
  if ctx.stopped then error(err, 0) end
  step:count "retries"
  run.emit {
    type = "retry", migration = step.m, attempt = step.attempt, delay = ctx.delay,
    message = err.message, blockers = err.blockers,
  }
  recovery.pause(run.db, ctx.delay)
end

local function recover(run, step, err)
  if recovery.is_loss(run.db, err) then return recover_loss(run, step, err) end
  if recovery.is_passing(err) and not run.db.signal then return recover_passing(run, step, err) end
  error(err, 0)
end

-- What ends an attempt without an answer to its claim, which would tell about the one before.
local tells_nothing = { connect = true, unknown = true, lock = true }

--- What nobody knows of an earlier attempt is not known because a later one has failed.
local function doubted(doubt, err)
  if not doubt or doubt == err or not (errors.is(err) and tells_nothing[err.kind]) then
    return err
  end
  local parts = { doubt.detail }
  parts[#parts + 1] = "later: " .. err.message
  parts[#parts + 1] = err.detail
  doubt.detail = table.concat(parts, "\n")
  return doubt
end

--- Get ready for another attempt at a migration.
-- @param run its run, whose `doubt` is an error of kind "unknown" as long as nobody has found out
--   whether an attempt took effect
-- @param step the migration
-- @param err what its attempt raised
-- @raise err when another attempt would not help; kind "interrupted"
function M.recover(run, step, err)
  local ok, final = pcall(recover, run, step, err)
  if not ok then error(doubted(run.doubt, final), 0) end
end

return M
