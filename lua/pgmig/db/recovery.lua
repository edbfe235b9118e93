--- What to do when an attempt fails for reasons that pass: wait and try again, or connect again.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local needed = require "pgmig.needed"

local orphan = needed "db.orphan"
local session = needed "db.session"

local M = {}

--- What ends its connection so often, without getting further, does so itself.
M.MAX_LOSSES = 3

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
    if not M.is_loss(db, result) or losses > M.MAX_LOSSES then error(result, 0) end
    M.reconnect(db, budget, result)
  end
end

--- Call a function that reads or may be repeated, again with a new connection when it loses its
-- own.
-- @return what it returns
function M.persist(db, budget, fn) return db:hold(persist, db, budget, fn) end

-- ---- what may be tried again --------------------------------------------------

--- Whether an error passes: the same may succeed later.
function M.is_passing(err) return errors.is(err) and passing[err.sqlstate] == true end

--- How many seconds to wait before another attempt, after so many.
function M.delay_after(used)
  return math.min(FIRST_DELAY * 2 ^ used, LAST_DELAY) * (0.5 + core.random())
end

--- Wait before another attempt, and end what is in its way by then.
-- @param seconds how long
function M.pause(db, seconds)
  db:sleep(seconds)
  orphan.sweep(db)
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
    if used >= retries or db.signal or not M.is_passing(result) then error(result, 0) end
    local delay = M.delay_after(used)
    tell(result, delay)
    M.pause(db, delay)
    used = used + 1
  end
end

return M
