--- The progress bar: one line below what a run prints, on a terminal.
local columns = require "pgmig.cli.columns"
local core = require "pgmig.core"
local needed = require "pgmig.needed"
local output = require "pgmig.cli.output"

local backfill_report = needed "cli.backfill_report"

local M = {}
local bar = {}
bar.__index = bar

local DELAY = 0.5 -- seconds; a run that is over by then needs none
local RATE, BURST = 10, 3 -- redraws a second; so many at once after a pause
local LARGE = 1e6 -- bytes; of a smaller file they say nothing about the time
local WIDEST, NARROWEST = 30, 10 -- columns of the bar itself

local ascii = { full = "#", empty = "-", left = "[", right = "]" }
local blocks = { full = "█", empty = "░", left = "", right = "" }

--- Make a bar.
-- @param out where to draw it (pgmig.cli.output)
function M.new(out)
  local style = columns.is_utf8() and blocks or ascii
  return setmetatable({ output = out, style = style, allowed = BURST }, bar)
end

-- ---- its text --------------------------------------------------------------

local function clock(seconds)
  local minutes = math.floor(seconds / 60)
  if minutes < 60 then return ("%d:%02d"):format(minutes, math.floor(seconds % 60)) end
  return ("%d:%02d:%02d"):format(math.floor(minutes / 60), minutes % 60, math.floor(seconds % 60))
end

local function is_large(state) return state.size ~= nil and state.size >= LARGE end

--- How much of the run is done, from 0 to 1. Where only one migration runs, the bar is that of the
-- server's phase.
local function fraction(state)
  if state.backfill then return state.backfill.fraction end
  if state.done >= state.total then return 1 end
  local part = 0
  if is_large(state) then
    part = state.bytes / state.size
  elseif state.total == 1 and state.percent then
    part = state.percent / 100
  end
  return (state.done + part) / state.total
end

local function bytes_text(state)
  return ("%.1f of %.1f MB, %d %%"):format(state.bytes / 1e6, state.size / 1e6,
    math.floor(100 * state.bytes / state.size))
end

--- What is known of the migration under way.
local function details(state)
  if state.backfill then return backfill_report.line(state.backfill) end
  local parts = { state.label }
  if is_large(state) then parts[#parts + 1] = bytes_text(state) end
  local statement = state.statement
  if statement and state.phase then statement = statement .. ": " .. state.phase end
  if statement and state.percent then
    statement = ("%s %d %%"):format(statement, math.floor(state.percent))
  end
  parts[#parts + 1] = statement
  return table.concat(parts, "  ")
end

--- The line.
-- @param state { done, total, label, bytes, size, statement, phase, percent }, as of an event; or
--   { backfill, done, total }
-- @param seconds since the run began
-- @param width columns that there are
-- @return the text
-- @return how many columns it takes at most
function bar:line(state, seconds, width)
  local style = self.style
  local length = math.max(NARROWEST, math.min(WIDEST, math.floor(width / 4)))
  local full = math.floor(fraction(state) * length)
  local drawn = style.left .. style.full:rep(full) .. style.empty:rep(length - full) .. style.right
  local taken = length + #style.left + #style.right
  local counted = state.total and ("%d/%d  "):format(state.done, state.total) or ""
  local text = ("  %s%s  %s"):format(counted, clock(seconds), details(state))
  local rest, used = columns.head(text:gsub("%c", "?"), width - taken)
  if taken > width then return "", 0 end
  return drawn .. rest, taken + used
end

-- ---- when it is drawn ------------------------------------------------------

local known = { "done", "total", "bytes", "size", "statement", "phase", "percent" }

--- Remember what an event says; of the migration before it nothing else counts any longer.
-- @return whether it changes the bar
local function note(self, event)
  local state = self.state
  if event.type == "backfill" and event.backfill then
    self.state = {
      backfill = event.backfill, done = state and state.done, total = state and state.total,
    }
  elseif event.type == "progress" then
    self.state = { label = event.migration and event.migration.label or "" }
    for _, key in ipairs(known) do self.state[key] = event[key] end
  elseif event.type == "start" and state then
    self.state = { label = event.migration.label, done = state.done, total = state.total }
  else
    return false
  end
  return true
end

--- Whether one more redraw is not too often.
local function is_allowed(self, now)
  self.allowed = math.min(BURST, self.allowed + (now - (self.asked or now)) * RATE)
  self.asked = now
  if self.allowed < 1 then return false end
  self.allowed = self.allowed - 1
  return true
end

--- Something happened during a run: draw the bar anew, where it is time.
-- @param event of the migrator
function bar:event(event)
  local now = core.now()
  self.began = self.began or now
  if not note(self, event) or now - self.began < DELAY or not is_allowed(self, now) then return end
  self.output:pin(self:line(self.state, now - self.began, output.width()))
end

return M
