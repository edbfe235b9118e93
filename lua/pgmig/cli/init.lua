--- The command line program: from its words to its exit code.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local failure = require "pgmig.cli.failure"
local options = require "pgmig.cli.options"
local output = require "pgmig.cli.output"
local record = require "pgmig.cli.record"

local M = {}

local MISUSED, BROKEN = 2, 1

--- End without a command: help, version, or a mistake in the words.
local function end_early(ending)
  if ending.print then
    io.stdout:write(ending.print, "\n")
    return 0
  end
  io.stderr:write("pgmig: ", ending.message, "\n", ending.usage, "\n")
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
    run.output:error("pgmig: a mistake in pgmig itself, please report it\n" .. tostring(err))
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

local function carry_out(run)
  local command = require("pgmig.cli.commands")[run.options.command]
  local ok, result = xpcall(function() return command(run) end, traced)
  if run.db then run.db:close() end
  if not ok then return failed(run, result) end
  if run.output:complete() then return result or 0 end
  run.output:error "pgmig: standard output cannot be written"
  return BROKEN
end

--- Run the program.
-- @param words list of the command line's arguments
-- @return the exit code
function M.main(words)
  local given, ending = options.parse(words)
  if not given then return end_early(ending) end
  core.interrupt_on_signals()
  return carry_out(new_run(given))
end

return M
