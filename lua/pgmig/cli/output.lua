--- Standard output and standard error: colours, and a line that shows what is running. On a
-- terminal that line stays the lowest: it is taken away before any other is written.
local core = require "pgmig.core"

local M = {}
local output = {}
output.__index = output

local codes = { green = "32", yellow = "33", red = "31", bold = "1" }

local COLUMNS = 80 -- of a terminal that does not say
local ECHO = 2 -- columns that a terminal's own ^C takes behind the line

--- Make the program's output.
-- @param options quiet: nothing but errors; no_color; json: no line that shows what is running;
--   nor is there one on a terminal that cannot overwrite (TERM=dumb)
function M.new(options)
  local out_tty, err_tty = core.isatty(1), core.isatty(2)
  return setmetatable({
    quiet = options.quiet,
    color = { [1] = out_tty and not options.no_color, [2] = err_tty and not options.no_color },
    progress = out_tty and not options.quiet and not options.json
      and os.getenv "TERM" ~= "dumb",
    shown = 0, -- columns of the line that shows what is running
    pinned = nil, -- { text, columns } of one that comes again below what is written
    failed = false,
  }, output)
end

--- A text in a colour, where its stream shows colours.
-- @param stream 1 or 2
function output:paint(stream, color, text)
  if not self.color[stream] then return text end
  return "\27[" .. codes[color] .. "m" .. text .. "\27[0m"
end

--- How many columns a line may take: a longer one could wrap, and would stay.
function M.width()
  local columns = tonumber(os.getenv "COLUMNS") or core.terminal_width(1) or COLUMNS
  return math.max(0, math.floor(columns) - 1 - ECHO)
end

--- What takes the running line away.
local function erasure(self)
  if self.shown == 0 then return "" end
  local blank = "\r" .. (" "):rep(math.min(self.shown, M.width()) + ECHO) .. "\r"
  self.shown = 0
  return blank
end

--- What shows the pinned line, where there is one.
local function pinned(self)
  if not self.pinned then return "" end
  self.shown = self.pinned.columns
  return self.pinned.text
end

--- Show on a terminal what is running, until the next line is written.
function output:running(text)
  if not self.progress or self.pinned then return end
  local blank = erasure(self)
  text = text:sub(1, M.width())
  self.shown = #text
  io.stdout:write(blank, text)
  io.stdout:flush()
end

--- Show on a terminal a line that stays below all others, in place of the one before.
-- @param text without control characters
-- @param columns how many it takes, at most
function output:pin(text, columns)
  if not self.progress then return end
  local rest = (" "):rep(math.min(self.shown, M.width()) - columns)
  self.pinned = { text = text, columns = columns }
  io.stdout:write("\r", pinned(self), rest)
  io.stdout:flush()
end

--- Take the running line away, and do not show it again.
function output:clear()
  self.pinned = nil
  io.stdout:write(erasure(self))
  io.stdout:flush()
end

--- Write a line to standard output, at once: it is there when its migration is, also in a pipe.
function output:always(text)
  local blank = erasure(self)
  local written = io.stdout:write(blank, text, "\n", pinned(self)) and io.stdout:flush()
  self.failed = self.failed or not written
end

--- Write a line to standard output, unless only errors are wanted.
function output:line(text)
  if not self.quiet then self:always(text) end
end

--- Write a remark for people to standard error, unless only errors are wanted.
function output:note(text)
  if self.quiet then return end
  io.stdout:write(erasure(self))
  io.stdout:flush()
  io.stderr:write(text, "\n")
  io.stdout:write(pinned(self))
  io.stdout:flush()
end

--- Write to standard error: the last of all.
function output:error(text)
  self:clear()
  io.stderr:write(text, "\n")
end

--- The end: whether everything that was written to standard output has arrived there.
function output:complete()
  self:clear()
  return not self.failed
end

return M
