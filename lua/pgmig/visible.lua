--- Text for terminals and logs, of whoever it is: names of files, roles and objects, queries of
-- others, what a server says. Nothing in it does anything but be shown.
local core = require "pgmig.core"

local M = {}

--- A text of several lines.
function M.text(text) return core.visible(text) end

--- A text for a place where one line is expected: the ends of its lines are shown as `\n`.
function M.line(text) return core.visible(text, true) end

--- A text in a report: its second line and those behind it are set in, so that none of them looks
-- like a line of the report's own.
function M.field(text) return (core.visible(text):gsub("\n", "\n    ")) end

return M
