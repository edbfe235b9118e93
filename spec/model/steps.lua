--- What may happen to a database and its migrations: each a function of a life (spec.model.model),
-- which does it, works out what must be there now, and compares.
local checks = require "spec.model.checks"
local explain = require "spec.model.explain"
local knowledge = require "spec.model.knowledge"
local migrations = require "spec.model.migrations"
local runs = require "spec.model.runs"

local step = {}

-- ---- files -------------------------------------------------------------------

local function new_file(self, id) return migrations.random(self.random, id, self:new_revision()) end

local function put(self, m, file)
  m.file = file
  self.world:put(file)
end

--- A new migration: mostly the newest, sometimes one between others.
function step.add(self)
  local taken, newest = {}, 0
  for _, m in ipairs(self.list) do taken[m.id], newest = true, m.id end
  local id = self.random:between(1, newest + 3)
  if taken[id] or not self.random:one_in(4) then id = newest + self.random:between(1, 3) end
  local m = { id = id, ups = 0, downs = 0 }
  self.list[#self.list + 1] = m
  table.sort(self.list, function(a, b) return a.id < b.id end)
  self:note("  %d", id)
  put(self, m, new_file(self, id))
  if self.random:one_in(3) then step.close_gate(self) end
end

--- Another text for a migration that has not begun.
function step.rewrite(self)
  local m = knowledge.choose(self, knowledge.is_untouched)
  if not m then return end
  self:note("  of %s", m.file.label)
  put(self, m, new_file(self, m.id))
end

--- Mend one that stopped half-way: what is done stays, the rest goes.
function step.mend(self)
  local m = knowledge.choose(self, function(m)
    return m.partial and not (m.partial.open or m.partial.unknown)
  end)
  if not m then return end
  local direction, done = m.partial.direction, m.partial.done
  self:note("  %s of %s after statement %d", direction, m.file.label, done)
  put(self, m, migrations.shortened(m.file, self:new_revision(), direction, done))
  if m.applied then self:call("repair", m.id) end
end

--- Statements that fit, of those that may be run next.
local function statements(self, fits)
  local list = {}
  for _, m in ipairs(self.list) do
    local section = knowledge.section(m, m.applied and "down" or "up")
    for _, st in ipairs(section and section.statements or {}) do
      if fits(st) then list[#list + 1] = st end
    end
  end
  return list
end

-- ---- what makes statements fail ------------------------------------------------

function step.close_gate(self)
  local gates = statements(self, function(st) return st.gate and not self.closed[st.gate] end)
  if #gates == 0 then return end
  local gate = self.random:pick(gates).gate
  self:note("  %s", gate)
  self.closed[gate] = true
  self.world.db:query("INSERT INTO public.closed VALUES ($1)", gate)
end

function step.open_gates(self)
  self.closed, self.duplicates = {}, false
  self.world.db:exec "DELETE FROM public.closed; DELETE FROM public.base WHERE b = -1"
end

function step.duplicate(self)
  if self.duplicates or self.world:has_unique_index() then return end
  self.duplicates = true
  self.world.db:exec "INSERT INTO public.base VALUES (1, -1)"
end

function step.arm(self)
  local doors = statements(self, function(st)
    return st.trapdoor and self.armed[st.trapdoor] == nil
  end)
  if #doors == 0 then return end
  local key = self.random:pick(doors).trapdoor
  self:note("  %s", key)
  self.armed[key] = true
  self.world.db:exec(('CREATE SEQUENCE public."%s"'):format(key))
end

--- Somebody removes by hand what a half-done migration has made.
function step.undermine(self)
  local made = {}
  for _, m in ipairs(knowledge.those(self, knowledge.is_left "up")) do
    for i = 1, m.partial.done do
      local name = m.file.up.statements[i].makes
      if name and self.relations[name] then made[#made + 1] = { m = m, name = name } end
    end
  end
  if #made == 0 then return end
  local one = self.random:pick(made)
  self:note("  %s", one.name)
  self.world.db:exec(("DROP %s %s"):format(one.name:find '"i_' and "INDEX" or "TABLE", one.name))
  self.relations[one.name], one.m.partial.gone = nil, true
end

-- ---- runs --------------------------------------------------------------------

--- Those that are pending: mostly there are some.
local function pending_ones(self)
  if not knowledge.any(self, knowledge.is_pending) and not self.random:one_in(5) then
    step.add(self)
  end
  return knowledge.those(self, knowledge.is_pending)
end

--- Which migrations a run is about, and how it is asked for: in the module and in the program.
local function choose_up(self)
  local pending = pending_ones(self)
  if #pending == 0 then return {}, {}, "up" end
  local way = self.random:below(3)
  local count = self.random:between(1, #pending)
  local plan = {}
  for i = 1, way == 0 and #pending or count do plan[i] = pending[i] end
  if way == 0 then return plan, {}, "up" end
  if way == 1 then return plan, { steps = count }, "up --steps " .. count end
  local target = plan[#plan].id
  return plan, { target = target }, "up --to " .. target
end

--- The newest applied migrations, newest first.
local function newest(self, count)
  local applied, plan = knowledge.those(self, knowledge.is_applied), {}
  for i = 1, math.min(count, #applied) do plan[i] = applied[#applied + 1 - i] end
  return plan
end

local function choose_down(self)
  local applied = knowledge.those(self, knowledge.is_applied)
  local most = self.random:one_in(4) and #applied or math.min(2, #applied)
  local count = most == 0 and 0 or self.random:between(1, most)
  local plan = newest(self, count)
  local way = self.random:below(6)
  if way == 0 then
    plan = newest(self, #applied)
    return plan, { to = 0 }, "down --all"
  end
  if way <= 2 and count > 0 and count < #applied then
    local kept = applied[#applied - count].id
    return plan, { to = kept }, "down --to " .. kept
  end
  return plan, { steps = math.max(count, 1) }, "down --steps " .. math.max(count, 1)
end

local method = { up = "migrate", down = "rollback" }

local LATEST = { 40, 80, 160, 320 } -- milliseconds

--- A signal, and when: some come before the first statement, some after the last.
local function stroke_of(self)
  local signal = self.random:one_in(3) and self.random:pick { "TERM", "INT" } or "KILL"
  return { signal = signal, seconds = self.random:between(12, self.random:pick(LATEST)) / 1000 }
end

local function note_stroke(stroke)
  return stroke and (", %s after %.3f s"):format(stroke.signal, stroke.seconds) or ""
end

--- Run a plan, somehow.
local function start(self, direction, plan, options, words, stroke)
  if stroke or self.random:one_in(4) then
    self:note("  pgmig %s%s: %s", words, note_stroke(stroke), checks.versions(plan))
    return runs.program(self.world, words, stroke)
  end
  self:note("  %s %s: %s", method[direction], words, checks.versions(plan))
  return runs.module(self.world, method[direction], options)
end

local function run(self, direction, plan, options, words, stroke)
  local expected = knowledge.forecasts(self, plan, direction)
  local refused = knowledge.is_refused(self, plan, direction)
  local report = start(self, direction, plan, options, words, stroke)
  self:note("  %s", report.ok and "ok" or report.killed and "killed"
    or tostring(report.kind) .. ": " .. tostring(report.message))
  local seen = self:look()
  local done = refused and {} or explain.run(self, plan, direction, seen)
  checks.report(self, report, done, direction)
  checks.culprit(self, report, refused and {} or plan, done)
  if refused then
    self:expect(not report.ok, "%s of %s is to be refused", direction, checks.versions(plan))
  else
    checks.forecast(self, report, plan, direction, expected)
  end
  checks.all(self, seen)
end

function step.up(self)
  run(self, "up", choose_up(self))
end

function step.killed_up(self)
  local plan, options, words = choose_up(self)
  run(self, "up", plan, options, words, stroke_of(self))
end

function step.down(self)
  run(self, "down", choose_down(self))
end

function step.killed_down(self)
  local plan, options, words = choose_down(self)
  run(self, "down", plan, options, words, stroke_of(self))
end

--- What a run beside one that is killed comes to depends on where that was.
local function soften(plan, expected)
  for i, m in ipairs(plan) do
    if not m.file.up.transaction and expected[i] == "done" then expected[i] = false end
  end
end

--- How many reports say of each version that it was applied.
local function count_claims(self, reports)
  local claims = {}
  for _, report in ipairs(reports) do
    self:note("  %s", report.ok and "ok" or report.killed and "killed"
      or tostring(report.kind) .. ": " .. tostring(report.message))
    for _, version in ipairs(report.up) do claims[version] = (claims[version] or 0) + 1 end
  end
  return claims
end

--- Two runs at once, the first of which may be killed: together they do what one would.
function step.crowd(self)
  local plan = pending_ones(self)
  local expected = knowledge.forecasts(self, plan, "up")
  local refused = knowledge.is_refused(self, plan, "up")
  local stroke = self.random:one_in(2) and stroke_of(self) or nil
  if stroke then soften(plan, expected) end
  self:note("  of %s%s", checks.versions(plan), note_stroke(stroke))
  local reports = runs.programs(self.world, "up", 2, stroke)
  local seen = self:look()
  local done = refused and {} or explain.run(self, plan, "up", seen)
  local claims = count_claims(self, reports)
  for _, report in ipairs(reports) do
    if not refused then checks.forecast(self, report, plan, "up", expected) end
    self:expect(not (refused and report.ok), "up of %s is to be refused", checks.versions(plan))
  end
  for _, m in ipairs(done) do
    self:expect(stroke or claims[m.id] == 1, "%d runs say that they have applied %s",
      claims[m.id] or 0, m.file.label)
    claims[m.id] = nil
  end
  self:expect(not next(claims), "nobody has applied %s", tostring(next(claims)))
  checks.all(self, seen)
end

--- Back and forth again: nothing is taken back where the second half would be refused.
function step.redo(self)
  local plan = newest(self, self.random:between(1, 2))
  if #plan == 0 then return end
  local refused = knowledge.is_refused(self, plan, "down")
    or knowledge.any(self, function(m)
      return m.partial and m.partial.direction == "down" and m.id < plan[#plan].id
    end)
  local expected = knowledge.forecasts(self, plan, "down")
  local report = runs.module(self.world, "redo", #plan)
  self:note("  of %s: %s", checks.versions(plan), report.ok and "ok" or tostring(report.message))
  local seen = self:look()
  local back = refused and {} or explain.run(self, plan, "down", seen)
  local forth = {}
  for i = 1, #plan do forth[i] = plan[#plan + 1 - i] end
  forth = #back == #plan and explain.run(self, forth, "up", seen) or {}
  checks.report(self, report, back, "down")
  checks.report(self, report, forth, "up")
  self:expect(report.ok == (#forth == #plan), "redo has gone another way than it says: %s",
    report.text)
  if expected[1] == "fails" then self:expect(not report.ok, "redo cannot have worked") end
  checks.all(self, seen)
end

-- ---- what somebody says ----------------------------------------------------------

--- It counts as applied; what a statement under way has left stays.
local function record(self, m)
  if m.partial and m.partial.debris then self.litter[m.partial.debris] = true end
  m.partial, m.applied = nil, m.file
end

--- A migration is recorded without running it.
function step.fake(self)
  local m = knowledge.choose(self, knowledge.is_pending)
  if not m then return end
  self:note("  %s", m.file.label)
  self:call("fake", m.id)
  record(self, m)
  checks.all(self, self:look())
end

--- What is there is declared to be done; what was left half-way is not.
function step.baseline(self)
  local pending = knowledge.those(self, knowledge.is_pending)
  if #pending == 0 then return end
  local count = self.random:between(1, #pending)
  local refused = knowledge.any(self, knowledge.is_left "down")
  for i = 1, count do refused = refused or pending[i].partial end
  self:note("  %d", pending[count].id)
  local report = runs.module(self.world, "baseline", pending[count].id)
  self:expect(report.ok == not refused, "baseline: %s", report.text)
  self:expect(#report.up == (refused and 0 or count), "baseline has recorded %d of %d", #report.up,
    count)
  for i = 1, refused and 0 or count do record(self, pending[i]) end
  checks.all(self, self:look())
end

--- A person looks what became of a statement, and what is missing, and says so.
function step.resolve(self)
  local m = knowledge.choose(self, function(m)
    return m.partial and (m.partial.unknown or knowledge.is_obstructed(m))
  end)
  if not m then return end
  local partial = m.partial
  local how = partial.ran and "done" or "redo"
  self:note("  %s --%s", m.file.label, how)
  self:call("resolve", m.id, how)
  partial.unknown, partial.ran, partial.open = false, false, false
  if how == "done" then
    partial.done = partial.done + 1
  else
    partial.gone, partial.dim, partial.cut = false, false, partial.done
  end
  checks.all(self, self:look())
end

--- What was done of an unfinished migration is forgotten, and stays.
function step.restart(self)
  local m = knowledge.choose(self, knowledge.is_partial)
  if not m then return end
  self:note("  %s", m.file.label)
  self:call("resolve", m.id, "restart")
  if m.partial.debris then self.litter[m.partial.debris] = true end
  m.partial = nil
  checks.all(self, self:look())
end

-- ---- files that are not what they were -------------------------------------------

local function is_whole(m) return m.applied and not m.partial end

--- Something that an edited file stops: applying others, or the newest ones once more.
local function attempt(self, m)
  local plan, above = knowledge.those(self, knowledge.is_pending), newest(self, 1)[1]
  local method_name = above ~= m and self.random:one_in(2) and "redo" or "migrate"
  if method_name == "migrate" and #plan == 0 then return end
  local report = runs.module(self.world, method_name)
  self:note("  %s, %s: %s", m.file.label, method_name, tostring(report.message))
  self:expect(not report.ok and #report.up == 0 and #report.down == 0,
    "an edited file is not found: %s", report.text)
  local refused = method_name == "redo" or knowledge.is_refused(self, plan, "up")
  self:expect(report.kind == "drift" or refused, "an edited file is not found: %s", report.text)
end

--- An applied file is edited: the next run refuses; then it is brought back, or accepted.
function step.edit(self)
  local m = knowledge.choose(self, is_whole)
  if not m then return end
  local before, after = m.file, new_file(self, m.id)
  self.world:put(after)
  attempt(self, m)
  if self.random:one_in(3) then
    self:call("repair", m.id)
    m.file, m.applied = after, after
  else
    self.world:put(before)
  end
  checks.all(self, self:look())
end

--- A finished statement of a half-done migration is edited: nobody goes on behind it.
function step.tamper(self)
  local m = knowledge.choose(self, function(m)
    return m.partial and m.partial.direction == "up" and m.partial.done > 0
  end)
  if not m or knowledge.is_refused(self, { m }, "up") then return end
  local place = self.random:between(1, m.partial.done)
  self.world:put(migrations.tampered(m.file, "up", place))
  local report = runs.module(self.world, "migrate", { target = m.id })
  self:note("  statement %d of %s: %s", place, m.file.label, tostring(report.message))
  self:expect(not report.ok, "it goes on behind an edited statement")
  local plan = knowledge.those(self, function(other)
    return knowledge.is_pending(other) and other.id < m.id
  end)
  self.world:put(m.file)
  local seen = self:look()
  checks.report(self, report, explain.run(self, plan, "up", seen), "up")
  checks.all(self, seen)
end

--- An applied file is gone for a while: what is newer is applied all the same.
function step.lose(self)
  local m = knowledge.choose(self, is_whole)
  local applied = knowledge.those(self, knowledge.is_applied)
  if not m or #applied < 2 then return end -- that all are gone is refused
  self.world:remove(m.file)
  self:note("  %s", m.file.label)
  local report = runs.module(self.world, "rollback", { steps = #applied })
  self:note("  rollback: %s", tostring(report.message))
  self:expect(not report.ok and #report.down == 0, "a rollback works without its file")
  run(self, "up", choose_up(self))
  self.world:put(m.file)
end

return step
