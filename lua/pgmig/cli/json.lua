--- Reports for programs: JSON, one object per line.
local core = require "pgmig.core"
local dkjson = require "dkjson"
local ledger = require "pgmig.state.ledger"

local M = {}
local json = {}
json.__index = json

-- Keys in this order, others behind them by name.
local key_order = {
  "event", "direction", "version", "name", "label", "state", "kind", "message", "file", "line",
  "column", "sqlstate", "detail", "hint", "context", "statement", "query", "query_at", "migration",
  "severity",
  "applied_count", "pending_count", "applied", "rolled_back", "pending", "repeatable", "missing",
  "ignored", "problems", "warning", "warnings", "migrations", "applied_at", "recorded_name",
  "down", "transaction", "statements", "duration", "path", "checksum", "started_at",
  "finished_at", "db_user", "user", "host", "port", "source", "program", "run", "remedy", "done",
  "total", "bytes", "size", "phase", "percent", "history", "findings", "repaired", "resolved",
  "how", "at_work", "database",
}

local PERIOD = 0.9 -- seconds between two progress events, at least

--- A time to the microsecond.
local function rounded(seconds) return math.floor(seconds * 1e6 + 0.5) / 1e6 end

local function object(fields) return setmetatable(fields, { __jsontype = "object" }) end

--- A list, written as [] when it is empty.
local function list(items, convert)
  local result = setmetatable({}, { __jsontype = "array" })
  for i, item in ipairs(items) do result[i] = convert and convert(item) or item end
  return result
end

local function migration(m)
  return object {
    version = m.version, name = m.name, label = m.label, state = m.state, path = m.path,
    applied_at = m.applied_at, down = m.down,
    phase = m.phase == "post" and "post" or nil,
    recorded_name = m.recorded_name ~= m.name and m.recorded_name or nil,
    failure = m.failure and object { message = m.failure.message, at = m.failure.at },
    unfinished = m.unfinished and object {
      direction = m.unfinished.direction, done = m.unfinished.done,
      statement = m.unfinished.running, since = m.unfinished.since,
    },
  }
end

local function brief(m)
  return object { version = m.version, name = m.name, label = m.label }
end

--- Make a reporter.
-- @param output where to write (pgmig.cli.output)
-- @param options verbose: all SQL of a plan
function M.new(output, options)
  return setmetatable({ output = output, verbose = options.verbose }, json)
end

-- Every key that was ever written, in its order; each has its place, others the same behind them.
local keys, places = {}, {}
for i, key in ipairs(key_order) do keys[i], places[key] = key, i end
local BEHIND = #key_order + 1

