--- The migrator: runs the migrations of folders on a database with a tracking table.
-- @module pgmig.migrator
local arguments = require "pgmig.arguments"
local connection = require "pgmig.db.connection"
local core = require "pgmig.core"
local drift = require "pgmig.state.drift"
local emitter = require "pgmig.run.emitter"
local errors = require "pgmig.errors"
local files = require "pgmig.files.list"
local formats = require "pgmig.formats"
local hooks = require "pgmig.run.hooks"
local ledger = require "pgmig.state.ledger"
local migration = require "pgmig.files.migration"
local naming = require "pgmig.naming"
local needed = require "pgmig.needed"
local known = require "pgmig.options"
local planning = require "pgmig.state.plan"
local recovery = require "pgmig.db.recovery"
local source = require "pgmig.files.source"
local states = require "pgmig.state.compare"

local M = {}
local migrator = {}
migrator.__index = migrator

--- Check the options of `new`.
-- @raise kind "usage"
function M.check_options(given)
  for key, value in pairs(given) do
    local option = known.by_key[key]
    if not option or option.migrator == false then
      errors.raise("usage", ("unknown option %s"):format(tostring(key)))
    end
    if not known.fits(option, value) then
      errors.raise("usage", ("option %s must be a %s"):format(key, option.types))
    end
    if known.is_limited(key) then known.check(key, value, "option " .. key) end
  end
  return given
end

local function check_dirs(dir)
  local dirs = type(dir) == "table" and dir or { dir }
  if #dirs == 0 then errors.raise("usage", "a migrations folder is required") end
  for _, path in ipairs(dirs) do
    if type(path) ~= "string" then
      errors.raise("usage", "a migrations folder must be a path, not a " .. type(path))
    end
  end
  return dirs
end

--- The format that is asked for, or found.
local function format_of(given, dirs, db)
  local format = given.format or known.default "format"
  if format == "auto" then format = needed("takeover.detect").format(dirs, db) end
  return formats.load(format, given.placeholders, given)
end

--- The tracking table: pgmig's own, or the tool's.
local function ledger_of(given, format, rule)
  local others
  if given.shared and format.name ~= "pgmig" then
    others = needed("takeover.shared").new(format, rule)
  end
  local name = others and others.table or format.table or known.default "table"
  return ledger.new(given.table or name, others)
end

--- What is given for an option, else what holds without it.
local function value_of(given, key)
  if given[key] ~= nil then return given[key] end
  return known.default(key)
end

local function register(self, given)
  for event, handlers in pairs(given or {}) do
    for _, fn in ipairs(type(handlers) == "table" and handlers or { handlers }) do
      self:on(event, fn)
    end
  end
end

