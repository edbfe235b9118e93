--- A long text, for one line of a message.
local trim = require "pgmig.trim"
local visible = require "pgmig.visible"

local M = {}

local WIDTH = 70 -- bytes

--- The first line of a text that has something in it, shortened; " ..." says that there is more.
function M.line(text)
  local whole = trim.both(text)
  local line = whole:match "^[^\r\n]*"
  if #line > WIDTH then
    local last = WIDTH
    while line:find("^[\128-\191]", last + 1) do last = last - 1 end -- no half of a character
    line = line:sub(1, last)
  end
  return visible.line(line == whole and line or line .. " ...")
end

return M
