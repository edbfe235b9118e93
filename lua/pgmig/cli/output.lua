--- Standard output and standard error: colours, and a line that shows what is running.
local core = require "pgmig.core"

local M = {}
local output = {}
output.__index = output

local codes = { green = "32", yellow = "33", red = "31", bold = "1" }

local LINE = 79 -- a longer running line could wrap, and would stay

--- Make the program's output.
-- @param options quiet: nothing but errors; no_color; json: no line that shows what is running
function M.new(options)
  local out_tty, err_tty = core.isatty(1), core.isatty(2)
  return setmetatable({
    quiet = options.quiet,
    color = { [1] = out_tty and not options.no_color, [2] = err_tty and not options.no_color },
    progress = out_tty and not options.quiet and not options.json,
    shown = 0, -- width of the running line
    failed = false,
  }, output)
end

--- A text in a colour, where its stream shows colours.
-- @param stream 1 or 2
function output:paint(stream, color, text)
  if not self.color[stream] then return text end
  return "\27[" .. codes[color] .. "m" .. text .. "\27[0m"
end

--- Show on a terminal what is running, until the next line is written.
function output:running(text)
  if not self.progress then return end
  self:clear()
  text = text:sub(1, LINE)
  self.shown = #text
  io.stdout:write(text)
  io.stdout:flush()
end

--- Take the running line away.
function output:clear()
  if self.shown == 0 then return end
  io.stdout:write("\r", (" "):rep(self.shown), "\r")
  io.stdout:flush()
  self.shown = 0
end

--- Write a line to standard output, at once: it is there when its migration is, also in a pipe.
function output:always(text)
  self:clear()
  local written = io.stdout:write(text, "\n") and io.stdout:flush()
  self.failed = self.failed or not written
end

--- Write a line to standard output, unless only errors are wanted.
function output:line(text)
  if not self.quiet then self:always(text) end
end

--- Write a remark for people to standard error, unless only errors are wanted.
function output:note(text)
  if not self.quiet then self:error(text) end
end

--- Write to standard error.
function output:error(text)
  self:clear()
  io.stderr:write(text, "\n")
end

--- Whether everything that was written to standard output has arrived there.
function output:complete() return not self.failed end

return M