--- Make a migrator.
-- @param db a connection from `pgmig.connect`; may be nil for create
-- @param dir the migrations folder, or a list of folders
-- @param given { table = tracking table, "name" or "schema.name", default "schema_migrations";
--   strict = true: a .sql file that is not a migration is an error, as policy.ignored = "error";
--   lock_timeout = "5s": how long a statement waits for a lock, unless its file sets it,
--   in PostgreSQL's syntax, so a bare number is in milliseconds;
--   retries = 10: how often a migration is retried after a lock timeout, a deadlock or a
--   serialization failure; lock_wait = 300: seconds to wait for another run;
--   reconnect = 60: seconds to try to reconnect after a lost connection;
--   drift_check = false: the files of applied migrations are not read to find edited ones;
--   syntax_check = false: the server does not parse all statements before the first migration runs;
--   pipeline = false: wait for the response to each request;
--   policy = { edited = "error", renamed = "warn", replaced = "error", missing = "warn",
--   renumbered = "error", out_of_order = "warn", forgotten = "error", ignored = "warn" }: how
--   a run treats each, "error", "warn" or "allow"; while the files of all applied migrations
--   are missing, nothing is applied unless `missing` is given;
--   format = the format of the files, a name, "auto" or a table (pgmig.formats), default "pgmig";
--   shared = true: the tracking table of the format's tool is used in place;
--   placeholders = values by name: of ${name} in pgmig's own files; false: plain text;
--   templates = "psql": placeholders are psql's variables;
--   environment = a list of variables of the environment that are values of placeholders, too;
--   render = fn(text, migration) returns the text that is run in a file's place (docs/hooks.md);
--   naming = a rule (pgmig.naming), instead of the format's;
--   pg_dump = "pg_dump": the program that dump runs;
--   throttle = limits of backfills, a table or a function (docs/backfill.md);
--   backfill = "later": a run leaves backfills to `backfill run` (docs/backfill.md);
--   hooks = { [event] = a function or a list of them };
--   rules = { [name] = a function, false or a severity }: of check (docs/check.md);
--   log = fn(level, message, event), level "debug", "info", "warn" or "error" }
-- @raise kinds "usage" for an invalid table name or option, "io" for a missing folder
function M.new(db, dir, given)
  given = M.check_options(given or {})
  if db ~= nil and not connection.is(db) then
    errors.raise("usage", "the first argument must be a connection, as pgmig.connect returns it")
  end
  local dirs = check_dirs(dir)
  local format = format_of(given, dirs, db)
  local rule = naming.check(given.naming or format.naming)
  local self = setmetatable({
    db = db,
    dirs = dirs,
    given = given, -- for one on another database
    format = format,
    naming = rule,
    hooks = hooks.new(),
    log = given.log,
    lock_timeout = value_of(given, "lock_timeout"),
    lock_wait = known.check("lock_wait", value_of(given, "lock_wait")),
    retries = value_of(given, "retries"),
    reconnect = known.check("reconnect", value_of(given, "reconnect")),
    pipeline = value_of(given, "pipeline"),
    drift_check = value_of(given, "drift_check"),
    syntax_check = value_of(given, "syntax_check"),
    policy = drift.policy(given.policy),
    pg_dump = value_of(given, "pg_dump"),
    backfill = known.check("backfill", value_of(given, "backfill")),
    throttle = given.throttle,
    ledger = ledger_of(given, format, rule),
  }, migrator)
  local ms = core.duration_setting(self.lock_timeout)
  if ms and ms > 0 then self.ledger.lock_timeout = ms / 1000 end
  if given.strict then self.policy.ignored = "error" end
  register(self, given.hooks)
  for _, path in ipairs(self.dirs) do core.check_dir(path) end -- a missing one is told at once
  return self
end

--- Read the folders; see `pgmig.files.list`.
-- @raise kind "naming" for two files of one version, and for an ignored one that the policy refuses
function migrator:files()
  local set = files.read(self.dirs, self.naming, self.format)
  if set.wrong[1] then error(set.wrong[1], 0) end
  if self.policy.ignored == "error" and set.ignored[1] then
    errors.raise("naming", "this file " .. set.reasons[set.ignored[1]], {
      file = set.ignored[1], hint = "rename it, move it out of the folder, or allow such files: "
        .. "--policy ignored=warn",
    })
  end
  return set
end

local function check_db(self)
  if self.db then return end
  errors.raise("usage", "this requires a database: pass a connection to pgmig.migrator")
end

--- Where the database stands; see `pgmig.state.compare`.
local function read_state(self)
  check_db(self)
  return states.read(self)
end

-- ---- reading ---------------------------------------------------------------

--- The state of the database. Creates and writes nothing; broken files are reported, not raised.
-- @return { applied_count, pending_count, applied = migrations, pending = migrations,
--   repeatable = migrations that run again when they change, ignored = paths of files that look
--   like migrations and are none, reasons = why, by path, problems = { { kind, message, path,
--   migration }, ... }, warning = a message if the files of all applied migrations are missing, or
--   nil, at_work = who holds the lock of what has been begun, or nil, untaken = what the
--   table of the format's own tool says before `adopt`, or nil: { from, from_table, applied = a set
--   of keys (pgmig.state.ledger), message, hint, remedy } }; a migration has
--   `state` (pgmig.files.migration), with a readable file `down` ("ready", "none", "empty",
--   "irreversible"), and if it failed or is half finished, `failure` { message, at, event,
--   sqlstate, detail, line } and `unfinished` { direction, done = statements, running = the text of
--   one whose outcome is unknown, since }
function migrator:status()
  check_db(self)
  return needed("upkeep.status").read(self)
end

--- The migrations that are not applied, by version.
function migrator:pending() return (read_state(self)).pending end

