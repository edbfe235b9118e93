--- Reports for people.
local texts = require "pgmig.texts"
local needed = require "pgmig.needed"

local backfill_report = needed "cli.backfill_report"
local bar = needed "cli.bar"
local source = needed "files.source"
local status_table, times = needed "cli.status_table", needed "cli.times"

local M = {}
local text = {}
text.__index = text

--- Make a reporter.
-- @param output where to write (pgmig.cli.output)
-- @param options verbose: show statements whole
function M.new(output, options)
  return setmetatable({
    output = output, verbose = options.verbose, bar = output.progress and bar.new(output),
  }, text)
end

local function count(n, noun) return ("%d %s%s"):format(n, noun, n == 1 and "" or "s") end

local function milliseconds(seconds) return ("%.0f ms"):format(seconds * 1000) end

--- A time that may be long.
local function span(seconds)
  if seconds < 1 then return milliseconds(seconds) end
  if seconds < 60 then return ("%.1f s"):format(seconds) end
  local whole = math.floor(seconds + 0.5)
  if whole < 3600 then return ("%d min %d s"):format(math.floor(whole / 60), whole % 60) end
  return ("%d h %d min"):format(math.floor(whole / 3600), math.floor(whole % 3600 / 60))
end

--- Where a remark comes from; a server may send one outside any migration.
local function origin(event)
  local m = event.migration
  if not m then return "" end
  local place = event.line and ("%s:%d"):format(event.file or m.path, event.line)
  return texts.line(place or m.label) .. ": "
end

