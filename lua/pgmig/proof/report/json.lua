--- What check found, for programs.
local M = {}

local fields = {
  "id", "severity", "migration", "file", "line", "column", "statement", "relation", "message",
  "why", "rewrite", "link", "accepted", "forecast", "lock", "blocks", "small", "query", "calls",
  "sqlstate",
}

local function array(list) return setmetatable(list, { __jsontype = "array" }) end

--- A finding without what it was made of.
local function plain(finding)
  local object = setmetatable({}, { __jsontype = "object" })
  for _, key in ipairs(fields) do object[key] = finding[key] end
  return object
end

--- The object.
-- @param result of `migrator:check`
-- @return a table for a JSON encoder
function M.object(result)
  local list = array {}
  for i, finding in ipairs(result.findings) do list[i] = plain(finding) end
  return {
    findings = list, counts = result.counts, migrations = result.migrations,
    statements = result.statements, notes = array(result.notes),
    server_version = result.server_version,
  }
end

return M