--- The applied migrations, by version, with applied_at and applied_at_epoch.
function migrator:applied() return (read_state(self)).applied end

--- What has happened: every event that changed something, and every failure.
-- @param options nil: all; a number: only this many of the newest, also { limit = number }
-- @return a list, oldest first, of { event ("up", "down", "failed", "unknown", "interrupted",
--   "baseline", "fake", "adopted", "unapplied", "repaired", "gone", "resolved"), id = nil for a
--   repeatable one, version, name, checksum, started_at, finished_at, duration in seconds, db_user,
--   host, program, run, message, and for a failure sqlstate, detail, file, line, column, if known }
function migrator:history(options)
  check_db(self)
  local limit = arguments.read("history", options).limit
  local events = recovery.persist(self.db, self.reconnect, function()
    return self.ledger:history(self.db, limit)
  end)
  for _, event in ipairs(events) do
    if event.id then event.version = migration.version_of(event.id) end
  end
  return events
end

local function make_plan(self, make, options, event)
  check_db(self)
  return states.plan(self, make, options, event)
end

--- Where pgmig has applied nothing yet, and the format's own tool has, running all again would do
-- harm.
local function check_adopted(self, plan)
  if not plan[1] or not states.may_be_untaken(self, plan.newest) then return end
  needed("takeover.tracking").check_unused(self.db, self.format, plan.project)
end

--- Let the server parse a plan's statements, once.
local function check_syntax(self, plan)
  if plan.parsed or plan.record_only or not (self.syntax_check and plan[1]) then return end
  needed("run.syntax").check(self, plan)
  plan.parsed = true
end

--- What files say of backfills is checked before anything runs.
local function check_backfills(plan)
  for _, m in ipairs(plan) do
    local read = m.source
    if read and not plan.record_only and read.script:backfills "up" then
      needed("backfill.files").entries(m, read.script, "up")
    end
  end
end

--- Check all that can be known of a plan that goes up.
local function check_up(self, plan)
  check_adopted(self, plan)
  source.check(plan, self.db.breathe, source.look)
  check_backfills(plan)
  check_syntax(self, plan)
end

local function plan_up(self, options)
  local plan = make_plan(self, planning.up, options)
  check_up(self, plan)
  return plan
end

--- What `migrate` with the same options would run.
-- @param options nil: all; a version: up to it, inclusive; or those of `migrate`
-- @return a list of migrations with direction = "up", newest = the newest applied one or nil,
--   ignored = paths of files that look like migrations and are none, warnings = { { state,
--   migration, message } } of the policy
-- @raise kinds "plan" for an unknown target, and if the format's tool has applied migrations and
--   nothing was adopted, "parse" for an invalid file, "drift" for what the policy forbids
function migrator:plan(options) return plan_up(self, arguments.read("plan", options)) end

--- What `rollback` with the same options would roll back.
-- @param options nil: the last one; a number of steps; or those of `rollback`
-- @return a list as of `plan`, with direction = "down"
function migrator:plan_rollback(options)
  return make_plan(self, planning.down, arguments.read("plan_rollback", options))
end

--- What `go_to` would do.
-- @param version the last one that is to be applied; 0: none
-- @return a list as of `plan` or `plan_rollback`, with target = the version's migration, nil for 0,
--   and where something is applied behind a rollback again = a list as of `plan`
-- @raise as `plan`
function migrator:plan_go_to(version)
  if version == nil then errors.raise("usage", "go_to requires a version") end
  local plan = make_plan(self, planning.go_to, version)
  local up = plan.direction == "up" and plan or plan.again
  if up then check_up(self, up) end
  return plan
end

--- What a migration of a plan would run.
-- @param m a migration
-- @param direction "up" or "down"
-- @return { migration = m, table = the tracking table, transaction = whether it runs in one,
--   statements = { { sql, kind, line, ... } }, backfills = { { table, set, line, ... } } or nil,
--   problem = why it cannot be rolled back, or nil,
--   resume = where a run would take up one that was left half-way: { done = so many statements,
--   drops = INVALID indexes that are dropped first, finish = SQL that completes the last one of
--   those done, or nil, problem = the error that a run would raise, or nil, unsure = why that is
--   not to be seen, or nil }; nil: at its beginning }
function migrator:describe(m, direction)
  local described, script, section = source.describe(m, direction)
  source.forget(m)
  described.migration, described.table = m, self.ledger.name
  described.backfills = script and script:backfills(section) or nil
  if m.unfinished and script then
    described.resume = recovery.persist(self.db, self.reconnect, function()
      return needed("run.resume").foresee(self.db, {
        m = m, script = script, section = section, direction = direction,
      })
    end)
  end
  return described
