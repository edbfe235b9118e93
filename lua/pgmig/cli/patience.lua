--- Waiting for a connection where the server has none left. A run needs two, so several that start
-- at once may each have one and wait for the other for ever: who finds no second one lets go of the
-- first.
local connect_hint = require "pgmig.db.connect_hint"
local core = require "pgmig.core"
local errors = require "pgmig.errors"

local M = {}

local FIRST_PAUSE, LAST_PAUSE = 0.2, 3 -- seconds between two attempts

-- The commands that wait for others' runs, too.
local patient = { up = true, down = true, redo = true, baseline = true, adopt = true }

--- Wait.
-- @param seconds so long
-- @raise kind "interrupted"
function M.pause(seconds)
  core.poll({}, {}, seconds)
  local signal = core.interrupted()
  if signal then errors.raise("interrupted", "interrupted while waiting", { signal = signal }) end
end

--- Whether a command has failed for want of a connection, before it has done anything.
local function has_no_room(run, err)
  return patient[run.options.command] and errors.is(err, "connect") and run.settings
    and run.record:untouched() and connect_hint.is_full(err.message)
end

--- Carry a command out, again and again while there is no connection for it: for as long as it
-- would wait for another run.
-- @param run the run; `run.again` is set from the second attempt on
-- @param attempt fn() returns whether it has succeeded, and the result or error
-- @return as `attempt`
function M.insist(run, attempt)
  local began, pause = core.now(), FIRST_PAUSE
  while true do
    local ok, result = attempt()
    if ok or not has_no_room(run, result) then return ok, result end
    if core.now() + pause > began + run.settings.values.lock_wait then return ok, result end
    if not run.again then
      run.report:event {
        type = "waiting", message = "waiting for a connection: " .. result.message,
      }
    end
    run.again = true
    local waited, why = pcall(M.pause, pause * (0.5 + core.random()))
    if not waited then return false, why end
    pause = math.min(pause * 1.5, LAST_PAUSE)
  end
end

return M
