--- The commands: each asks the migrator and hands the answer to the reporter.
local connection = require "pgmig.db.connection"
local core = require "pgmig.core"
local command_line = require "pgmig.cli.options"
local drivers = require "pgmig.drivers"
local errors = require "pgmig.errors"
local loop = require "pgmig.db.loop"
local origin = require "pgmig.cli.origin"
local needed = require "pgmig.needed"
local outcome = require "pgmig.cli.outcome"
local settings = require "pgmig.cli.settings"

local migrators = needed "migrator"
local backfill = needed "cli.backfill"
local proof, retyped, setup = needed "cli.proof", needed "cli.retyped", needed "cli.setup"

local M = {}

local WAIT_LIMIT = 60 -- seconds
local PAUSE = 0.2 -- seconds between two attempts of `wait`

--- The migrator, with a connection or without.
local function new_migrator(run, db, options, purpose)
  local migrator = migrators.new(db, run.settings.values.dir, options)
  if purpose or not run.options.verbose then return migrator end
  return migrator:on("after_statement", function(ctx) run.report:statement(ctx) end)
end

--- A driver that waits in poll(2), and loads what comes next before it waits for the first time:
-- while the server makes a process for the connection.
local function loading_driver()
  local function wait(...)
    wait = drivers.blocking
    require "pgmig.migrator"
    return wait(...)
  end
  return function(...) return wait(...) end
end

--- Connect; a connection string that is refused is told with where it comes from.
-- @param fn takes the options, and connects; nil: `pgmig.connect`
local function connect(found, options, fn)
  options.wait = loading_driver()
  local ok, result = pcall(fn or connection.connect, options)
  if ok then return result end
  local source = found.sources.database
  if errors.is(result, "usage") and source then
    result.message = source .. ": " .. result.message
  end
  error(result, 0)
end

--- Say which database it is: once for each host that is connected to.
local function tell_place(run, db)
  local at, before = db:place(), run.place
  if before and before.host == at.host and before.port == at.port then return end
  at.source = origin.of(run.settings, at)
  run.place = at
  run.report:database(at)
end

--- Read the settings. Of pgmig's own migrations, versions are numbers.
local function read_settings(run)
  run.settings = settings.read(run.options)
  local named, format = run.options.named, run.settings.values.format or "pgmig"
  if not named or format ~= "pgmig" then return end
  errors.raise("usage", command_line.no_version(named), { hint = "See `pgmig --help`." })
end

--- Connect, and make the migrator. `run.db` is closed when the command ends.
-- @param purpose "look" for a command that applies nothing; nil
local function open(run, purpose)
  read_settings(run)
  if run.settings.values.local_time then run.report:tell_local_times() end
  local options = settings.migrator_options(run.settings, purpose)
  run.db = connect(run.settings, settings.connection(run.settings))
  tell_place(run, run.db)
  run.db:on_move(function() tell_place(run, run.db) end)
  run.migrator = new_migrator(run, run.db, options, purpose)
  return run.migrator
end

--- Make the migrator, without a database.
-- @param purpose "create", or "look" for a command that applies nothing
local function without(run, purpose)
  read_settings(run)
  return new_migrator(run, nil, settings.migrator_options(run.settings, purpose), purpose)
end

--- The commands that set things up, and those that try migrations on a clone, have modules of
-- their own.
local elsewhere = { init = setup, create = setup, database = setup, renumber = setup }

local doors = { open = open, without = without, connect = connect }

setmetatable(M, { __index = function(_, name)
  local room = elsewhere[name] or proof
  return function(run) return room[name](run, doors) end
end })

-- ---- looking ---------------------------------------------------------------

--- Whether nothing is pending, drifted or broken.
local function settled(status)
  if status.pending_count > 0 or #status.problems > 0 then return false end
  for _, list in ipairs { status.applied, status.repeatable } do
    for _, m in ipairs(list) do
      if m.state ~= "applied" then return false end
    end
  end
  return true
end

--- Tell people why nobody knows where the database stands, as `doctor` does; a program that reads
-- numbers gets the error.
local function tell_unclear(run, err)
  local unclear = errors.is(err, "plan") and err.code == "unclear_table" and not run.options.json
  if not unclear then error(err, 0) end
  run.report:unclear(err)
  return run.options.exit_code and 3 or 0
end

function M.status(run)
  local migrator = open(run, "look")
  local ok, status = pcall(migrator.status, migrator)
  if not ok then return tell_unclear(run, status) end
  run.report:status(status)
  return run.options.exit_code and not settled(status) and 3 or 0