end

--- A plan as a script for psql: what a run would send, with the tables that it would create and the
-- rows that it would write. The tables are as `plan` has read them.
-- @param plan from `plan`
-- @param write fn(text), called with one piece after another
-- @raise kind "plan" for a migration in Lua, and one that is half finished
function migrator:script(plan, write)
  if plan.direction ~= "up" then errors.raise("usage", "script: the plan must be one of `plan`") end
  needed("run.listing").write(self, plan, write)
end

-- ---- running ---------------------------------------------------------------

--- Register a hook: `fn(ctx)` is called at an event of every later run.
-- @param event "before_all", "before_each", "before_statement", "after_statement", "after_each",
--   "committed", "error", "progress", "after_all" (docs/hooks.md)
-- @param fn the handler; handlers run in the order of their registration and may yield
-- @return the migrator
function migrator:on(event, fn)
  self.hooks:on(event, fn)
  return self
end

--- Whether there is something to do beside a plan: runs have ended without telling how, which this
-- one will write down, or the journal is gone, or a backfill is not done.
local function has_more_to_do(self, plan)
  if self.ledger:lacks_journal() then return true end
  local may_fill = plan.direction == "up" and not plan.record_only
    and self.ledger.handle:has_backfill()
  if may_fill and needed("backfill.runs").has_left(self) then return true end
  return plan.left and plan.left[1] and not needed("run.lock").find(self)
end

--- A bare number is read as PostgreSQL does, and people mean seconds.
local function warn_of_units(self, emit)
  local ms = known.bare(self.lock_timeout)
  if not ms then return end
  emit { type = "warning", message = ("lock_timeout %s has no unit and is taken as %s"):format(
    self.lock_timeout, ms) }
end

--- Run plans, one behind the other, with the lock held all the time.
-- @return what each has done
local function perform(self, plans, options)
  local emit, is_empty, told = emitter.new(self.log, options.on_event), true, {}
  for _, plan in ipairs(plans) do
    for _, warning in ipairs(plan.warnings or {}) do
      if not told[warning.message] then
        emit { type = "warning", migration = warning.migration, message = warning.message }
      end
      told[warning.message] = true
    end
    is_empty = is_empty and #plan == 0 and not has_more_to_do(self, plan)
  end
  if is_empty then return { {}, {} } end
  check_db(self)
  warn_of_units(self, emit)
  for _, plan in ipairs(plans) do
    source.check(plan, self.db.breathe)
    check_syntax(self, plan)
  end
  local ok, result = pcall(needed("run.door").run, self, plans, emit, options)
  if ok then return result end
  if self.log then self.log("error", tostring(result), { type = "error", error = result }) end
  error(result, 0)
end

--- Run a plan from `plan`, `plan_rollback` or `plan_go_to`, as it is, shortened or reordered. Waits
-- for other runs on the same tracking table; what they have done in the meantime is skipped.
-- @param plan the list, with its direction
-- @param options { on_event = fn(event), stop = fn(), unattended = true }: `stop` is called
--   before each migration and returns whether the run ends there; `unattended`: a program retries
--   again and again, so a repeated failure is recorded only once; an event has type ("start",
--   "applied", "rolled_back", "recorded", "unapplied", "skipped", "warning", "notice", "waiting",
--   "blocked", "retry", "lost", "resumed", "progress"), migration, and depending on its type:
--   duration in seconds, statements = how many, where they were counted, message, severity, detail,
--   hint, holder, blockers, attempt, delay; progress: done of total migrations, bytes of size of
--   the migration's section, statement = its kind, phase and percent as the server reports
-- @return the migrations that were run
-- @raise the error of what failed, with `migration`, `applied` and `rolled_back`
function migrator:run(plan, options)
  local done = perform(self, { plan, plan.again }, arguments.read("run", options))
  for _, m in ipairs(plan.again and done[2] or {}) do table.insert(done[1], m) end
  return done[1]
