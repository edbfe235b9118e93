--- Text for people: without the blanks around it, as it may be shown, shortened.
-- @module pgmig.texts
local core = require "pgmig.core"

local M = {}

-- ---- blanks ----------------------------------------------------------------
-- A pattern with two ends that give way, as in "^%s*(.-)%s*$", would look at each run of blanks
-- again from each of its characters.

--- The text without blanks at its end.
function M.trim_right(text) return text:match "^.*%S" or "" end

--- The text without blanks at both ends.
function M.trim(text) return M.trim_right(text:match "^%s*(.*)$") end

-- ---- for terminals and logs --------------------------------------------------
-- Whoever it is of: names of files, roles and objects, queries of others, what a server says.
-- Nothing in it does anything but be shown.

--- A text of several lines.
function M.visible(text) return core.visible(text) end

--- A text for a place where one line is expected: the ends of its lines are shown as `\n`.
function M.line(text) return core.visible(text, true) end

--- A text in a report: its second line and those behind it are set in, so that none of them looks
-- like a line of the report's own.
function M.field(text) return (core.visible(text):gsub("\n", "\n    ")) end

local WIDTH = 70 -- bytes

--- The first line of a text that has something in it, shortened; " ..." says that there is more.
function M.excerpt(text)
  local whole = M.trim(text)
  local line = whole:match "^[^\r\n]*"
  if #line > WIDTH then
    local last = WIDTH
    while line:find("^[\128-\191]", last + 1) do last = last - 1 end -- no half of a character
    line = line:sub(1, last)
  end
  return M.line(line == whole and line or line .. " ...")
end

return M
