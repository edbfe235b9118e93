--- What to do when an attempt fails for reasons that pass: wait and try again, or connect again.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local needed = require "pgmig.needed"
local usage = require "pgmig.db.usage"

local blockers = needed "db.blockers"
local orphan = needed "db.orphan"
local session = needed "db.session"

local M = {}

local MAX_LOSSES = 3 -- what ends its connection so often, without getting further, does so itself
local FIRST_PAUSE, LAST_PAUSE = 0.1, 2 -- seconds between attempts to connect
local FIRST_DELAY, LAST_DELAY = 0.2, 5 -- seconds before a migration is tried again

-- lock_not_available, deadlock_detected, serialization_failure (manual, appendix A): the
-- transaction is rolled back, and the same one may succeed later.
local passing = { ["55P03"] = true, ["40P01"] = true, ["40001"] = true }

-- ---- lost connections ------------------------------------------------------

--- Connect again until it works or the time is over.
-- @param err the error that the loss raised: raised when it does not work
local function connect_again(db, budget, deadline, err)
  local pause = FIRST_PAUSE
  while true do
    local ok, why = pcall(db.reconnect, db, deadline)
    if ok then return end
    if errors.is(why, "interrupted") then error(why, 0) end
    if core.now() + pause >= deadline then
      local detail = ("no new connection within %g s: %s"):format(budget,
        errors.is(why) and why.message or tostring(why))
      err.detail = err.detail and err.detail .. "\n" .. detail or detail
      error(err, 0)
    end
    db:sleep(pause * (0.5 + core.random()))
    pause = math.min(pause * 2, LAST_PAUSE)
  end
end

--- Whether an error means that the connection is gone, and not because somebody wanted that.
function M.is_loss(db, err)
  if not errors.is(err) or err.transaction then return false end -- its own code has closed it
  return err.kind ~= "interrupted" and not db.signal and db:is_lost()
end

--- Replace a lost connection. What the old one's server process still does is waited for, and
-- ended when it takes too long: nobody waits for its answer any more.
-- The session of the new one is what a run's migrations begin with.
-- @param db the connection
-- @param budget seconds to connect within; 0: do not try
-- @param err the error that the loss raised
-- @raise err, or kind "interrupted"
function M.reconnect(db, budget, err)
  if budget <= 0 then error(err, 0) end
  local lost, deadline = orphan.identity(db), core.now() + budget
  local ok, why
  repeat
    ok, why = pcall(db.watched_by, db, nil, function() -- what is asked here has a limit
      connect_again(db, budget, deadline, err)
      orphan.fence(db, lost)
      if db.session then session.restore(db, db.session) end
    end)
  until ok or why == err or core.now() >= deadline or not M.is_loss(db, why)
  if not ok then error(why, 0) end
end

local function persist(db, budget, fn)
  local losses = 0
  while true do
    local ok, result = pcall(fn)
    if ok then return result end
    losses = losses + 1
    if not M.is_loss(db, result) or losses > MAX_LOSSES then error(result, 0) end
    M.reconnect(db, budget, result)
  end
end

--- Call a function that reads or may be repeated, again with a new connection when it loses its
-- own.
-- @return what it returns
function M.persist(db, budget, fn) return usage.hold(db, persist, db, budget, fn) end

-- ---- a migration that failed -----------------------------------------------

local function recover_loss(step, err)
  local run = step.run
  if errors.is(err, "unknown") then run.doubt = err end
  step.losses = (step.losses or 0) + 1
  if step.losses > MAX_LOSSES then error(err, 0) end
  run.emit { type = "lost", migration = step.m, message = err.message }
  M.reconnect(run.db, run.reconnect, err)
end

--- How often a migration may be tried again: as its file says, else the run.
local function allowed_retries(step)
  local own = step.script:directive(step.section, "retries")
  return tonumber(own) or step.run.retries
end

--- How long to wait before another attempt, after so many.
local function delay_after(used)
  return math.min(FIRST_DELAY * 2 ^ used, LAST_DELAY) * (0.5 + core.random())
end

--- Call a function again when it fails for reasons that pass.
-- @param retries how often
-- @param tell fn(err, delay), before each pause
-- @return what it returns
function M.insist(db, retries, tell, fn)
  local used = 0
  while true do
    local ok, result = pcall(fn)
    if ok then return result end
    if used >= retries or db.signal or not (errors.is(result) and passing[result.sqlstate]) then
      error(result, 0)
    end
    local delay = delay_after(used)
    tell(result, delay)
    db:sleep(delay)
    orphan.sweep(db)
    used = used + 1
  end
end

local function recover_passing(step, err)
  local run = step.run
  local used = step.retries or 0
  local delay = delay_after(used)
  blockers.name(err, run.db:seen_blockers())
  if used >= allowed_retries(step) then error(err, 0) end
  local ctx = step:context { delay = delay, error = err, blockers = err.blockers }
  run.hooks:fire("retry", ctx)
  if ctx.stopped then error(err, 0) end
  step.retries = used + 1
  run.emit {
    type = "retry", migration = step.m, attempt = step.attempt, delay = ctx.delay,
    message = err.message, blockers = err.blockers,
  }
  run.db:sleep(ctx.delay)
  orphan.sweep(run.db)
end

local function recover(step, err)
  if M.is_loss(step.run.db, err) then return recover_loss(step, err) end
  if errors.is(err) and passing[err.sqlstate] and not step.run.db.signal then
    return recover_passing(step, err)
  end
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
-- @param step the migration; its run's `doubt` is an error of kind "unknown" as long as nobody has
--   found out whether the attempt took effect
-- @param err what its attempt raised
-- @raise err when another attempt would not help; kind "interrupted"
function M.recover(step, err)
  local ok, final = pcall(recover, step, err)
  if not ok then error(doubted(step.run.doubt, final), 0) end
end

return M