end

function M.version(run)
  local applied = open(run, "look"):applied()
  run.report:version(applied[#applied])
end

function M.history(run)
  run.report:history(open(run, "look"):history(run.options.limit))
end

function M.doctor(run)
  local findings = open(run, "look"):doctor()
  retyped.findings(run, findings)
  run.report:findings(findings)
  return run.options.exit_code and #findings > 0 and 3 or 0
end

--- A planned migration as it would run.
local function step_of(migrator, m, direction)
  if m.missing then return { migration = m, problem = "its file is missing" } end
  return migrator:describe(m, direction)
end

--- The exit code that running a planned migration would end with.
local function code_of(step)
  if step.problem then return 2 end
  local problem = step.resume and step.resume.problem
  if not problem then return 0 end
  local begun = outcome.record()
  begun:event { type = "start", migration = step.migration }
  return outcome.exit_code(problem, begun)
end

--- What a plan would do.
-- @return the steps, for a reporter
-- @return the exit code that running it would end with
local function steps_of(migrator, plan)
  local steps, code = {}, 0
  for i, m in ipairs(plan) do
    steps[i] = step_of(migrator, m, plan.direction)
    if code == 0 then code = code_of(steps[i]) end
  end
  return steps, code
end

--- Report what a plan would do.
-- @return the exit code that running it would end with
local function show(run, migrator, plan)
  local steps, code = steps_of(migrator, plan)
  run.report:plan(plan, steps)
  return code
end

-- ---- running ---------------------------------------------------------------

--- Report and record an event.
local function watch(run)
  return function(event)
    event.migration = event.migration or run.record.current
    run.record:event(event)
    run.report:event(event)
  end
end

--- Whether a script is asked for, which is written instead of what a plan says.
local function wants_script(options)
  if not options.script then return false end
  if not options.dry_run then
    errors.raise("usage", "up --script requires --dry-run: nothing is run, psql does that")
  end
  if options.json then errors.raise("usage", "--script is SQL: it cannot be had with --json") end
  return true
end

--- Write a plan as a script for psql.
local function script(run, migrator, plan)
  run.report:ignored(plan)
  for _, warning in ipairs(plan.warnings) do
    run.report:event { type = "warning", migration = warning.migration, message = warning.message }
  end
  migrator:script(plan, function(text) run.output:raw(text) end)
end

--- Run a plan to its end.
local function carry_out(run, migrator, plan)
  migrator:run(plan, { on_event = watch(run) }) -- also an empty one has warnings
  if #plan == 0 then return run.report:nothing(plan) end
  run.report:finished(run.record, plan)
end

local function fake(run, migrator)
  local options = run.options
  if options.to or options.steps or options.phase or options.dry_run then
    errors.raise("usage", "up --fake takes no other option: it records one version")
  end
  migrator:fake(options.fake, { on_event = watch(run) })
  if run.record:untouched() then return run.report:nothing(migrator:plan()) end
  run.report:finished(run.record)
end

function M.up(run)
  local options = run.options
  local migrator = open(run)
  if options.fake then return fake(run, migrator) end
  local is_script = wants_script(options)
  local plan = migrator:plan { to = options.to, steps = options.steps, phase = options.phase }
  if is_script then return script(run, migrator, plan) end
  if options.dry_run then return show(run, migrator, plan) end
  if not run.again then run.report:ignored(plan) end
  if options.check and plan[1] and not proof.may_begin(run, migrator) then return 3 end
  carry_out(run, migrator, plan)
end

function M.plan(run)
  run.options.dry_run = true
  return M.up(run)
end

function M.down(run)
  local options = run.options
  local migrator = open(run)
  local plan = migrator:plan_rollback {
    steps = options.steps, to = options.to, all = options.all,
  }
  if options.dry_run then return show(run, migrator, plan) end
  carry_out(run, migrator, plan)
end

--- Report what the way to a version would do.
-- @return as of `show`
local function show_way(run, migrator, plan)
  local first, code = steps_of(migrator, plan)
  local second, later = steps_of(migrator, plan.again or {})
  run.report:way(plan, first, second)
  return code ~= 0 and code or later
end

M["goto"] = function(run)
  local migrator = open(run)
  local plan = migrator:plan_go_to(run.options.version)
  if run.options.dry_run then return show_way(run, migrator, plan) end
  run.record.command = "goto " .. run.options.version
  if not run.again then run.report:ignored(plan) end
  carry_out(run, migrator, plan)
end

function M.redo(run)
  open(run):redo { steps = run.options.steps, on_event = watch(run) }
  if run.record:untouched() then return run.report:nothing { direction = "down" } end
  run.report:finished(run.record)
end

function M.baseline(run)
  local options, version = run.options, run.options.version
  if (version == nil) == not options.detect then
    errors.raise("usage", "baseline requires a version or --detect")
  end
  local migrator = open(run)
  if options.detect then version = proof.detect(run, migrator) end
  if not version then return end
  if options.dry_run then
    return run.report:recordable(migrator:baseline(version, { dry_run = true }))
  end
  migrator:baseline(version, { on_event = watch(run) })
  if run.record:untouched() then return run.report:nothing(migrator:plan()) end
  run.report:finished(run.record)
end

function M.unapply(run)
  open(run):unapply(run.options.version, { on_event = watch(run) })
  if not run.record:untouched() then return run.report:finished(run.record) end
  run.report:nothing { direction = "down", record_only = "unapplied" }
end

--- Whether other commands read the folder in this format, too.
local function is_settled(found)
  return found.sources.format ~= "--from" and found.sources.format ~= "--to"
end

function M.adopt(run)
  local options = run.options
  local migrator = open(run)
  local plan = migrator:adopt {
    from = options.from, from_table = options.from_table, dry_run = options.dry_run,
    on_event = watch(run),
  }
  local format = not is_settled(run.settings) and run.settings.values.format
  if options.dry_run then return run.report:adoption(plan, format) end
  run.report:adopted(plan, format)
end

function M.export(run)
  local options = run.options
  local plan = open(run):export {
    to = options.tool, to_table = options.to_table, dry_run = options.dry_run,
    on_event = watch(run),
  }
  run.report:export(plan, options.dry_run)
end

--- Fill tables, or say how far that is.
function M.backfill(run)
  local is_status = (run.options.action or "status") == "status"
  return backfill.perform(run, open(run, is_status and "look" or nil), watch(run))
end

-- ---- repairs ---------------------------------------------------------------

function M.repair(run)
  local options = run.options
  if (options.version == nil) == not options.all then
    errors.raise("usage", "repair requires a version or --all")
  end
  if options.all and (options.replaced or options.gone) then
    errors.raise("usage", ("repair --%s requires a version: check each one by itself"):format(
      options.replaced and "replaced" or "gone"))
  end
  run.report:repaired(open(run):repair(options.version, {
    replaced = options.replaced, gone = options.gone, on_event = watch(run),
  }))
end

function M.resolve(run)
  local options = run.options
  local how = options.done and "done" or options.redo and "redo" or options.restart and "restart"
  if not how then errors.raise("usage", "resolve requires --done, --redo or --restart") end
  run.report:resolved(open(run):resolve(options.version, how, { on_event = watch(run) }), how)
end

-- ---- behind a run ----------------------------------------------------------

--- Whether a command that has ended well is to write the schema to a file.
local function wants_dump(run)
  return (run.settings.values.dump_to or run.options.dumps) and not run.options.dry_run
end

-- Those that change the schema, or what is recorded of it.
for _, name in ipairs { "up", "down", "redo", "goto", "baseline", "unapply", "adopt", "repair" } do
  local command = M[name]
  M[name] = function(run)
    local code = command(run)
    if wants_dump(run) then proof.dump_after(run) end
    return code
  end
end

-- ---- files and servers -----------------------------------------------------

function M.config(run)
  local found = settings.read(run.options)
  run.report:settings(settings.describe(found))
  found.env:check()
end

--- Try to connect once.
-- @return whether somebody has answered
-- @return whether the database is there; the error when nobody has answered
local function attempt(run, seconds)
  local found = run.settings
  local options = settings.connection(found)
  options.connect_timeout = seconds
  local ok, result = pcall(connect, found, options)
  if ok then
    tell_place(run, result)
    result:close()
    return true, true
  end
  if not errors.is(result, "connect") then error(result, 0) end
  if run.options.server and result.code == "no_database" then return true, false end
  return false, result
end

function M.lua(run) return require("pgmig.cli.script").run(run.options.words) end

function M.wait(run)
  local limit = run.options.timeout or WAIT_LIMIT
  local deadline = core.now() + limit
  run.settings = settings.read(run.options)
  while true do
    local reached, what = attempt(run, math.max(deadline - core.now(), PAUSE))
    if reached then return run.report:reached(what) end
    if core.now() + PAUSE > deadline then
      errors.raise("connect", ("the database accepted no connection within %g s"):format(limit),
        { detail = what.message, hint = what.hint })
    end
    loop.pause(PAUSE)
  end
end

return M