--- Note the keys of a value, and of all that is in it.
local function note_keys(value)
  for key, inner in pairs(value) do
    if type(key) == "string" and not places[key] then
      keys[#keys + 1], places[key] = key, BEHIND
    end
    if type(inner) == "table" then note_keys(inner) end
  end
end

local function before(a, b)
  if places[a] ~= places[b] then return places[a] < places[b] end
  return a < b
end

--- The text of an object: dkjson writes the keys that it is not told in any order.
local function encode(fields)
  local known = #keys
  note_keys(fields)
  if #keys > known then table.sort(keys, before) end
  return core.readable(dkjson.encode(object(fields), { keyorder = keys }), "\\\\x")
end

--- Write what a command has to say in one object; it says which database that is about.
function json:write(fields)
  if self.place then fields.database = self.place end
  self.output:line(encode(fields))
end

--- Write an event of a run. The first one says which database it is.
local function tell(self, fields)
  if self.place and not self.place_told then
    self.output:line(encode { event = "database", database = self.place })
  end
  self.place_told = true
  self.output:line(encode(fields))
end

--- Programs get the same times everywhere.
function json.tell_local_times() end

--- Which database it is, and where that was said.
function json:database(place) self.place, self.place_told = object(place), false end

-- ---- what commands report ---------------------------------------------------

--- Who holds the lock, and whom that run waits for.
local function at_work(who)
  if not who then return nil end
  local fields = {}
  for key, value in pairs(who) do fields[key] = value end
  fields.blockers = who.blockers and list(who.blockers, object)
  return object(fields)
end

--- What the table of the folder's own tool says, with the labels of what it has applied.
local function untaken(status)
  local found = status.untaken
  if not found then return nil end
  local labels = {}
  for _, migrations in ipairs { status.pending, status.repeatable } do
    for _, m in ipairs(migrations) do
      if found.applied[ledger.key(m)] then labels[#labels + 1] = m.label end
    end
  end
  return object {
    from = found.from, from_table = found.from_table, message = found.message, hint = found.hint,
    remedy = found.remedy, applied = list(labels),
  }
end

--- What `status` found.
function json:status(status)
  self:write {
    applied_count = status.applied_count, pending_count = status.pending_count,
    applied = list(status.applied, migration), pending = list(status.pending, migration),
    repeatable = list(status.repeatable, migration), ignored = list(status.ignored),
    problems = list(status.problems, function(problem)
      return object { kind = problem.kind, message = problem.message, path = problem.path }
    end),
    untaken = untaken(status), warning = status.warning,
    at_work = at_work(status.at_work),
  }
end

--- The newest applied migration; nil: there is none.
function json:version(m) self:write(m and brief(m) or {}) end

--- Where a run would take it up.
local function resumed(left)
  local problem = left.problem
  return object {
    done = left.done, drops = list(left.drops), finish = left.finish, unsure = left.unsure,
    problem = problem and object {
      kind = problem.kind, message = problem.message, hint = problem.hint, line = problem.line,
      statement = problem.statement,
    },
  }
end

local function statement(s)
  return object { line = s.line, column = s.column, kind = s.kind, statement = s.sql }
end

local function planned(self, step)
  local fields = brief(step.migration)
  fields.path, fields.problem = step.migration.path, step.problem
  fields.transaction, fields.statements = step.transaction, step.statements and #step.statements
  fields.resume = step.resume and resumed(step.resume)
  fields.sql = self.verbose and step.statements and list(step.statements, statement) or nil
  return fields
end

--- The fields of a plan.
local function plan_fields(self, plan, steps)
  return {
    direction = plan.direction, ignored = plan.ignored and list(plan.ignored),
    migrations = list(steps, function(step) return planned(self, step) end),
    warnings = plan.warnings and plan.warnings[1] and list(plan.warnings, function(warning)
      return object {
        state = warning.state, message = warning.message,
        migration = warning.migration and warning.migration.label,
      }
    end),
  }
end

--- What a dry run found.
-- @param plan the migrator's plan
-- @param steps list of { migration, transaction, statements }, or { migration, problem }
function json:plan(plan, steps) self:write(plan_fields(self, plan, steps)) end

--- What a dry run of the way to a version found; in `again`, what is applied behind a rollback.
function json:way(plan, steps, later)
  local fields = plan_fields(self, plan, steps)
  fields.again = plan.again and object(plan_fields(self, plan.again, later))
  self:write(fields)
end

local function adoption(plan, recorded)
  return {
    from = plan.from, from_table = plan.from_table, known = plan.known, recorded = recorded,
    notes = list(plan.notes), migrations = list(plan, function(m)
      local fields = brief(m)
      fields.path, fields.applied_at = m.path, plan.applied_at[m]
      return object(fields)
    end),
  }
end

--- What `adopt` would record, or has recorded.
function json:adoption(plan) self:write(adoption(plan, false)) end
function json:adopted(plan) self:write(adoption(plan, true)) end

--- The rows that `export` has written, or would write.
function json:export(plan, dry)
  local function migrations(of)
    return list(of, function(m)
      local fields = brief(m)
      fields.path, fields.applied_at = m.path, m.applied_at
      return object(fields)
    end)
  end
  self:write {
    to = plan.to, to_table = plan.to_table, creates = plan.creates, exported = not dry,
    known = plan.known, notes = list(plan.notes), migrations = migrations(plan),
    removed = migrations(plan.removed), corrected = migrations(plan.corrected),
  }
end

--- Files that look like migrations, and are not applied as such.
function json:ignored(plan)
  for _, path in ipairs(plan.ignored) do
    tell(self, { event = "ignored", path = path, reason = plan.files.reasons[path] })
  end
end

--- Whether progress is worth telling again: programs want it now and then.
local function is_due(self)
  local now = core.now()
  if now - self.told < PERIOD then return false end
  self.told = now
  return true
end

--- What is known of a backfill.
local function described(backfill)
  local fields = {}
  for key, value in pairs(backfill) do fields[key] = value end
  fields.key = backfill.key and list(backfill.key)
  fields.failed_key = backfill.failed_key and list(backfill.failed_key)
  fields.skipped = list(backfill.skipped, function(one)
    return object { key = list(one.key), error = one.error }
  end)
  for _, key in ipairs { "rate", "eta", "fraction", "batch_seconds" } do
    fields[key] = fields[key] and rounded(fields[key])
  end
  return object(fields)
end

--- Something happened during a run.
function json:event(event)
  self.told = self.told or core.now()
  local is_progress = event.type == "progress" or event.phase == "progress"
  if is_progress and not is_due(self) then return end
  local m = event.migration or {}
  tell(self, {
    event = event.type, direction = event.direction, version = m.version, name = m.name,
    label = m.label, duration = event.duration and rounded(event.duration),
    severity = event.severity, message = event.message, detail = event.detail, hint = event.hint,
    line = event.line, file = event.line and (event.file or m.path) or nil,
    attempt = event.attempt, delay = event.delay, holder = event.holder and object(event.holder),
    blockers = event.blockers and list(event.blockers, object),
    done = event.done, total = event.total, bytes = event.bytes, size = event.size,
    statement = event.statement, phase = event.phase, percent = event.percent,
    backfill = event.backfill and described(event.backfill),
  })
end

--- What `backfill status` found.
function json:backfill_status(backfills)
  self:write { backfills = list(backfills, described) }
end

--- A run has ended well.
function json:finished(record)
  local seconds = record.duration and record:duration()
  tell(self, {
    event = "finished", applied = list(record.applied, brief),
    rolled_back = list(record.rolled_back, brief),
    recorded = record.recorded[1] and list(record.recorded, brief) or nil,
    unapplied = record.unapplied[1] and list(record.unapplied, brief) or nil,
    statements = seconds and record.statements or nil, duration = seconds and rounded(seconds),
  })
end

--- There is nothing to do.
function json:nothing()
  self:finished { applied = {}, rolled_back = {}, recorded = {}, unapplied = {} }
end

--- `init` has made what was missing.
function json:initialized(done)
  self:write {
    files = list(done.files, object), format = done.format, next = list(done.next),
    unclear = done.unclear and done.unclear.message,
  }
end

--- `create` wrote a file.
function json:created(path) self:write { path = path } end

--- What `renumber` has renamed, or would.
function json:renumbered(found, is_dry)
  self:write {
    renamed = list(found.renamed, object), kept = list(found.kept, object),
    notes = list(found.notes), written = not is_dry,
  }
end

--- `database create` has ended: whether it has made one.
function json:made(is_new) self:write { event = is_new and "created" or "exists" } end

--- `database drop` has ended: whether it has dropped one.
function json:dropped(was_there) self:write { event = was_there and "dropped" or "absent" } end

--- What `drift` found.
function json:drift(drift)
  self:write {
    equal = drift.equal, differences = list(drift.differences, object),
    beside = list(drift.beside, object), notes = list(drift.notes),
  }
end

--- Up to which version the files make the schema.
function json:detected(found)
  tell(self, {
    event = "detected", label = found.migration and found.migration.label,
    version = found.migration and found.migration.version, notes = list(found.notes),
  })
end

--- What `baseline` would record.
function json:recordable(plan)
  tell(self, { event = "recordable", migrations = list(plan, brief) })
end

--- `squash` put a file in the place of others.
function json:squashed(squash)
  self:write {
    path = squash.path, written = squash.written or false, behind = squash.behind,
    replaced = list(squash.replaced, brief), notes = list(squash.notes),
    lost = list(squash.lost, function(one) return object { name = one.name, rows = one.rows } end),
  }
end

--- `dump` wrote a file, or a run did behind it.
function json:dumped(dumped)
  tell(self, { event = "dumped", path = dumped.path, changed = dumped.changed })
end

--- What `config` found: a list of { key, value, source }.
function json:settings(settings)
  local fields = {}
  for _, setting in ipairs(settings) do
    fields[setting.key] = object { value = setting.value, source = setting.source }
  end
  self:write(fields)
end

--- What `history` found.
function json:history(events)
  self:write { history = list(events, function(event)
    local fields = {}
    for key, value in pairs(event) do fields[key] = value end
    fields.id = nil
    return object(fields)
  end) }
end

--- What `doctor` found.
function json:findings(findings)
  self:write { findings = list(findings, function(finding)
    return object {
      kind = finding.kind, message = finding.message, remedy = finding.remedy,
      migration = finding.migration and finding.migration.label,
    }
  end) }
end

--- What `repair` has accepted.
function json:repaired(migrations) self:write { repaired = list(migrations, brief) } end

--- What `resolve` has settled.
function json:resolved(m, how) self:write { resolved = brief(m), how = how } end

--- A statement has run (--verbose).
function json:statement(ctx)
  tell(self, {
    event = "statement", label = ctx.migration.label, file = ctx.migration.path,
    line = ctx.statement.line, kind = ctx.statement.kind, statement = ctx.sql,
    duration = rounded(ctx.duration),
  })
end

--- `wait` has reached the database, or the server without it.
function json:reached(there) self:write { event = "reached", exists = there } end

--- A command failed.
function json:failed(err, record)
  self.output:always(encode {
    event = "error", kind = err.kind, message = err.message, file = err.file, line = err.line,
    column = err.column, sqlstate = err.sqlstate, detail = err.detail, hint = err.hint,
    context = err.context, statement = err.statement, query = err.query, query_at = err.query_at,
    migration = err.migration,
    holder = err.holder and object(err.holder),
    blockers = err.blockers and list(err.blockers, object),
    applied = list(record.applied, brief), rolled_back = list(record.rolled_back, brief),
    database = self.place,
  })
end

return M
