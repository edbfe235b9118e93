--- What check found, for people: place, line and caret, why, and the safe way; notes in one line.
local errors = require "pgmig.errors"
local texts = require "pgmig.texts"

local M = {}

local colors = { error = "red", warning = "yellow" }

--- A line of a file; nil.
local function line_of(path, number)
  local file = path and number and io.open(path, "rb")
  if not file then return nil end
  local at, found = 0, nil
  for text in file:lines() do
    at = at + 1
    if at == number then
      found = text:gsub("\r$", "")
      break
    end
  end
  file:close()
  return found
end

local function severity_of(finding) return finding.accepted and "accepted" or finding.severity end

--- A finding's place and what it says, as pgmig's errors are shown; with its line and a caret.
local function shown(finding, text)
  return tostring(errors.new("check", ("%s: %s [%s]"):format(severity_of(finding), finding.message,
    finding.id), {
    file = finding.file, line = finding.line, column = finding.column, text = text,
  }))
end

local function set_in(margin, text)
  return margin .. texts.visible(text):gsub("\n", "\n" .. margin)
end

local function whole(finding)
  local lines = { shown(finding, line_of(finding.file, finding.line)) }
  local function add(name, text)
    if text then lines[#lines + 1] = ("   %s: %s"):format(name, texts.line(text)) end
  end
  add("in production", finding.forecast)
  add("why", finding.why)
  if finding.rewrite then
    lines[#lines + 1] = "   instead:"
    lines[#lines + 1] = set_in("      ", finding.rewrite)
  end
  if finding.link then lines[#lines + 1] = "   see " .. finding.link end
  return table.concat(lines, "\n")
end

local function count(n, noun) return ("%d %s%s"):format(n, noun, n == 1 and "" or "s") end

--- The sentence that sums it up.
function M.summary(result)
  local counts = result.counts
  local parts = {
    count(counts.error, "error"), count(counts.warning, "warning"), count(counts.note, "note"),
  }
  if counts.accepted > 0 then parts[#parts + 1] = counts.accepted .. " accepted" end
  return ("checked %s with %s: %s"):format(count(result.migrations, "migration"),
    count(result.statements, "statement"), table.concat(parts, ", "))
end

local function write_whole(output, finding)
  local head, rest = whole(finding):match "^([^\n]*)(.*)$"
  local color = colors[severity_of(finding)]
  output:block((color and output:paint(1, color, head) or head) .. rest .. "\n")
end

--- Write it.
-- @param output pgmig.cli.output
-- @param result of `migrator:check`
-- @param verbose whether notes are shown whole
function M.write(output, result, verbose)
  for _, sentence in ipairs(result.notes) do output:note("pgmig: " .. sentence) end
  for _, finding in ipairs(result.findings) do
    if colors[severity_of(finding)] or verbose then
      write_whole(output, finding)
    else
      output:line(shown(finding))
    end
  end
  output:line(M.summary(result))
end

return M