local function remark(self, event)
  local lines = {
    origin(event) .. (event.severity or "WARNING") .. ": " .. texts.field(event.message),
  }
  if event.detail then lines[#lines + 1] = "DETAIL: " .. texts.field(event.detail) end
  if event.hint then lines[#lines + 1] = "HINT: " .. texts.field(event.hint) end
  self.output:notes(table.concat(lines, "\n"))
end

--- The warnings of a plan.
local function warn(self, warnings)
  for _, warning in ipairs(warnings) do
    remark(self, { migration = warning.migration, message = warning.message })
  end
end

--- A name as it is, in quotes where it would not be seen where it ends.
local function named(name) return name:find "[%s\"(),:]" and '"' .. name .. '"' or name end

--- Tell times in the zone of whoever looks.
function text:tell_local_times() self.is_local = true end

--- Which database it is, and where that was said.
function text:database(place)
  self.output:note(("pgmig: database %s on %s:%s as %s (%s)"):format(named(place.name),
    place.host:find ":" and "[" .. place.host .. "]" or place.host, place.port, named(place.user),
    place.source))
end

-- ---- what commands report ---------------------------------------------------

--- What `backfill status` found.
function text:backfill_status(backfills) backfill_report.status(self.output, backfills) end

--- What `status` found.
function text:status(status)
  status_table.write(self.output, status, { is_local = self.is_local })
end

--- The newest applied migration; nil: there is none.
function text:version(m) self.output:line(m and m.label or "nothing is applied") end

--- `status` cannot tell which table counts, or sees only a part of it.
function text:unclear(err)
  self.output:line(self.output:paint(1, "red", "not known: ") .. err.message .. "; " .. err.hint)
end

--- Where a run takes a migration up that was left half-way; its error where it cannot.
local function resume_line(step)
  local left, label = step.resume, step.migration.label
  if left.problem then
    return ("cannot resume  %s: %s"):format(label, left.problem.message
      .. (left.problem.hint and "; " .. left.problem.hint or ""))
  end
  if left.done >= #step.statements then
    return ("would record  %s  (all of its statements are done)"):format(label)
  end
  return ("would resume  %s at statement %d of %d  (transaction=off)"):format(label, left.done + 1,
    #step.statements)
end

local function plan_line(verb, step)
  local label = step.migration.label
  if step.problem then return ("cannot %s  %s: %s"):format(verb, label, step.problem) end
  if step.resume and #step.statements > 0 then return resume_line(step) end
  local statements = count(#step.statements, "statement")
  if step.migration.language == "lua" then statements = "Lua" end
  local mode = step.transaction and "one transaction" or "transaction=off"
  return ("would %s  %s  (%s, %s)"):format(verb, label, mode, statements)
end

--- What a run does before the statement at which it resumes.
local function preparations(left)
  local list = {}
  for _, name in ipairs(left.drops) do
    list[#list + 1] = ("  first: drop the INVALID index %s, which an earlier attempt left behind")
      :format(name)
  end
  if left.finish then list[#list + 1] = "  first: " .. left.finish end
  if left.unsure then
    list[#list + 1] = ("  what became of its interrupted statement a run has to see: %s")
      :format(left.unsure)
  end
  return list
end

--- The statements of a planned migration: all of them, whole with --verbose.
function text:statements(step)
  if step.problem then return end
  local left = step.resume or { done = 0, drops = {} }
  for i, statement in ipairs(step.statements) do
    if i == left.done + 1 then
      for _, line in ipairs(preparations(left)) do self.output:line(line) end
    end
    local sql = self.verbose and statement.sql or texts.excerpt(statement.sql)
    local place = ("  %s:%d: "):format(texts.line(step.migration.path), statement.line)
    self.output:block(place .. (i <= left.done and "done: " or "") .. sql)
  end
end

--- What a planned migration fills.
function text:backfills(step)
  for _, backfill in ipairs(step.backfills or {}) do
    self.output:line(("  then: backfill %s, SET %s%s"):format(texts.line(backfill.table),
      texts.excerpt(backfill.set), backfill.run == "later" and " (later)" or ""))
  end
end

--- What a plan would do, one migration after the other.
function text:steps(verb, steps)
  for _, step in ipairs(steps) do
    self.output:line(plan_line(verb, step))
    self:statements(step)
    self:backfills(step)
  end
end

--- What a dry run found.
-- @param plan the migrator's plan
-- @param steps list of { migration, transaction, statements }, or { migration, problem }
function text:plan(plan, steps)
  if plan.direction == "up" then self:ignored(plan) end
  warn(self, plan.warnings)
  if #plan == 0 then return self:nothing(plan) end
  local verb = plan.direction == "up" and "apply" or "roll back"
  self:steps(verb, steps)
  self.output:line(("%s to %s; nothing was run"):format(count(#steps, "migration"), verb))
end

--- What a dry run of the way to a version found.
-- @param plan as of `migrator:plan_go_to`
-- @param steps of the plan, as of `text:plan`
-- @param later of what is applied behind it, the same
function text:way(plan, steps, later)
  self:plan(plan, steps)
  if not plan.again then return end
  warn(self, plan.again.warnings)
  self:steps("apply", later)
  self.output:line(("then %s to apply; nothing was run"):format(count(#later, "migration")))
end

--- What is said last of an adoption: that other commands have to know the format, too.
local function remind(self, format)
  if not format or format == "pgmig" then return end
  self.output:line(('from now on: --format %s, or `format = "%s"` in pgmig.conf.lua'):format(format,
    format))
end

local function known(plan)
  if plan.known == 0 then return "" end
  return (", %d recorded already"):format(plan.known)
end

--- What `adopt` would record.
-- @param plan the migrator's
-- @param format the format that later commands have to be told; nil: none
function text:adoption(plan, format)
  for _, note in ipairs(plan.notes) do self.output:note("pgmig: " .. note) end
  for _, m in ipairs(plan) do
    self.output:line(("would record  %s%s"):format(m.label,
      plan.applied_at[m] and "  (" .. plan.applied_at[m] .. ")" or ""))
  end
  self.output:line(("%s of %s to record%s; nothing was written"):format(count(#plan, "migration"),
    plan.from_table, known(plan)))
  remind(self, format)
end

--- `adopt` has recorded a plan.
function text:adopted(plan, format)
  self.output:line(("%s of %s recorded%s"):format(count(#plan, "migration"), plan.from_table,
    known(plan)))
  remind(self, format)
end

--- The rows that `export` has written, or would write.
-- @param plan the migrator's
-- @param dry whether nothing was written
function text:export(plan, dry)
  for _, note in ipairs(dry and plan.notes or {}) do self.output:note("pgmig: " .. note) end
  local verbs = dry and { "would remove ", "would correct", "would write  " }
    or { "removed  ", "corrected", "written  " }
  for i, list in ipairs { plan.removed, plan.corrected, plan } do
    for _, m in ipairs(list) do self.output:line(("%s  %s"):format(verbs[i], m.label)) end
  end
  self.output:line(("%s of %s: %d %s, %d removed, %d corrected, %d there already%s"):format(
    plan.to_table, plan.to, #plan, dry and "to write" or "written", #plan.removed, #plan.corrected,
    plan.known, dry and "; nothing was written" or ""))
end

--- Files that look like migrations, and are not applied as such.
function text:ignored(plan)
  for _, path in ipairs(plan.ignored) do
    self.output:note(("pgmig: ignored: %s %s"):format(path, plan.files.reasons[path]))
  end
end

--- What a plan leaves to the other phase.
local function tell_others(self, plan)
  local others = plan and plan.others or {}
  if not others[1] then return end
  local phase = source.phase(others[1])
  self.output:line(("%s of phase %s %s pending: pgmig up --phase %s"):format(
    count(#others, "migration"), phase, others[2] and "are" or "is", phase))
end

--- A plan has nothing to do.
function text:nothing(plan)
  if plan.record_only == "unapplied" then return self.output:line "it is not applied" end
  if plan.direction == "down" then return self.output:line "nothing to roll back" end
  self.output:line("nothing to apply" .. (plan.newest and ", at " .. plan.newest.label or ""))
  tell_others(self, plan)
end

--- How many statements have run, where that is known, and how long all took; "" where nothing ran.
local function effort(record)
  local seconds = record:duration()
  if not seconds then return "" end
  local statements = record.statements and count(record.statements, "statement") .. ", " or ""
  return ("  (%s%s)"):format(statements, span(seconds))
end

--- A run that had something to do has ended well.
-- @param plan of `migrator:plan`; nil
function text:finished(record, plan)
  local parts = {}
  for _, what in ipairs { "rolled_back", "applied", "recorded", "unapplied" } do
    local n = #record[what]
    if n > 0 then parts[#parts + 1] = count(n, "migration") .. " " .. what:gsub("_", " ") end
  end
  self.output:line(parts[1] and table.concat(parts, ", ") .. effort(record)
    or "another run has already done everything")
  tell_others(self, plan)
end

--- `init` has made what was missing.
function text:initialized(done)
  for _, file in ipairs(done.files) do
    self.output:line(("%s  %s"):format(file.created and "created" or "there already", file.path))
  end
  if done.format then
    self.output:line(("the migrations are those of %s%s"):format(done.format,
      done.says_format and ", as pgmig.conf.lua says" or ""))
    if not done.says_format then remind(self, done.format) end
  end
  if done.unclear then
    self.output:note(("pgmig: %s; say in pgmig.conf.lua which format it is"):format(
      done.unclear.message))
  end
  if done.ci then
    self.output:line "the CI file needs the variable PGMIG_RELEASE_URL: where pgmig's releases are"
  end
  self.output:line "next:"
  for _, command in ipairs(done.next) do self.output:line("   " .. command) end
end

--- `create` wrote a file.
function text:created(path) self.output:line(path) end

--- What `renumber` has renamed, or would.
function text:renumbered(found, is_dry)
  for _, note in ipairs(found.notes) do self.output:note("pgmig: " .. note) end
  for _, one in ipairs(found.kept) do
    self.output:line(("stays  %s  (%s)"):format(one.path, one.reason))
  end
  for _, move in ipairs(found.renamed) do
    self.output:line(("%s  %s -> %s"):format(is_dry and "would rename" or "renamed", move.from,
      move.to))
  end
  if not found.renamed[1] then self.output:line "nothing to renumber" end
end

--- `database create` has ended: whether it has made one.
function text:made(is_new)
  self.output:line(is_new and "the database is created" or "the database is there already")
end

--- `database drop` has ended: whether it has dropped one.
function text:dropped(was_there)
  self.output:line(was_there and "the database is dropped" or "there is no such database")
end

--- What `drift` found.
function text:drift(drift)
  for _, sentence in ipairs(drift.notes) do self.output:note("pgmig: " .. sentence) end
  for _, line in ipairs(drift.beside_lines) do
    self.output:note("pgmig: not as in a new database, and no file makes it so: " .. line)
  end
  if drift.equal then return self.output:line("the schema is " .. drift.of) end
  self.output:line(("the schema is not %s:"):format(drift.of))
  for _, line in ipairs(drift.lines) do self.output:line("  " .. line) end
  self.output:line(count(#drift.lines, "difference"))
end

--- Up to which version the files make the schema.
function text:detected(found)
  for _, sentence in ipairs(found.notes) do self.output:note("pgmig: " .. sentence) end
  if not found.migration then return self.output:line "the schema is empty: nothing to record" end
  self.output:line(("the schema is what the migrations up to %s make"):format(
    found.migration.label))
end

--- What `baseline` would record.
function text:recordable(plan)
  for _, m in ipairs(plan) do self.output:line("would record  " .. m.label) end
  self.output:line(("%s to record; nothing was written"):format(count(#plan, "migration")))
end

--- `squash` put a file in the place of others.
function text:squashed(squash)
  for _, sentence in ipairs(squash.notes) do self.output:note("pgmig: " .. sentence) end
  for _, one in ipairs(squash.lost) do
    self.output:note(one.rows and ("pgmig: not in the file: %s of table %s"):format(count(one.rows,
      "row"), one.name) or "pgmig: not in the file: the last number of sequence " .. one.name)
  end
  local list = squash.replaced
  self.output:line(("%s  %s, in the place of %s, %s to %s"):format(squash.path,
    squash.written and "written" or "not written", count(#list, "migration"), list[1].label,
    list[#list].label))
  self.output:line(("proven: it makes the same schema, and so it does with the %s behind it")
    :format(count(squash.behind, "migration")))
end

--- `dump` wrote a file, or a run did behind it.
function text:dumped(dumped)
  self.output:line(("%s  %s"):format(dumped.path, dumped.changed and "written" or "unchanged"))
end

--- What `config` found: a list of { key, value, source }.
function text:settings(list)
  for _, setting in ipairs(list) do
    self.output:line(("%-16s %-40s %s"):format(setting.key, setting.value, setting.source))
  end
end

--- A statement has run (--verbose).
function text:statement(ctx)
  local s = ctx.statement
  self.output:line(("  %s:%d: %s  (%s)"):format(ctx.migration.path, s.line, texts.excerpt(ctx.sql),
    milliseconds(ctx.duration)))
end

--- `wait` has reached the database, or the server without it.
function text:reached(there)
  self.output:line(there and "the database accepts connections"
    or "the server accepts connections; the database does not exist")
end

local ID_SHOWN = 20 -- digits; longer ones are a format's own

--- What an event's message says, with what is known of a failure.
local function account(e)
  local words = {}
  if e.file then
    words[1] = table.concat({ e.file, e.line, e.column }, ":") .. ":"
  end
  words[#words + 1] = texts.excerpt(e.message)
  if e.sqlstate then words[#words + 1] = ("(SQLSTATE %s)"):format(e.sqlstate) end
  if e.detail then words[#words + 1] = "DETAIL: " .. texts.excerpt(e.detail) end
  return "- " .. table.concat(words, " ")
end

-- Events that take their time; others are noted at once.
local timed = {
  up = true, down = true, failed = true, unknown = true, baseline = true, fake = true,
  unapplied = true,
}

local function history_line(e, is_local)
  local label = (e.id and ("0"):rep(3 - #e.id) .. e.id .. "_" or "R__") .. e.name
  if e.id and #e.id > ID_SHOWN then label = e.name end
  local parts = { times.shown(e.finished_at, is_local), ("%-11s"):format(e.event), label }
  if timed[e.event] then parts[#parts + 1] = "(" .. milliseconds(e.duration) .. ")" end
  parts[#parts + 1] = ("%s@%s"):format(e.db_user, e.host or "?")
  if e.message then parts[#parts + 1] = account(e) end
  return table.concat(parts, "  ")
end

--- What `history` found.
function text:history(events)
  for _, event in ipairs(events) do self.output:line(history_line(event, self.is_local)) end
  if #events == 0 then self.output:line "nothing has happened yet" end
end

--- What `doctor` found.
function text:findings(findings)
  for _, finding in ipairs(findings) do
    self.output:block(self.output:paint(1, "yellow", finding.kind .. ":") .. " "
      .. texts.field(finding.message) .. (finding.remedy and ":" or ""))
    if finding.remedy then self.output:line("   " .. finding.remedy) end
  end
  self.output:line(#findings == 0 and "all is well" or count(#findings, "finding"))
end

--- What `repair` has accepted.
function text:repaired(list)
  for _, m in ipairs(list) do self.output:line("repaired  " .. m.label) end
  if #list == 0 then self.output:line "nothing to repair" end
end

--- What `resolve` has settled.
function text:resolved(m, how) self.output:line(("resolved  %s  (%s)"):format(m.label, how)) end

-- ---- events ----------------------------------------------------------------

local function ended(color, verb)
  return function(self, event)
    local done = self.output:paint(1, color, ("%-11s"):format(verb))
    self.output:line(done .. ("  %s  (%s)"):format(event.migration.label,
      milliseconds(event.duration)))
  end
end

local on = {
  start = function(self, event)
    local verb = event.direction == "up" and "applying" or "rolling back"
    self.output:running(("%-11s  %s ..."):format(verb, event.migration.label))
  end,
  applied = ended("green", "applied"),
  rolled_back = ended("yellow", "rolled back"),
  recorded = ended("green", "recorded"),
  unapplied = ended("yellow", "unapplied"),
  skipped = function(self, event)
    self.output:line(("%-11s  %s  (%s)"):format("skipped", event.migration.label, event.message))
  end,
  warning = remark,
  notice = remark,
  waiting = function(self, event) self.output:note("pgmig: " .. event.message) end,
  blocked = function(self, event)
    for _, b in ipairs(event.blockers) do
      self.output:note(("pgmig: waiting for a lock that pid %d holds (%s): %s"):format(b.pid,
        b.application_name or "?", texts.excerpt(b.query or "query hidden")))
    end
  end,
  retry = function(self, event)
    self.output:note(("%s: %s; trying again in %.1f s"):format(event.migration.label,
      event.message, event.delay))
  end,
  lost = function(self, event)
    self.output:note(("%s: the connection was lost (%s); connecting again"):format(
      event.migration.label, event.message))
  end,
  backfill = function(self, event) backfill_report.event(self.output, event) end,
  resumed = function(self, event)
    self.output:note(("%s: resuming %s"):format(event.migration.label, event.message))
  end,
}

--- Something happened during a run.
function text:event(event)
  local handle = on[event.type]
  if handle then handle(self, event) end
  if self.bar then self.bar:event(event) end
end

return M
