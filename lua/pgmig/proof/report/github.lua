--- What check found as workflow commands of GitHub Actions, which shows them beside the lines.
local M = {}

local commands = { error = "error", warning = "warning", note = "notice" }

--- A message: % and the ends of lines are escaped.
local function message(text)
  return (text:gsub("%%", "%%25"):gsub("\r", "%%0D"):gsub("\n", "%%0A"))
end

--- A value of a property, where colons and commas have a meaning, too.
local function value(text) return (message(tostring(text)):gsub(":", "%%3A"):gsub(",", "%%2C")) end

local function text_of(finding)
  local parts = { finding.message }
  if finding.forecast then parts[#parts + 1] = "in production: " .. finding.forecast end
  if finding.why then parts[#parts + 1] = "why: " .. finding.why end
  if finding.rewrite then parts[#parts + 1] = "instead:\n" .. finding.rewrite end
  return table.concat(parts, "\n")
end

local function command(finding)
  local properties = {}
  local function add(name, property)
    if property then properties[#properties + 1] = name .. "=" .. value(property) end
  end
  add("file", finding.file)
  add("line", finding.line)
  add("col", finding.column)
  add("title", "pgmig check: " .. finding.id)
  return ("::%s %s::%s"):format(commands[finding.severity], table.concat(properties, ","),
    message(text_of(finding)))
end

--- The report; accepted findings are left out.
-- @param result of `migrator:check`
-- @return its text
function M.text(result)
  local lines = {}
  for _, finding in ipairs(result.findings) do
    if not finding.accepted then lines[#lines + 1] = command(finding) .. "\n" end
  end
  return table.concat(lines)
end

return M
