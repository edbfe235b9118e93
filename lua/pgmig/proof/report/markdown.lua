--- What check found as Markdown, for a comment on a merge request.
local terminal = require "pgmig.proof.report.terminal"

local M = {}

--- A text in a line of Markdown: nothing in it is markup.
local function plain(text)
  return (tostring(text):gsub("[\\`*_{}%[%]<>|#]", "\\%0"):gsub("%s*\n%s*", " "))
end

--- The longest run of a character in a text.
local function longest(text, char)
  local most = 0
  for run in text:gmatch(char .. "+") do most = math.max(most, #run) end
  return most
end

--- A text as code in a line.
local function code(text)
  local most = longest(text, "`")
  local fence, blank = ("`"):rep(most + 1), most > 0 and " " or ""
  return fence .. blank .. text:gsub("\n", " ") .. blank .. fence
end

--- SQL in a block.
local function block(sql)
  local fence = ("`"):rep(math.max(3, longest(sql, "`") + 1))
  return ("%ssql\n%s\n%s\n"):format(fence, sql, fence)
end

local function place(finding)
  if not finding.file then return finding.migration or "" end
  return finding.line and ("%s:%d"):format(finding.file, finding.line) or finding.file
end

local function section(lines, finding)
  local function add(text) lines[#lines + 1] = text end
  add(("### %s: %s\n"):format(finding.severity, plain(finding.message)))
  add(("%s, finding %s\n"):format(code(place(finding)), code(finding.id)))
  if finding.forecast then add("In production: " .. plain(finding.forecast) .. "\n") end
  if finding.why then add("Why: " .. plain(finding.why) .. "\n") end
  if finding.rewrite then add("Instead:\n\n" .. block(finding.rewrite)) end
end

local function item(finding)
  local reason = ""
  if finding.accepted then reason = " (accepted: " .. plain(finding.accepted) .. ")" end
  return ("- %s %s: %s%s"):format(code(place(finding)), code(finding.id), plain(finding.message),
    reason)
end

--- The report.
-- @param result of `migrator:check`
-- @return its text
function M.text(result)
  local lines = { "## pgmig check\n", plain(terminal.summary(result)) .. "\n" }
  local rest = {}
  for _, sentence in ipairs(result.notes) do lines[#lines + 1] = "> " .. plain(sentence) .. "\n" end
  for _, finding in ipairs(result.findings) do
    if finding.accepted or finding.severity == "note" then
      rest[#rest + 1] = item(finding)
    else
      section(lines, finding)
    end
  end
  if rest[1] then lines[#lines + 1] = "### notes\n\n" .. table.concat(rest, "\n") end
  return (table.concat(lines, "\n"):gsub("\n+$", "")) .. "\n"
end

return M
