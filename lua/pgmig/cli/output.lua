--- Standard output and standard error: colours, and a line that shows what is running. On a
-- terminal that line stays the lowest: it is taken away before any other is written. All is written
-- whole, also where a write does not wait; a reader that has gone away ends nothing.
local core = require "pgmig.core"
local texts = require "pgmig.texts"

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
    is_terminal = out_tty,
    progress = out_tty and not options.quiet and not options.json
      and os.getenv "TERM" ~= "dumb",
    shown = 0, -- columns of the line that shows what is running
    pinned = nil, -- { text, columns } of one that comes again below what is written
    unread = false, -- writing to standard output has failed
    failed = false, -- and not because its reader has gone
  }, output)
end

local BROKEN_PIPE = 32 -- EPIPE

--- Write to standard output what is there to write; nothing when its reader has gone.
local function put(self, ...)
  local text = table.concat { ... }
  if text == "" or self.unread then return end
  io.stdout:flush() -- what a hook has printed
  local written, _, code = core.write(1, text)
  if written then return end
  self.unread = true
  self.failed = code ~= BROKEN_PIPE
end

--- Write lines to standard error.
local function tell(text)
  io.stderr:flush()
  core.write(2, text .. "\n")
end

local painted = {} -- metatable of a list of texts, some of them { text, in a colour }

local function parts_of(text) return getmetatable(text) == painted and text or { text } end

function painted.__concat(a, b)
  local parts = setmetatable({}, painted)
  for _, list in ipairs { parts_of(a), parts_of(b) } do
    for _, part in ipairs(list) do parts[#parts + 1] = part end
  end
  return parts
end

--- A text in a colour, where its stream shows colours. What comes of joining it with others by `..`
-- is for this module's functions.
-- @param stream 1 or 2
function output:paint(stream, color, text)
  if not self.color[stream] then return text end
  return setmetatable({ { text, codes[color] } }, painted)
end

--- What is written for a text, in which nothing but our colours does anything to a terminal.
-- @param show of pgmig.texts
local function rendered(text, show)
  if type(text) == "string" then return show(text) end
  local pieces = {}
  for i, part in ipairs(parts_of(text)) do
    pieces[i] = type(part) == "string" and show(part)
      or "\27[" .. part[2] .. "m" .. show(part[1]) .. "\27[0m"
  end
  return table.concat(pieces)
end

local function terminal_columns()
  return math.floor(tonumber(os.getenv "COLUMNS") or core.terminal_width(1) or COLUMNS)
end

--- How many columns the terminal has that standard output is; nil: it is none.
function output:columns() return self.is_terminal and terminal_columns() or nil end

--- How many columns a line may take: a longer one could wrap, and would stay.
function M.width()
  return math.max(0, terminal_columns() - 1 - ECHO)
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
  text = texts.line(text):sub(1, M.width()):gsub("[\194-\244][\128-\191]*$", "")
  self.shown = #text
  put(self, blank, text)
end

--- Show on a terminal a line that stays below all others, in place of the one before.
-- @param text without control characters
-- @param columns how many it takes, at most
function output:pin(text, columns)
  if not self.progress then return end
  local rest = (" "):rep(math.min(self.shown, M.width()) - columns)
  self.pinned = { text = texts.line(text), columns = columns }
  put(self, "\r", pinned(self), rest)
end

--- Take the running line away, and do not show it again.
function output:clear()
  self.pinned = nil
  put(self, erasure(self))
end

local function write(self, text, show)
  put(self, erasure(self), rendered(text, show), "\n", pinned(self))
end

--- Write a text to standard output as it is: for a program, not for a terminal.
function output:raw(text) put(self, erasure(self), text) end

--- Write a line to standard output, at once: it is there when its migration is, also in a pipe.
function output:always(text) write(self, text, texts.line) end

--- Write a line to standard output, unless only errors are wanted.
function output:line(text)
  if not self.quiet then self:always(text) end
end

--- Write a list of lines to standard output in one piece, unless only errors are wanted.
function output:lines(list)
  if self.quiet then return end
  local rows = {}
  for i, line in ipairs(list) do rows[i] = rendered(line, texts.line) end
  put(self, erasure(self), table.concat(rows, "\n"), "\n", pinned(self))
end

--- Write a text of several lines to standard output, unless only errors are wanted.
function output:block(text)
  if not self.quiet then write(self, text, texts.visible) end
end

local function remark(self, text)
  if self.quiet then return end
  put(self, erasure(self))
  tell(text)
  put(self, pinned(self))
end

--- Write a remark for people to standard error, unless only errors are wanted.
function output:note(text) remark(self, texts.line(text)) end

--- Write a remark of several lines.
function output:notes(text) remark(self, texts.visible(text)) end

--- Ask a question on standard error, whatever else is wanted there.
function output:prompt(text)
  self:clear()
  io.stderr:flush()
  core.write(2, texts.line(text))
end

--- Write a text of several lines to standard error: the last of all.
function output:error(text)
  self:clear()
  tell(texts.visible(text))
end

--- The end: whether everything that was written to standard output has arrived there, or nobody was
-- there any more to read it.
function output:complete()
  self:clear()
  return not self.failed
end

return M
