--- Waiting inside an nginx worker, which goes on serving requests meanwhile.
-- A connection stays in the worker's own Lua; only the wait for its socket goes to a thread of a
-- pool (`thread_pool`), a slice at a time, one at most. Without the pool, or while the thread is
-- taken, the socket is looked at between naps.
local core = require "pgmig.core"

local M = {}

-- All times in seconds.
local SLICE = 0.25 -- a worker that ends waits for its threads
local LOOKUP = 10 -- how long an answer to the look-up of a name is waited for
local LOOKUP_END = 90 -- when the resolver, which cannot be stopped, has given up
local SILENCE = 30 -- how long a name is not asked for again that had no answer
local SPIN = 0.0002 -- the worker stands still for so long, rather than nap
local FIRST_NAP, LAST_NAP = 0.001, 0.016 -- never 0: nginx warns of that each time
local BUDGET = 0.002 -- a longer stretch of work gives way
local ABORT = 1 -- a worker that ends waits for so long until its statements are cancelled

local NO_ANSWER = "no answer in time"
local TERMINATED = 15 -- how a driver says that a wait is to end: the number of SIGTERM

local handles = setmetatable({}, { __mode = "k" }) -- of the open connections
local pool -- the name of the thread pool; nil: there is none
local taken_until = 0 -- when the thread, if it has not come back, is taken no more
local silent = {} -- names that had no answer, and until when nobody asks again
local resumed_at = 0 -- when the event loop gave the worker to us

--- Use a thread pool, where this nginx can (0.10.21 of its Lua module).
-- @param name of the directive `thread_pool`
function M.use(name) pool = ngx.run_worker_thread and name or nil end

local function nap(seconds)
  ngx.sleep(math.max(seconds, FIRST_NAP))
  resumed_at = core.now()
end

--- Let other requests have the worker, where it was ours for long: called between pieces of work.
function M.breathe()
  if core.now() - resumed_at > BUDGET then nap(FIRST_NAP) end
end

local function is_free() return pool ~= nil and core.now() >= taken_until end

--- The pool cannot be used: from now on waits are naps.
local function do_without(why)
  local remedy = tostring(why):find("not found", 1, true)
    and "; add to the configuration, outside of the http block: thread_pool " .. pool
    .. " threads=1;" or ""
  ngx.log(ngx.WARN, "pgmig: ", why, ": waits are naps now", remedy)
  pool = nil
end

--- Call a function of the core in the thread.
-- @param limit seconds after which the thread is taken no more
-- @return true and what the function returns; false when there is no thread to be had
local function in_thread(limit, ...)
  if not is_free() then return false end
  taken_until = core.now() + limit
  local ok, result, more = ngx.run_worker_thread(pool, "pgmig.core", ...)
  taken_until, resumed_at = 0, core.now()
  if ok then return true, result, more end
  do_without(result)
  return false
end

--- Look at the socket between naps until it is ready or the deadline has passed.
local function nap_until_ready(handle, want, deadline)
  local pause = FIRST_NAP
  while not core.wait_fd(handle:fd(), want, SPIN) and core.now() < deadline do
    nap(pause)
    pause = math.min(pause * 2, LAST_NAP)
  end
  M.breathe() -- what is always ready at once would never nap
end

local function wait_for_socket(handle, want, deadline)
  handles[handle] = true
  local seconds = math.min(SLICE, math.max(0, deadline - core.now()))
  if in_thread(2 * SLICE, "wait_fd", handle:fd(), want, seconds) then return end
  nap_until_ready(handle, want, core.now() + seconds)
end

--- Make a driver (pgmig.drivers).
-- @param leave fn(): whether a wait that is no server's work, such as for the lock, is to end
-- @return wait(handle, want, deadline)
function M.waiter(leave)
  return function(handle, want, deadline)
    if handle then return wait_for_socket(handle, want, deadline or core.now() + SLICE) end
    if leave() then return TERMINATED end
    nap(math.min(SLICE, deadline - core.now()))
  end
end

--- Call a function, for so many seconds at most.
-- @return true and what it returns; false when it was not back in time
local function within(seconds, fn, ...)
  local result
  local function call(...) result = { fn(...) } end
  local clock = ngx.thread.spawn(function() ngx.sleep(seconds) end)
  local caller = ngx.thread.spawn(call, ...)
  ngx.thread.wait(caller, clock)
  ngx.thread.kill(result and clock or caller)
  if result then return true, unpack(result, 1, 3) end
  return false
end

--- Look a name up, in the thread.
-- @return a list of addresses; or nil, why, and a hint
function M.resolve(name)
  if name == "localhost" then return core.resolve(name) end -- asks nobody
  local late = core.now() + LOOKUP
  if silent[name] and core.now() < silent[name] then return nil, NO_ANSWER end
  while pool and not is_free() and core.now() < late do nap(FIRST_NAP) end
  local back, called, list, why = within(LOOKUP, in_thread, LOOKUP_END, "resolve", name)
  if called then return list, why end
  if not back or pool then
    silent[name] = core.now() + SILENCE
    return nil, NO_ANSWER
  end
  return nil, "the worker would stand still for it", "add to the configuration, outside of the "
    .. "http block: thread_pool pgmig threads=1; or name the address too: hostaddr=192.0.2.1"
end

--- Whether the server works for a connection.
local function is_busy(handle)
  return handle:is_open() and not handle:is_lost() and handle:transaction_status() == "none"
end

--- Wait until requests to cancel have reached the server, or the network is found too slow.
local function wait_for_cancels(list)
  local limit = core.now() + ABORT
  for _, handle in ipairs(list) do
    while handle:cancelling() and core.now() < limit do core.poll({}, {}, FIRST_NAP) end
  end
end

--- Cancel what runs, and close: the worker ends now, and this may not yield.
function M.abort()
  local cancelled = {}
  for handle in pairs(handles) do
    if is_busy(handle) then
      handle:cancel()
      cancelled[#cancelled + 1] = handle
    end
  end
  wait_for_cancels(cancelled)
  for handle in pairs(handles) do handle:close() end
end

return M
