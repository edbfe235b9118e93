--- What check found as SARIF 2.1.0, the format of code scanning.
local core = require "pgmig.core"
local version = require "pgmig.version"

local M = {}

local function array(list) return setmetatable(list, { __jsontype = "array" }) end

--- A path as a reference of RFC 3986.
local function uri(path)
  local escaped = path:gsub("^%./", ""):gsub("[^%w%-._~/]", function(c)
    return ("%%%02X"):format(c:byte())
  end)
  return path:sub(1, 1) == "/" and "file://" .. escaped or escaped
end

local function location(finding)
  if not finding.file then return nil end
  local region
  if finding.line then region = { startLine = finding.line, startColumn = finding.column } end
  return array { { physicalLocation = {
    artifactLocation = { uri = uri(finding.file) }, region = region,
  } } }
end

local function text_of(finding)
  local parts = { finding.message }
  if finding.forecast then parts[#parts + 1] = "In production: " .. finding.forecast end
  if finding.why then parts[#parts + 1] = "Why: " .. finding.why end
  if finding.rewrite then parts[#parts + 1] = "Instead:\n" .. finding.rewrite end
  return table.concat(parts, "\n")
end

local function result_of(finding, index)
  local suppressions
  if finding.accepted then
    suppressions = array { { kind = "inSource", justification = finding.accepted } }
  end
  return {
    ruleId = finding.id, ruleIndex = index, level = finding.severity,
    message = { text = text_of(finding) }, locations = location(finding),
    suppressions = suppressions,
    properties = { relation = finding.relation, migration = finding.migration },
  }
end

--- The report.
-- @param result of `migrator:check`
-- @return its text
function M.text(result)
  local rules, results, index = array {}, array {}, {}
  for i, finding in ipairs(result.findings) do
    if not index[finding.id] then
      rules[#rules + 1] = { id = finding.id, shortDescription = { text = finding.id } }
      index[finding.id] = #rules - 1
    end
    results[i] = result_of(finding, index[finding.id])
  end
  local text = require("dkjson").encode({
    ["$schema"] = "https://json.schemastore.org/sarif-2.1.0.json", version = "2.1.0",
    runs = array { {
      tool = { driver = { name = "pgmig", version = version, rules = rules } }, results = results,
      columnKind = "unicodeCodePoints",
    } },
  }, { indent = true, keyorder = { "$schema", "version", "runs", "tool", "results" } })
  return core.readable(text, "\\\\x") .. "\n"
end

return M