end

--- Run a plan, or only say what is in it.
local function carry_out(self, plan, options)
  if options.dry_run then return plan end
  return perform(self, { plan }, options)[1]
end

--- Record pending migrations as applied, without running them: for a database that already has
-- their schema.
-- @param version up to this one, inclusive
-- @param options { dry_run = true: only return what would be recorded }, and those of `run`
-- @return the migrations that were recorded
-- @raise kind "plan" if one of them, or the rollback of an applied one, is half finished
function migrator:baseline(version, options)
  if version == nil then errors.raise("usage", "baseline requires a version") end
  options = arguments.read("baseline", options)
  local plan = make_plan(self, planning.up, { to = version, versioned = true }, "baseline")
  return carry_out(self, plan, options)
end

--- Record one pending migration as applied without running it: its change was made by hand.
-- @param version its version
-- @param options { on_event } as in `run`
-- @return a list with the migration; empty if it is already applied
function migrator:fake(version, options)
  if version == nil then errors.raise("usage", "fake requires a version") end
  options = arguments.read("fake", options)
  return self:run(make_plan(self, planning.one, version, "fake"), options)
end

--- Record one applied migration as not applied without running anything: its change was undone by
-- hand, or was never there. What is newer stays applied; its file may be missing.
-- @param version its version
-- @param options { on_event } as in `run`
-- @return a list with the migration; empty if it is not applied
function migrator:unapply(version, options)
  if version == nil then errors.raise("usage", "unapply requires a version") end
  options = arguments.read("unapply", options)
  return self:run(make_plan(self, planning.applied_one, version, "unapplied"), options)
end

--- Take over from another tool: record as applied what its table says, all in one transaction. Its
-- table is only read.
-- @param options { from = the tool's format, default: the migrator's own; from_table = its table,
--   if it has another name; dry_run = true: only look; on_event as in `run` }
-- @return a list of the migrations that are recorded, or would be, with from, from_table, notes =
--   sentences about what is assumed, known = how many were recorded before
-- @raise kinds "plan" for a table that does not exist, and as `baseline`; "drift" if table and
--   files disagree
function migrator:adopt(options)
  options = arguments.read("adopt", options)
  check_db(self)
  local from = needed("takeover.adopt").format(self, options.from)
  local source_of = { table = options.from_table }
  if options.dry_run then
    return recovery.persist(self.db, self.reconnect, function()
      return needed("takeover.adopt").plan(self, from, source_of)
    end)
  end
  local emit = emitter.new(self.log, options.on_event)
  local plan = needed("takeover.adopt").run(self, from, source_of, emit)
  for _, note in ipairs(plan.notes) do emit { type = "warning", message = note } end
  for _, m in ipairs(plan) do emit { type = "recorded", migration = m, duration = 0 } end
  return plan
end

--- The way out: write the rows that another tool would have written itself for what is applied,
-- all in one transaction, and create its table as it does where that is missing. Rows of what pgmig
-- has taken back are removed; all others stay.
-- @param options { to = the tool's format, default: the migrator's own; to_table = its table, if it
--   has another name; dry_run = true: only look; on_event as in `run` }
-- @return a list of the migrations whose rows are written, or would be, with to, to_table, creates
--   = whether the table was missing, known = how many had theirs, removed and corrected = lists of
--   migrations whose rows are deleted or get the checksum of the file, notes = sentences
-- @raise kinds "plan" for a table that is not the tool's, what is half finished, and a gap in what
--   is applied where the tool keeps only its newest version; "drift" for files that the tool would
--   refuse; "usage" for a tool whose rows cannot be written
function migrator:export(options)
  options = arguments.read("export", options)
  check_db(self)
  local export = needed "takeover.export"
  local to = export.format(self, options.to)
  if options.dry_run then return export.plan(self, to, options.to_table) end
  local emit = emitter.new(self.log, options.on_event)
  local plan = export.run(self, to, options.to_table, emit)
  for _, note in ipairs(plan.notes) do emit { type = "warning", message = note } end
  return plan
end

