--- The one loop that steps the core and waits, for one connection; a driver does the waiting.
local core = require "pgmig.core"
local drivers = require "pgmig.drivers"
local errors = require "pgmig.errors"

local M = {}

-- PUC Lua 5.1 cannot yield through pcall.
local can_yield = _VERSION ~= "Lua 5.1" or rawget(_G, "jit") ~= nil

--- The driver of what is asked beside a request under way: it gives way while it waits; where
-- the language cannot, the request waits for it.
M.aside = can_yield and drivers.coroutine or drivers.blocking

local CANCEL_INTERVAL = 0.5 -- seconds between two attempts to stop what runs on the server
local AGAIN = 1 -- seconds until a connection that was given up is given up again

--- The code of an error that only means: no answer came in time.
M.NO_ANSWER = "no_answer"

local signal_names = { [2] = "SIGINT", [15] = "SIGTERM" }

--- What is said of a signal.
function M.interruption(signal)
  return "interrupted by " .. (signal_names[signal] or ("signal %d"):format(signal))
end

--- Raise an interruption; the connection may be closed.
function M.raise_interrupted(signal)
  errors.raise("interrupted", M.interruption(signal), { signal = signal })
end

--- Wait for some time, without a connection.
-- @param seconds how long
-- @raise kind "interrupted"
function M.pause(seconds)
  local signal = drivers.blocking(nil, nil, core.now() + seconds)
  if signal then errors.raise("interrupted", "interrupted while waiting", { signal = signal }) end
end

-- ---- limits ------------------------------------------------------------------

--- What differs when data has gone or come meanwhile.
function M.traffic(self) return ("%d %d"):format(self.handle:traffic()) end

--- How long an operation may take: { at = a time of `core.now()` }, with `patience` in seconds when
-- it begins again with each sign of life.
local function new_limit(self, given)
  if type(given) == "number" then return { at = given } end
  if given and given.at then return given end
  if not given then return self.give_up_at and { at = self.give_up_at } end
  return {
    at = core.now() + given.patience, patience = given.patience, traffic = M.traffic(self),
  }
end

local function has_passed(self, limit)
  local now = core.now()
  if now < limit.at then return false end
  if not limit.patience then return true end
  local before = limit.traffic
  limit.at, limit.traffic = now + limit.patience, M.traffic(self)
  return limit.traffic == before
end

--- The deadline has passed. What is under way ends as if the connection were lost.
local function expire(self)
  if not self.connecting then return self.handle:abandon() end
  self.handle:close()
  errors.raise("connect", "the server did not answer in time", {
    code = M.NO_ANSWER,
    hint = "is it running and reachable? connect_timeout=SECONDS in the connection string, or "
      .. "PGCONNECT_TIMEOUT, allows more time",
  })
end

-- ---- signals -----------------------------------------------------------------

--- Stop what runs on the server: again after a while, when it was between two statements.
local function cancel(self)
  self.cancel_at = core.now() + CANCEL_INTERVAL
  self.handle:cancel()
end

--- A signal came: stop what runs on the server, which has to answer soon. A second signal, or one
-- that comes while connecting or to an auxiliary connection, closes the connection.
local function interrupt(self, signal)
  if self.signal or self.connecting or self.auxiliary then
    self.handle:close()
    M.raise_interrupted(signal)
  end
  self.signal = signal
  self.give_up_at = core.now() + self.response_timeout
  if self.applying then self.applying:stop() end
  cancel(self)
end

-- ---- the loop ----------------------------------------------------------------

--- When to wake up at the latest: a time of `core.now()`; nil: never.
local function wake(self, limit, watch)
  local at = limit and limit.at or watch and watch.due or nil
  if self.signal and self.cancel_at and at then return math.min(at, self.cancel_at) end
  return at
end

local function step(self, observer)
  local want = self.handle:step()
  if observer then observer() end
  return want
end

--- Step the operation under way to its end.
-- @param self the connection
-- @param given how long that may take: a time of `core.now()`; { at = it }, which the observer may
--   change; or { patience = seconds without any sign of life }; nil: any time, while its watch,
--   where it has one, looks after it
-- @param observer called after each step; nil
-- @raise kinds "interrupted", and "connect" when connecting takes too long
function M.run(self, given, observer)
  local limit = new_limit(self, given)
  local watch = not limit and self.watch or nil
  if watch then watch:begin() end
  local want = step(self, observer)
  while want do
    local signal = self.wait(self.handle, want, wake(self, limit, watch))
    if signal then
      interrupt(self, signal)
      limit, watch = { at = self.give_up_at }, nil
    end
    want = step(self, observer)
    if want and limit and has_passed(self, limit) then
      expire(self)
      limit, self.give_up_at = { at = core.now() + AGAIN }, nil
      want = step(self, observer)
    elseif want and self.signal and self.cancel_at and core.now() >= self.cancel_at then
      cancel(self)
    elseif want and watch then
      watch:turn()
    end
  end
  if self.watch then self.watch:settle() end
end

return M
