--- Text without the blanks around it: a pattern with two ends that give way, as in "^%s*(.-)%s*$",
-- would look at each run of blanks again from each of its characters.
-- @module pgmig.trim
local M = {}

--- The text without blanks at its end.
function M.right(text) return text:match "^.*%S" or "" end

--- The text without blanks at both ends.
function M.both(text) return M.right(text:match "^%s*(.*)$") end

return M
