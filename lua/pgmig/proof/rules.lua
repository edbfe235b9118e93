--- Rules: functions fn(effect, facts, report, run) over effects records, pgmig's own and those of
-- the configuration, and how severe each finding is to be.
local advice = require "pgmig.proof.advice"
local catalog_rules = require "pgmig.proof.catalog_rules"
local errors = require "pgmig.errors"
local text_rules = require "pgmig.proof.text_rules"

local M = {}
local rules = {}
rules.__index = rules

-- What findings have that no function here reports.
local others = {
  "rewrite", "scan-under-lock", "index-build-blocks", "held", "many-tables", "hidden-lock", "queue",
  "syntax", "fails", "lint-ignore", "down", "no-down",
}

local ranks = { note = 1, warning = 2, error = 3 }

--- How severe: 1 to 3; nil for a word that is none.
function M.rank(severity) return ranks[severity] end

local own = {}
for _, list in ipairs { catalog_rules.list, text_rules.list } do
  for _, rule in ipairs(list) do own[#own + 1] = rule end
end

--- The ids of pgmig's own findings, sorted.
function M.ids()
  local set, list = {}, {}
  for _, rule in ipairs(own) do set[rule[1]] = true end
  for _, id in ipairs(others) do set[id] = true end
  for id in pairs(set) do list[#list + 1] = id end
  table.sort(list)
  return list
end

local function is_own(id)
  for _, known in ipairs(M.ids()) do
    if known == id then return true end
  end
  return false
end

local function check(id, value)
  if type(id) ~= "string" then errors.raise("usage", "the keys of rules must be names") end
  if type(value) == "function" then return end
  if value ~= false and not ranks[value] then
    errors.raise("usage", ("rule %s must be a function, false, \"note\", \"warning\" or \"error\"")
      :format(id))
  end
  if not is_own(id) then
    errors.raise("usage", ("there is no rule %s to change"):format(id), {
      hint = "pgmig's own are: " .. table.concat(M.ids(), ", "),
    })
  end
end

--- Make the set of rules.
-- @param given the configuration's: { [id] = a function: a rule, one of pgmig's own is replaced;
--   false: no such findings; "note", "warning", "error": how severe they are }
-- @raise kind "usage"
function M.new(given)
  local self = setmetatable({ severity = {}, off = {}, list = {}, known = {} }, rules)
  local names = {}
  for id, value in pairs(given or {}) do
    check(id, value)
    if type(value) == "function" then
      names[#names + 1] = id
    elseif value == false then
      self.off[id] = true
    else
      self.severity[id] = value
    end
  end
  table.sort(names)
  for _, rule in ipairs(own) do
    if type((given or {})[rule[1]]) ~= "function" then self.list[#self.list + 1] = rule end
  end
  for _, id in ipairs(names) do self.list[#self.list + 1] = { id, given[id], theirs = true } end
  for _, id in ipairs(M.ids()) do self.known[id] = true end
  for _, id in ipairs(names) do self.known[id] = true end
  return self
end

--- Whether there may be findings of an id.
function rules:knows(id) return self.known[id] ~= nil end

--- Make a finding of what a rule reports.
local function finding_of(rule, effect, given)
  local finding = {}
  for key, value in pairs(type(given) == "table" and given or { message = given }) do
    finding[key] = value
  end
  finding.id, finding.effect = finding.id or rule[1], effect
  finding.severity = finding.severity or "warning"
  if type(finding.message) ~= "string" or not ranks[finding.severity] then
    errors.raise("usage", ("rule %s: report takes a text, or a table with message and severity, "
      .. "\"note\", \"warning\" or \"error\""):format(rule[1]))
  end
  if not rule.theirs then finding.link = advice.link(finding.id) end
  return finding
end

local function call(rule, effect, facts, report, run)
  local ok, raised = xpcall(rule[2], function(raised)
    if errors.is(raised) or not rule.theirs then return raised end
    return errors.new("lua", ("rule %s: %s"):format(rule[1], tostring(raised)), {
      cause = raised, traceback = debug.traceback("", 2):gsub("^\n", ""),
    })
  end, effect, facts, report, run)
  if not ok then error(raised, 0) end
end

--- Apply the rules to the statements of a run.
-- @param records effects records with their `changes`
-- @param facts of production
-- @param run what the schema is like at the end (pgmig.proof.catalog)
-- @return a list of findings
function rules:apply(records, facts, run)
  local found = {}
  for _, effect in ipairs(records) do
    for _, rule in ipairs(self.list) do
      call(rule, effect, facts, function(given)
        found[#found + 1] = finding_of(rule, effect, given)
      end, run)
    end
  end
  return found
end

--- Leave out what is switched off, and set what is set.
function rules:settle(found)
  local list = {}
  for _, finding in ipairs(found) do
    if not self.off[finding.id] then
      finding.severity = self.severity[finding.id] or finding.severity
      list[#list + 1] = finding
    end
  end
  return list
end

return M
