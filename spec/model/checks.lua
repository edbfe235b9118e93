--- What holds after every step, and what a report must not say.
local knowledge = require "spec.model.knowledge"
local runs = require "spec.model.runs"

local M = {}

local function check_rows(self, seen)
  local count = 0
  for _ in pairs(seen.rows) do count = count + 1 end
  self:expect(count == #knowledge.those(self, knowledge.is_applied),
    "the tracking table has %d rows", count)
  for _, m in ipairs(self.list) do
    self:expect((seen.rows[m.id] ~= nil) == (m.applied ~= nil), "the row of %s is wrong",
      m.file.label)
    self:expect((seen.journal[m.id] ~= nil) == (m.partial ~= nil),
      "the journal's row of %s is wrong", m.file.label)
    for _, direction in ipairs { "up", "down" } do
      self:expect((seen.events[m.id .. direction] or 0) == m[direction .. "s"],
        "the history has %d events %s of %s, not %d", seen.events[m.id .. direction] or 0,
        direction, m.file.label, m[direction .. "s"])
    end
  end
end

--- What may be there or not, whole or INVALID.
local function debris(self)
  local set = {}
  for name in pairs(self.litter) do set[name] = true end
  for _, m in ipairs(knowledge.those(self, knowledge.is_partial)) do
    if m.partial.debris then set[m.partial.debris] = true end
  end
  return set
end

local function check_relations(self, seen)
  local uncertain = debris(self)
  for name in pairs(self.relations) do
    self:expect(seen.relations[name] == true or uncertain[name], "%s is missing or INVALID", name)
  end
  for name, state in pairs(seen.relations) do
    self:expect(self.relations[name] or uncertain[name], "%s is there: %s", name, tostring(state))
  end
end

local function by_version(list)
  local map = {}
  for _, m in ipairs(list) do map[m.version] = m end
  return map
end

local function check_status(self, status)
  local applied, pending = by_version(status.applied), by_version(status.pending)
  for _, m in ipairs(self.list) do
    local said = (m.applied and applied or pending)[m.id]
    self:expect(said and not (m.applied and pending or applied)[m.id],
      "status does not show %s as %s", m.file.label, m.applied and "applied" or "pending")
    local left = said.unfinished
    self:expect((left ~= nil) == (m.partial ~= nil), "status shows %s as %s", m.file.label,
      said.state)
    self:expect(not left or left.done == m.partial.done,
      "status counts other statements of %s", m.file.label)
  end
end

--- What is odd about migrations that were left half-way, and nothing else of that kind.
local function check_findings(self, findings)
  local told = {}
  for _, finding in ipairs(findings) do
    if finding.kind == "unfinished" or finding.kind == "unknown" then
      told[finding.migration.version] = finding
    end
    self:expect(finding.kind ~= "stale_journal" and finding.kind ~= "forgotten",
      "doctor says: %s", finding.message)
  end
  for _, m in ipairs(self.list) do
    local finding = told[m.id]
    self:expect((finding ~= nil) == (m.partial ~= nil), "doctor says of %s: %s", m.file.label,
      finding and finding.message or "nothing")
    if finding and m.partial.unknown then
      self:expect(finding.kind == "unknown", "doctor says of %s: %s", m.file.label, finding.message)
    end
  end
end

--- Everything that must be so.
-- @param seen what `self:look()` returned
function M.all(self, seen)
  self:expect(not seen.marks[seen.at], "nobody was to leave the mark %s",
    seen.marks[seen.at] and seen.marks[seen.at].mark)
  self:expect(seen.locks == 0, "%d advisory locks are left", seen.locks)
  check_rows(self, seen)
  check_relations(self, seen)
  local status, findings = runs.look(self.world)
  check_status(self, status)
  check_findings(self, findings)
end

--- The versions of migrations, in a string.
function M.versions(list)
  local result = {}
  for i, m in ipairs(list) do result[i] = tostring(type(m) == "table" and m.id or m) end
  return table.concat(result, " ")
end

--- What a report claims has to be so; of a run that was killed, or says what it does not know, as
-- far as it goes.
function M.report(self, report, done, direction)
  local claimed = report[direction]
  if not report.killed and not report.doubts then
    self:expect(M.versions(claimed) == M.versions(done), "it says %s of %s, but that is true of %s",
      direction, M.versions(claimed), M.versions(done))
    return
  end
  for i, version in ipairs(claimed) do
    self:expect(done[i] and done[i].id == version, "it says %s of %s, but that is true of %s",
      direction, M.versions(claimed), M.versions(done))
  end
end

--- What is said to have failed is what was to be run next.
function M.culprit(self, report, plan, done)
  local next_one = plan[#done + 1]
  if report.ok or not (report.migration and next_one) then return end
  self:expect(report.migration == next_one.file.label, "it says that %s has failed, not %s: %s",
    report.migration, next_one.file.label, report.text)
end

--- A run whose outcome is known beforehand must come to it.
-- @param expected `knowledge.forecasts`, made before the run
function M.forecast(self, report, plan, direction, expected)
  if report.killed or report.stopped then return end
  for i, m in ipairs(plan) do
    if expected[i] == "fails" then
      self:expect(not report.ok, "%s %s cannot have worked", direction, m.file.label)
      return
    end
    if not expected[i] then return end
  end
  self:expect(report.ok, "%s of %s had to work, but: %s (%s)", direction, M.versions(plan),
    tostring(report.text), tostring(report.kind))
end

return M
