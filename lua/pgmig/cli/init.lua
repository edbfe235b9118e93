--- The command line program: from its words to its exit code.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local failure = require "pgmig.cli.failure"
local options = require "pgmig.cli.options"
local output = require "pgmig.cli.output"
local patience = require "pgmig.cli.patience"
local record = require "pgmig.cli.record"
local visible = require "pgmig.visible"

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
  out:error("pgmig: " .. visible.field(ending.message) .. "\n" .. ending.usage)
  return MISUSED
end

local function new_run(given)
  local out = output.new(given)
  local reporter = given.json and "pgmig.cli.json" or "pgmig.cli.text"
  return {
    options = given, output = out, record = record.new(),
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
  run.output:error(failure.describe(err, run.record))
  return failure.exit_code(err, run.record)
end

--- A foreign error gets its traceback; ours are for people as they are.
local function traced(err)
  if type(err) ~= "string" then return err end
  return debug.traceback(err, 2)
end

local signal_names = { [2] = "SIGINT", [15] = "SIGTERM" }

--- A signal that came while the program was starting.
local function check_signal()
  local signal = core.interrupted()
  if not signal then return end
  errors.raise("interrupted", "interrupted by " .. signal_names[signal], { signal = signal })
end

local function carry_out(run)
  local command = require("pgmig.cli.commands")[run.options.command]
  local ok, result = patience.insist(run, function()
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

--- Run the program.
-- @param words list of the command line's arguments
-- @return the exit code
function M.main(words)
  core.interrupt_on_signals()
  local given, ending = options.parse(words)
  if not given then return end_early(ending) end
  return carry_out(new_run(given))
end

return M
