--- The pending migrations, judged: run on a clone, watched, and what they do to others told with
-- the place, the reason and a safe way.
local accepted = require "pgmig.proof.accepted"
local advice = require "pgmig.proof.advice"
local arguments = require "pgmig.arguments"
local catalogs = require "pgmig.proof.catalog"
local changes = require "pgmig.proof.changes"
local clones = require "pgmig.proof.clone"
local errors = require "pgmig.errors"
local facts_of = require "pgmig.proof.facts"
local forecasts = require "pgmig.proof.forecast"
local findings = require "pgmig.proof.findings"
local replays = require "pgmig.proof.replay"
local rules_of = require "pgmig.proof.rules"
local shapes = require "pgmig.proof.shape"
local source = require "pgmig.files.source"
local texts = require "pgmig.texts"
local trace = require "pgmig.proof.trace"
local verifies = require "pgmig.proof.verify"

local M = {}

--- The facts that are given: a table, a file of `pgmig stats`, or none.
local function read_facts(given)
  if given == nil then return facts_of.none() end
  return type(given) == "string" and facts_of.load(given) or facts_of.of(given)
end

-- ---- what cannot be run ----------------------------------------------------------------

--- Kinds of errors that are about a file, and no reason to end without a report.
local of_files = { parse = "syntax", sql = "fails", lua = "fails", hook = "fails" }

local advice_of = {
  syntax = "pgmig refuses the whole run before its first statement",
  fails = "the migration is rolled back there, too, and what comes after it does not run",
}

--- A finding for an error of a file; other errors are raised.
local function finding_of(err)
  local id = errors.is(err) and of_files[err.kind]
  if not id then error(err, 0) end
  local message = err.message
  if err.sqlstate then message = ("%s (SQLSTATE %s)"):format(message, err.sqlstate) end
  return {
    id = id, severity = "error", message = message, why = err.hint or err.detail or advice_of[id],
    line = err.line, column = err.column, link = advice.link(id),
    effect = { migration = err.migration, file = err.file, line = err.line, column = err.column },
  }
end

-- ---- running ---------------------------------------------------------------------------------

--- pgmig's own tables, whose rows are no part of the schema.
local function own_tables(migrator)
  local names = {}
  for _, name in ipairs(migrator.ledger:tables()) do names[name] = true end
  return names
end

--- Run what is pending on a twin and watch.
-- @param seen gets effects, plan, shape, failure = an error's finding
local function observe(twin, seen, options)
  local plan = twin:plan { to = options.to, steps = options.steps, phase = options.phase }
  local shape = shapes.open(twin.db, own_tables(twin))
  local err
  seen.plan, seen.shape = plan, shape
  seen.effects, err = trace.observe(twin, {
    to = options.to, steps = options.steps, phase = options.phase, on_event = options.on_event,
    on_effect = function(effect)
      effect.changes = effect.error and {} or changes.of(shape, shape:step())
    end,
  })
  if err then seen.failure = finding_of(err) end
end

--- Where the statements of each file are, for what accepts findings.
local function files_of(seen)
  local files = {}
  for _, m in ipairs(seen.plan or {}) do
    files[m.path] = { label = m.label, file = m.path, lines = {} }
  end
  for _, effect in ipairs(seen.effects) do
    if files[effect.file] then table.insert(files[effect.file].lines, effect.line or 0) end
  end
  return files
end

-- ---- the application's queries -----------------------------------------------------------

--- The queries that are given: a list, a file, or those that the database has seen.
local function read_queries(migrator, given)
  if type(given) == "table" then
    local list = {}
    for i, query in ipairs(given) do
      list[i] = type(query) == "table" and query or { sql = query }
    end
    return list
  end
  if given ~= "pg_stat_statements" then return replays.read(given) end
  if migrator.db then return replays.seen(migrator.db) end
  errors.raise("usage", "pg_stat_statements is asked for, and no database is named")
end

local function calls_text(query)
  return query.calls and (", called %d times"):format(query.calls) or ""
end

--- A finding for a query that fails from a statement on.
local function broken(query, cached, anew, ctx, total)
  local failure, m = anew or cached, ctx.migration
  local statement = ctx.statement or {}
  return {
    id = "breaks-application", severity = anew and "error" or "warning", query = query.sql,
    calls = query.calls, sqlstate = failure.state, link = advice.link "breaks-application",
    message = ("query %d of %d fails%s: %s (SQLSTATE %s%s)"):format(query.number, total,
      not anew and " where it was prepared before" or "", failure.said, failure.state,
      calls_text(query)),
    why = ("%s: %s"):format(not anew and "a connection that has prepared it gets this error until "
      .. "it prepares it again" or cached and "it fails prepared before and anew"
      or "it fails where it is prepared anew", texts.excerpt(query.sql)),
    effect = { migration = m.label, file = m.path, line = statement.line or 1,
      column = statement.column or 1, statement = statement.index },
  }
end

