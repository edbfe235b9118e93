--- Waiting inside an nginx worker, which goes on serving requests meanwhile.
-- A connection stays in the worker's own Lua; only the wait for its socket goes to a thread of a
-- pool (`thread_pool`), a slice at a time, one at most. Without the pool, or while the thread is
-- taken, the socket is looked at between naps.
local core = require "pgmig.core"
local log = require "pgmig.nginx.log"

local M = {}

-- All times in seconds.
local SLICE = 0.25 -- a worker that ends waits for its threads
local SPIN = 0.0002 -- the worker stands still for so long, rather than nap
local FIRST_NAP, LAST_NAP = 0.001, 0.016 -- never 0: nginx warns of that each time
local BUDGET = 0.002 -- a longer stretch of work gives way
local ABORT = 1 -- a worker that ends waits for so long until its statements are cancelled

local TERMINATED = 15 -- how a driver says that a wait is to end: the number of SIGTERM

local handles = setmetatable({}, { __mode = "k" }) -- of the open connections
local pool -- the name of the thread pool; nil: there is none
local taken_until = 0 -- when the thread, if it has not come back, is taken no more
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
    and "; add to the configuration, outside the http block: thread_pool " .. pool
    .. " threads=1;" or ""
  log.write("warn", ("%s: waiting by polling from now on%s"):format(tostring(why), remedy))
  pool = nil
end

--- Call a function of the core in the thread.
-- @param limit seconds after which the thread is taken no more
-- @return whether it was called: there may be no thread to be had
local function in_thread(limit, ...)
  if not is_free() then return false end
  taken_until = core.now() + limit
  local ok, why = ngx.run_worker_thread(pool, "pgmig.core", ...)
  taken_until, resumed_at = 0, core.now()
  if not ok then do_without(why) end
  return ok
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
  local seconds = math.min(SLICE, math.max(0, deadline - core.now()))
  if in_thread(2 * SLICE, "wait_fd", handle:fd(), want, seconds) then return end
  nap_until_ready(handle, want, core.now() + seconds)
end

--- Whether it is a connection, not the look-up of a name.
local function is_connection(handle) return handle ~= nil and handle.cancel ~= nil end

--- Whether a server may be at work: it is no wait for a lock, an address or a connection.
local function is_work(handle) return is_connection(handle) and handle:backend_pid() ~= 0 end

--- Make a driver (pgmig.drivers).
-- @param leave fn(): whether a wait that is no server's work, such as for the lock, is to end
-- @return wait(handle, want, deadline)
function M.waiter(leave)
  return function(handle, want, deadline)
    if not is_work(handle) and leave() then return TERMINATED end
    if not handle then return nap(math.min(SLICE, deadline - core.now())) end
    if is_connection(handle) then handles[handle] = true end
    wait_for_socket(handle, want, deadline or core.now() + SLICE)
  end
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
