--- The command `backfill`.
local errors = require "pgmig.errors"
local throttles = require "pgmig.backfill.throttle"

local M = {}

--- The next moment that a clock shows a time: seconds as of `os.time`.
local function moment_of(text)
  local minutes = throttles.minutes(text)
  if not minutes then
    errors.raise("usage", ("--until must be a time of the day, such as 06:00, not %s"):format(text))
  end
  local date = os.date "*t"
  date.hour, date.min, date.sec = math.floor(minutes / 60), minutes % 60, 0
  local at = os.time(date)
  if at > os.time() then return at end
  date.day = date.day + 1
  return os.time(date)
end

local function is_done(backfills)
  for _, backfill in ipairs(backfills) do
    if backfill.state ~= "done" and backfill.state ~= "cancelled" then return false end
  end
  return true
end

local function run_all(run, migrator, watch)
  local options = run.options
  local ends = options.until_time and moment_of(options.until_time)
  local backfills = migrator:run_backfills {
    version = options.version, rate = options.rate, duty = options.duty, hours = options.hours,
    on_event = watch, stop = ends and function() return os.time() >= ends end,
  }
  run.report:backfill_status(backfills)
end

--- Carry the command out.
-- @param run of pgmig.cli.commands
-- @param migrator of pgmig.migrator
-- @param watch fn(event)
-- @return the exit code
function M.perform(run, migrator, watch)
  local options = run.options
  local action = options.action or "status"
  local is_run = options.until_time or options.hours or options.rate or options.duty
  if is_run and action ~= "run" then
    errors.raise("usage", "--until, --hours, --rate and --duty are options of `backfill run`")
  end
  if action == "run" then return run_all(run, migrator, watch) end
  if action ~= "status" then
    return run.report:backfill_status(migrator:set_backfills(options.version, action))
  end
  local backfills = migrator:backfills(options.version)
  run.report:backfill_status(backfills)
  return options.exit_code and not is_done(backfills) and 3 or 0
end

return M