--- Run the queries beside the same plan on a database of their own.
local function replay(twin, queries, options, seen)
  seen.broken = {}
  local watch = replays.watch(twin, queries, function(query, cached, anew, ctx)
    table.insert(seen.broken, broken(query, cached, anew, ctx, #queries))
  end)
  local ok, err = pcall(function()
    twin:run(twin:plan { to = options.to, steps = options.steps, phase = options.phase })
  end)
  if not ok and not (errors.is(err) and of_files[err.kind]) then error(err, 0) end
  seen.skipped = watch.skipped
end

-- ---- the way back -----------------------------------------------------------------------

local returns = {
  broken = "rolling back does not lead to the schema of before",
  leftover = "rolling back leaves something behind",
  nothing = "rolling back undoes nothing",
  reordered = "rolling back leads to another order of columns",
}

--- A finding for a way back that does not lead back; nil.
local function of_way_back(result)
  local said, m, err = returns[result.result], result.migration, result.error
  if not said then return nil end
  local reason = err and err.message or result.reason or (result.lines or {})[1]
  return {
    id = "down", severity = result.result == "reordered" and "note" or "warning",
    message = reason and ("%s: %s"):format(said, reason) or said, link = advice.link "down",
    why = result.lines and result.lines[2] and table.concat(result.lines, "; ")
      or "`pgmig verify --pending` has tried it: up, down, compared",
    line = err and err.file == m.path and err.line or 1, column = 1,
    effect = { migration = m.label, file = m.path, line = 1 },
  }
end

--- Whether one of them has a way back that can be tried.
local function has_way_back(plan)
  for _, m in ipairs(plan) do
    local ok, state = pcall(source.down_state, m)
    if ok and not m.repeatable and state ~= "none" and state ~= "irreversible" then return true end
  end
  return false
end

--- Try the ways back of what was run without an error.
local function verify(self, applied, seen)
  local plan, last = seen.plan or {}, nil
  for _, m in ipairs(plan) do last = m.id or last end
  if seen.failure or not last or not has_way_back(plan) then return end
  seen.returned = verifies.on(self.clone, self.migrator, {
    pending = true, applied_to = applied, to = last,
  }).results
end

-- ---- judging -----------------------------------------------------------------------------------

--- Leave out what another finding says better: `instead_of` takes one away, `not_with` gives way.
local function without_doubles(found)
  local there, replaced = {}, {}
  local function key(effect, id, relation) return tostring(effect) .. id .. tostring(relation) end
  for _, finding in ipairs(found) do
    there[key(finding.effect, finding.id, finding.relation)] = true
    if finding.instead_of then
      replaced[key(finding.effect, finding.instead_of, finding.relation)] = true
    end
  end
  local list = {}
  for _, finding in ipairs(found) do
    local gives_way = finding.not_with
      and there[key(finding.effect, finding.not_with, finding.relation)]
    if not gives_way and not replaced[key(finding.effect, finding.id, finding.relation)] then
      list[#list + 1] = finding
    end
  end
  return list
end

--- Whether there is a way back, as `source.down_state` says it; a file of it that cannot be parsed
-- is a finding.
local function way_back(m, found)
  local ok, state = pcall(source.down_state, m)
  if ok then return state end
  found[#found + 1] = finding_of(state)
  found[#found].severity, found[#found].effect.migration = "warning", m.label
end

--- Migrations that have no way back, and do not say so.
local function without_way_back(seen, found)
  for _, m in ipairs(seen.plan or {}) do
    if not m.repeatable and way_back(m, found) == "none" then
      found[#found + 1] = {
        id = "no-down", severity = "note", message = "there is no DOWN section",
        line = 1, column = 1,
        why = "it cannot be rolled back; -- pgmig: irreversible REASON says that this is meant",
        link = advice.link "no-down", effect = { migration = m.label, file = m.path, line = 1 },
      }
    end
  end
end

local function judge(seen, facts, rules)
  local catalog = seen.shape and catalogs.new(seen.shape)
  local found = {}
  if catalog then
    for _, finding in ipairs(findings.judge(seen.effects, facts)) do
      found[#found + 1] = advice.complete(finding, catalog, facts)
    end
    for _, finding in ipairs(rules:apply(seen.effects, facts, catalog)) do
      found[#found + 1] = finding
    end
  end
  without_way_back(seen, found)
  for _, finding in ipairs(seen.broken or {}) do found[#found + 1] = finding end
  for _, result in ipairs(seen.returned or {}) do found[#found + 1] = of_way_back(result) end
  found[#found + 1] = seen.failure
  return rules:settle(without_doubles(found))
end

local function place(seen, found)
  local order, labels = {}, {}
  for i, m in ipairs(seen.plan or {}) do order[m.label], labels[m.path] = i, m.label end
  for i, finding in ipairs(found) do
    local effect = finding.effect
    finding.file, finding.statement = effect.file, effect.statement
    finding.migration = effect.migration or labels[effect.file]
    finding.line = finding.line or effect.line
    finding.column = finding.column or effect.column
    finding.position = i
  end
  table.sort(found, function(a, b)
    local x, y = order[a.migration] or 0, order[b.migration] or 0
    if x ~= y then return x < y end
    if (a.line or 0) ~= (b.line or 0) then return (a.line or 0) < (b.line or 0) end
    local p, q = rules_of.rank(a.severity), rules_of.rank(b.severity)
    if p ~= q then return p > q end
    return a.position < b.position
  end)
end

--- How many findings of each severity are not accepted.
local function count(found)
  local counts = { error = 0, warning = 0, note = 0, accepted = 0 }
  for _, finding in ipairs(found) do
    local what = finding.accepted and "accepted" or finding.severity
    counts[what] = counts[what] + 1
  end
  return counts
end

--- Whether there are findings of a severity, or a worse one.
function M.fails(result, severity)
  if severity == "warning" and result.counts.warning > 0 then return true end
  return result.counts.error > 0
end

--- Judge what was seen.
-- @param seen { effects, plan, shape, failure, broken }
-- @param rates fn() returns how fast the clone's server is (pgmig.proof.forecast)
local function report(seen, facts, rules, rates)
  local found = judge(seen, facts, rules)
  forecasts.apply(found, facts, rates)
  accepted.apply(found, files_of(seen), rules)
  place(seen, found)
  return {
    findings = found, counts = count(found), migrations = #(seen.plan or {}),
    statements = #seen.effects,
  }
end

--- Sentences about what was not looked at.
local function notes_of(clone, seen, queries)
  local notes = {}
  for i, sentence in ipairs(clone.notes) do notes[i] = sentence end
  if queries and seen.skipped > 0 then
    notes[#notes + 1] = ("%d of %d queries do not work on the schema as it is, and were left out")
      :format(seen.skipped, #queries)
  end
  return notes
end

--- Check the pending migrations.
-- @param migrator with a connection or without
-- @param given { to, steps as of `migrate`; facts = a file of `pgmig stats`, or its table; rules =
--   as the migrator's (pgmig.proof.rules), instead of them; queries = a list, a file with one a
--   line, or "pg_stat_statements": those that the database has seen; on_event; and which
--   clone: scratch, scratch_bin, schema_from, applied_to }
-- @return { findings = a list of { id, severity, migration, file, line, column, statement,
--   relation, message, why, rewrite, link, accepted, forecast }, counts = { error, warning, note,
--   accepted }, migrations, statements, notes = sentences about the clone, server_version }
-- @raise kind "usage" for wrong rules and facts, and what makes a clone impossible
function M.run(migrator, given)
  local options = arguments.read("check", given)
  local session = M.session(migrator, options)
  local ok, result = pcall(session.check, session, trace.applied(migrator, options))
  session:close()
  if ok then return result end
  error(result, 0)
end

--- What a check says where not even the migrations that count as applied can be run.
-- @param err its error
-- @raise it, if it is not about a file
function M.refused(err)
  local seen = { effects = {}, failure = finding_of(err) }
  local result = report(seen, facts_of.none(), rules_of.new {})
  result.notes = {}
  return result
end

local sessions = {}
sessions.__index = sessions

--- Begin to check, on one clone for several times.
-- @param migrator, options as of `run`
-- @param clone one that others use, too; nil: one of its own
-- @return a session; `close` it at last
function M.session(migrator, options, clone)
  local self = setmetatable({
    migrator = migrator, options = options, facts = read_facts(options.facts),
    rules = rules_of.new(options.rules or migrator.given.rules),
    queries = options.queries and read_queries(migrator, options.queries),
  }, sessions)
  local of_clone = trace.of_clone(migrator, options)
  of_clone.facts = self.facts
  self.own = not clone and clones.open(of_clone)
  self.clone = clone or self.own
  return self
end

--- Drop a twin's database: a session may go on for long.
local function discard(clone, twin)
  local name = twin.db:place().name
  twin.db:close()
  clone.admin:exec("DROP DATABASE " .. name)
end

--- Call a function with a twin of the migrator, whose database is dropped again.
local function with_twin(self, applied, fn)
  local twin = self.clone:twin(self.migrator, { applied = applied })
  local ok, err = pcall(fn, twin)
  discard(self.clone, twin)
  if not ok then error(err, 0) end
end

--- Check what is pending.
-- @param applied which migrations count as applied (pgmig.proof.clone)
-- @return as of `run`
function sessions:check(applied)
  local clone, seen = self.clone, { effects = {} }
  local ok, err = pcall(with_twin, self, applied, function(twin)
    observe(twin, seen, self.options)
  end)
  if not ok and not errors.is(err, "parse") then error(err, 0) end
  if not ok then seen.failure = finding_of(err) end
  verify(self, applied, seen)
  if self.queries and seen.plan then
    with_twin(self, applied, function(twin)
      replay(twin, self.queries, self.options, seen)
    end)
  end
  local result = report(seen, self.facts, self.rules, function()
    self.rates = self.rates or forecasts.measure(clone:database())
    return self.rates
  end)
  result.notes, result.server_version = notes_of(clone, seen, self.queries), clone.version
  return result
end

--- End it; its clone is removed, if it is its own.
function sessions:close()
  if self.own then self.own:close() end
end

return M