--- Apply pending migrations.
-- @param options nil: all; a version: up to it, inclusive; or { to = version (also written target),
--   steps = at most this many, dry_run = true: only return what would run } and those of `run`
-- @return the migrations that were applied, in order
-- @raise the error of what failed; its `applied` are those before. All of the failed one is rolled
--   back
function migrator:migrate(options)
  options = arguments.read("migrate", options)
  return carry_out(self, plan_up(self, options), options)
end

--- Roll back applied migrations, newest first.
-- @param options nil: the last one; a number of steps; or one of { steps = n }, { to = the version
--   to keep, 0: roll back all }, { all = true }, with dry_run = true: only return what would be
--   rolled back, and those of `run`
-- @return the migrations that were rolled back, in order
-- @raise kind "plan" if one of them cannot be rolled back: then nothing was rolled back
function migrator:rollback(options)
  options = arguments.read("rollback", options)
  return carry_out(self, make_plan(self, planning.down, options), options)
end

--- Roll back the newest migrations and apply them again; does nothing if either is refused.
-- @param options nil; a number of steps; or { steps = 1 } and those of `run`
-- @return { rolled_back = migrations, applied = migrations }; an error has both fields too
function migrator:redo(options)
  options = arguments.read("redo", options)
  local down = make_plan(self, planning.redo, options)
  local done = perform(self, { down, down.again }, options)
  return { rolled_back = done[1], applied = done[2] }
end

--- Go to a version, up or down: then all migrations up to it are applied, and no others. What is
-- newer is rolled back first; does nothing if either is refused.
-- @param version the last one that is to be applied; 0: none
-- @param options { dry_run = true: only return what `plan_go_to` does } and those of `run`
-- @return as `redo`
function migrator:go_to(version, options)
  options = arguments.read("go_to", options)
  local plan = self:plan_go_to(version)
  if options.dry_run then return plan end
  local done = perform(self, { plan, plan.again }, options)
  if plan.direction == "up" then return { rolled_back = {}, applied = done[1] } end
  return { rolled_back = done[1], applied = done[2] or {} }
end

-- ---- repairs ---------------------------------------------------------------

--- Diagnose problems of the database and its migrations. Changes nothing.
-- @return a list of { kind, message, remedy = a shell command, nil where only a person can know
--   what helps, migration }; empty if all is well
function migrator:doctor()
  check_db(self)
  return needed("upkeep.doctor").examine(self)
end

--- The migration that a script names: by version, or a repeatable one by name.
local function find(state, version)
  for _, m in ipairs(state.repeatable) do
    if m.name == version or m.label == version then return m end
  end
  return planning.find(state, version)
end

--- Accept a file as it is now: its checksum and name are recorded, and a failure is resolved.
-- Refused during another run.
-- @param version which migration; nil: all
-- @param options { replaced = true: also if both name and text differ from what was applied, so
--   that it is another migration as far as pgmig can tell; gone = true: its file is gone for good,
--   and no longer called missing; both require a version; on_event as in `run` }
-- @return the migrations whose records were changed
-- @raise kinds "drift" for one that is replaced, "plan" for one that is said to be gone and is not
--   missing, "lock" during another run
function migrator:repair(version, options)
  check_db(self)
  options = arguments.read("repair", options)
  if (options.replaced or options.gone) and version == nil then
    errors.raise("usage", ("repair accepts one %s migration at a time: it requires a version")
      :format(options.replaced and "replaced" or "missing"))
  end
  local emit = emitter.new(self.log, options.on_event)
  return needed("upkeep.repair").accept(self, emit, function(state)
    return version ~= nil and { find(state, version) } or planning.all(state)
  end, options)
end

--- Resolve the outcome of a statement of a migration with transaction=off that only a person can
-- determine. Refused during another run.
-- @param version which migration
-- @param how "done": the interrupted statement took effect; "redo": it did not; "restart": the
--   next run starts again with the first statement
-- @param options { on_event } as in `run`
-- @return the migration
-- @raise kinds "plan" if there is nothing to resolve, "lock" while a run, or the statement, is
--   still running
function migrator:resolve(version, how, options)
  check_db(self)
  if how ~= "done" and how ~= "redo" and how ~= "restart" then
    errors.raise("usage", "resolve requires done, redo or restart")
  end
  local emit = emitter.new(self.log, arguments.read("resolve", options).on_event)
  return needed("upkeep.repair").settle(self, emit, function(state)
    return find(state, version)
  end, how)
