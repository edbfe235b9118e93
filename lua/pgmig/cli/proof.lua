--- The commands that try migrations on a clone: trace, and those that judge what it sees. Each gets
-- the run and what opens its database and its migrator (pgmig.cli.commands).
local report = require "pgmig.cli.trace_report"
local errors = require "pgmig.errors"
local needed = require "pgmig.needed"
local outcome = require "pgmig.cli.outcome"
local settings = require "pgmig.cli.settings"
local verify_report = require "pgmig.cli.verify_report"

local prefix = needed "proof.prefix"

local M = {}

-- Variables of libpq that name a database.
local naming = { "PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGSERVICE", "PGUSER" }

--- Whether a database is named anywhere: only then its status is asked for.
local function names_database(found)
  if found.values.database or found.environment then return true end
  for _, name in ipairs(naming) do
    if (os.getenv(name) or "") ~= "" then return true end
  end
  return false
end

--- The migrator, with a connection where a database is named and nothing else says what is applied.
-- @param run the run
-- @param doors { open = fn(run, purpose), without = fn(run, purpose) }, which make it
local function migrator_of(run, doors)
  local found = settings.read(run.options)
  local without = found.values.applied_to ~= nil or not names_database(found)
  return (without and doors.without or doors.open)(run, "look")
end

--- The options of a clone, and those that a command has of its own.
local function options_of(run, names)
  local options = {}
  for _, key in ipairs { "scratch", "scratch_bin", "schema_from", "applied_to" } do
    options[key] = run.settings.values[key]
  end
  for _, key in ipairs(names) do options[key] = run.options[key] end
  return options
end

function M.trace(run, doors)
  local migrator = migrator_of(run, doors)
  local options = options_of(run, { "to", "steps" })
  options.on_event = function(event)
    if event.type ~= "progress" then return end
    run.output:running(("%d of %d  %s"):format(event.done, event.total, event.migration.label))
  end
  local traced = migrator:trace(options)
  local kind = run.options.json and "json" or run.options.report
  if kind == "json" then
    local reporter = run.options.json and run.report
    reporter = reporter or require("pgmig.cli.json").new(run.output, {})
    reporter:write(report.object(traced))
  elseif kind == "markdown" then
    run.output:raw(report.markdown(traced))
  else
    report.write(run.output, traced)
  end
  if traced.error then error(traced.error, 0) end
end

-- ---- drift ---------------------------------------------------------------------

function M.drift(run, doors)
  local migrator = doors.open(run, "look")
  local drift = migrator:drift(options_of(run, { "against" }))
  run.report:drift(drift)
  return drift.equal and 0 or 3
end

-- ---- baseline ------------------------------------------------------------------

--- The version up to which the files make the schema of the database, which is reported.
-- @return nil: the database is empty
-- @raise kind "plan" where there is none, or more than one
function M.detect(run, migrator)
  local found = migrator:detect_baseline(options_of(run, {}))
  local m = prefix.settle(found)
  run.report:detected(found)
  return m and m.id
end

-- ---- verify --------------------------------------------------------------------

--- Show on a terminal which migration is under way, and which way.
local function shown(run)
  return function(event)
    run.output:running(("%d of %d  %s  %s"):format(event.done, event.total,
      event.migration.label, event.phase))
  end
end

function M.verify(run, doors)
  local migrator = migrator_of(run, doors)
  local options = options_of(run, { "pending", "to", "rows" })
  options.seed, options.on_event = run.settings.values.seed, shown(run)
  local verified = migrator:verify(options)
  if run.options.json then
    run.report:write(verify_report.object(verified))
  else
    verify_report.write(run.output, verified)
  end
  return verified.ok and 0 or 3
end

-- ---- squash --------------------------------------------------------------------

function M.squash(run, doors)
  local migrator = migrator_of(run, doors)
  run.report:squashed(migrator:squash(options_of(run, { "to", "data", "delete", "dry_run" })))
end

-- ---- dump --------------------------------------------------------------------

local SCHEMA = "schema.sql"

local function report_dump(run, dumped)
  for _, what in ipairs(dumped.left_out) do
    run.report:event {
      type = "warning", message = ("left out, as it may hold a password: %s"):format(what),
    }
  end
  if dumped.path then run.report:dumped(dumped) end
end

local function is_stdout(path, options)
  if path == "-" and options.json then
    errors.raise("usage", "the schema is SQL: it cannot be had on standard output with --json")
  end
  return path == "-"
end

function M.dump(run, doors)
  local migrator = doors.open(run, "look")
  local path = run.options.output or run.settings.values.dump_to or SCHEMA
  local to_stdout = is_stdout(path, run.options)
  local dumped = migrator:dump { output = not to_stdout and path or nil }
  report_dump(run, dumped)
  if to_stdout then run.output:raw(dumped.text) end
end

--- Write the schema behind a command that has changed it: a failure does not make that undone.
function M.dump_after(run)
  local path = run.settings.values.dump_to or SCHEMA
  local ok, result = pcall(run.migrator.dump, run.migrator, path)
  if ok then return report_dump(run, result) end
  if not errors.is(result) then error(result, 0) end
  local done = run.options.command == "up" and "the migrations are applied"
    or run.options.command .. " is done"
  result.message = ("%s, but %s was not written: %s"):format(done, path, result.message)
  run.record = outcome.record()
  error(result, 0)
end

-- ---- check -------------------------------------------------------------------

local checks, facts = needed "proof.check", needed "proof.facts"

-- The reports of check that are texts for programs; the others are the reporter's and people's.
local texts = { markdown = true, sarif = true, github = true }

--- Report what check has found.
-- @return the exit code
local function tell_checked(run, result)
  local kind = run.options.json and "json" or run.options.report or "terminal"
  if kind == "json" then
    local object = require("pgmig.proof.report.json").object(result)
    require("pgmig.cli.json").new(run.output, {}):write(object)
  elseif texts[kind] then
    run.output:raw(require("pgmig.proof.report." .. kind).text(result))
  else
    require("pgmig.proof.report.terminal").write(run.output, result, run.options.verbose)
  end
  return checks.fails(result, run.options.fail_on) and 3 or 0
end

function M.check(run, doors)
  local migrator = migrator_of(run, doors)
  local options = options_of(run, { "to", "steps", "facts", "queries" })
  if run.options.watch then
    return needed("proof.watch").run(migrator, options, function(result)
      tell_checked(run, result)
    end)
  end
  return tell_checked(run, migrator:check(options))
end

--- Check before a run.
-- @param migrator of the run
-- @return whether it may begin
function M.may_begin(run, migrator)
  return tell_checked(run, migrator:check(options_of(run, { "to", "steps" }))) == 0
end

function M.stats(run, doors)
  doors.open(run, "look")
  run.output:raw(facts.encode(facts.read(run.db)))
end

return M
