--- Drivers: how to wait for a connection's socket.
-- A driver is `wait(handle, want, deadline)`: handle is the core's connection, or the lookup
-- of a host name, and has the descriptor to wait for (`handle:fd()`); want is "r", "w" or "rw",
-- deadline a time of `core.now()` or nil. It returns when the socket may be ready or the deadline
-- has passed; spurious returns are harmless. Without a handle it waits for the deadline. Returning
-- a signal number interrupts the operation. A driver may yield.
-- @module pgmig.drivers
local core = require "pgmig.core"

local M = {}

local SLICE = 3600 -- seconds; a wait without deadline wakes up so often

--- Wait in poll(2): for command-line programs and specs.
function M.blocking(handle, want, deadline)
  local fd = handle and handle:fd()
  local seconds = deadline and math.max(0, deadline - core.now()) or SLICE
  if fd then
    core.wait_fd(fd, want, seconds)
  else
    core.poll({}, {}, seconds)
  end
  return core.interrupted()
end

--- Yield (handle, want, deadline) to a scheduler, which polls many sockets at once and resumes.
function M.coroutine(handle, want, deadline)
  return coroutine.yield(handle, want, deadline)
end

return M