end

-- ---- backfills -------------------------------------------------------------

--- What backfills there are (docs/backfill.md).
-- @param version of which migration, "12", or "12.2" for its second step; a script's name; nil: all
-- @return a list of descriptions (pgmig.backfill.description)
function migrator:backfills(version)
  check_db(self)
  return needed("backfill.runs").describe(self, version)
end

--- Run backfills that are not done, also those that a run has left for later.
-- @param options nil; a version; or { version, rate = rows a second, duty = share of the time,
--   hours = "22:00-06:00", throttle = limits, stop = fn() returns whether to end behind the batch
--   under way, on_event }
-- @return as of `backfills`, as they are then
-- @raise what makes one fail
function migrator:run_backfills(options)
  check_db(self)
  options = arguments.read("run_backfills", options)
  if options.throttle == nil then options.throttle = self.throttle end
  return needed("backfill.runs").run_all({
    db = self.db, ledger = self.ledger, reconnect = self.reconnect, limits = options,
    emit = emitter.new(self.log, options.on_event), stop = options.stop,
  }, options.version)
end

--- Change the state of backfills, whoever works on them.
-- @param version as of `backfills`
-- @param how "pause"; "resume"; "cancel": it stays undone; "retry": one that failed or was
--   cancelled is to be run again, and rows that were left out are to be tried again
-- @return descriptions of those that were changed
-- @raise kind "plan" if there is none
function migrator:set_backfills(version, how)
  check_db(self)
  if how ~= "pause" and how ~= "resume" and how ~= "cancel" and how ~= "retry" then
    errors.raise("usage", "set_backfills requires pause, resume, cancel or retry")
  end
  return needed("backfill.runs").set(self, version, how)
end

-- ---- proof -----------------------------------------------------------------

--- Compare the database with what its applied migrations make, on a clone; see
-- `pgmig.proof.drift`.
function migrator:drift(options)
  check_db(self)
  return needed("proof.drift").run(self, options)
end

--- Find out which of the files a database has: up to which version they make its schema, on a
-- clone; see `pgmig.proof.prefix`.
function migrator:detect_baseline(options)
  check_db(self)
  return needed("proof.prefix").find(self, options)
end

--- Put one file in the place of all up to a version, proven to make the same schema; see
-- `pgmig.proof.squash`.
function migrator:squash(options) return needed("proof.squash").run(self, options) end

--- Dump the schema with its applied migrations as SQL, the same text each time; see
-- `pgmig.proof.dump`.
function migrator:dump(options)
  check_db(self)
  return needed("proof.dump").run(self, options)
end

--- See what the pending migrations lock, rewrite, scan and build, on a clone; see
-- `pgmig.proof.trace`.
function migrator:trace(options) return needed("proof.trace").run(self, options) end

--- Try on a clone whether each migration can be rolled back and applied again; see
-- `pgmig.proof.verify`.
function migrator:verify(options) return needed("proof.verify").run(self, options) end

--- Judge the pending migrations; see `pgmig.proof.check`.
function migrator:check(options) return needed("proof.check").run(self, options) end

-- ---- files -----------------------------------------------------------------

--- Give unapplied files whose version others have, too, the next ones; see
-- `pgmig.upkeep.renumber`. Without a database, what git has on the main branch stays.
function migrator:renumber(options) return needed("upkeep.renumber").run(self, options) end

--- Write a new migration file from the template; needs no database.
-- @param name what it does, such as "add_orders_table"
-- @param options { timestamp = true }: the time as the version, not the next number
-- @return its path
-- @raise kinds "usage" for a name without letters, "io"
function migrator:create(name, options)
  local set = self:files()
  local list, baseline = set.list, set.baselines[#set.baselines]
  local is_last = baseline and (not list[1] or migration.before(list[#list], baseline))
  if is_last then list = { baseline } end
  return needed("files.create").create(self.dirs[1], list, self.naming, name, {
    timestamp = arguments.read("create", options).timestamp, format = self.format,
  })
end

return M
