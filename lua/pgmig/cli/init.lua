--- The command line program: from its words to its exit code.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local needed = require "pgmig.needed"
local options = require "pgmig.cli.options"
local outcome = require "pgmig.cli.outcome"
local output = require "pgmig.cli.output"
local texts = require "pgmig.texts"

local dial = needed "db.dial"
local loop = needed "db.loop"

local M = {}

local MISUSED, BROKEN = 2, 1

--- The exit code of a command that has done its work.
local function finish(out, code)
  if out:complete() then return code end
  out:error "pgmig: could not write to standard output"
  return BROKEN
end

--- End without a command: help, version, or a mistake in the words.
local function end_early(ending)
  local out = output.new { no_color = true }
  if ending.print then
    out:block(ending.print)
    return finish(out, 0)
  end
  out:error("pgmig: " .. texts.field(ending.message) .. "\n" .. ending.usage)
  return MISUSED
end

local function new_run(given)
  local out = output.new(given)
  local reporter = given.json and "pgmig.cli.json" or "pgmig.cli.text"
  return {
    options = given, output = out, record = outcome.record(),
    report = require(reporter).new(out, given),
  }
end

--- Report a failure.
local function failed(run, err)
  if not errors.is(err) then
    run.output:error("pgmig: internal error, please report this bug\n" .. tostring(err))
    return BROKEN
  end
  if run.options.json then run.report:failed(err, run.record) end
  run.output:error(outcome.describe(err, run.record))
  return outcome.exit_code(err, run.record)
end

--- A foreign error gets its traceback; ours are for people as they are.
local function traced(err)
  if type(err) ~= "string" then return err end
  return debug.traceback(err, 2)
end

--- A signal that came while the program was starting.
local function check_signal()
  local signal = core.interrupted()
  if signal then loop.raise_interrupted(signal) end
end

-- ---- no connection left --------------------------------------------------------
-- A run needs two connections. Where the server has none left, several that start at once may each
-- have one and wait for the other for ever: who finds no second one lets go of the first.

local FIRST_PAUSE, LAST_PAUSE = 0.2, 3 -- seconds between two attempts

-- The commands that wait for others' runs, too.
local patient = {
  up = true, down = true, redo = true, ["goto"] = true, baseline = true, adopt = true,
}

--- Whether a command has failed for want of a connection, before it has done anything.
local function has_no_room(run, err)
  return patient[run.options.command] and errors.is(err, "connect") and run.settings
    and run.record:untouched() and dial.is_full(err)
end

--- Carry a command out, again and again while there is no connection for it: for as long as it
-- would wait for another run.
-- @param run the run; `run.again` is set from the second attempt on
-- @param attempt fn() returns whether it has succeeded, and the result or error
-- @return as `attempt`
local function insist(run, attempt)
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
    local waited, why = pcall(loop.pause, pause * (0.5 + core.random()))
    if not waited then return false, why end
    pause = math.min(pause * 1.5, LAST_PAUSE)
  end
end

-- ---- a command -----------------------------------------------------------------

local function carry_out(run)
  local command = require("pgmig.cli.commands")[run.options.command]
  local ok, result = insist(run, function()
    local ok, result = xpcall(function()
      check_signal()
      return command(run)
    end, traced)
    if run.db then run.db:close() end
    run.db = nil
    return ok, result
  end)
  if not ok then return failed(run, result) end
  return finish(run.output, result or 0)
end

--- Whether Lua has to be closed when the program ends, which frees thousands of objects one by one:
-- not where all went well and no code of the user's has run, whose objects may have something to
-- finish.
local function has_to_close(code)
  return code ~= 0 or package.loaded["pgmig.files.lua_file"] ~= nil
end

--- Run the program.
-- @param words list of the command line's arguments
-- @return the exit code
-- @return whether Lua has to be closed before the program ends
function M.main(words)
  core.interrupt_on_signals()
  local given, ending = options.parse(words)
  local code = given and carry_out(new_run(given)) or end_early(ending)
  return code, has_to_close(code)
end

return M
