--- The table that `status` shows to people.
local columns = require "pgmig.cli.columns"
local drift = require "pgmig.state.drift"
local ledger = require "pgmig.state.ledger"
local needed = require "pgmig.needed"
local texts = require "pgmig.texts"
local times = require "pgmig.cli.times"

local at_work = needed "upkeep.at_work"
local failures = needed "state.failure"

local M = {}

local colors = {
  applied = "green", pending = "yellow", missing = "red", edited = "red", unreadable = "red",
  renamed = "yellow", replaced = "red", renumbered = "red", out_of_order = "yellow",
  forgotten = "red", failed = "red", unfinished = "red",
}

local no_way_back = {
  none = "no DOWN section", empty = "DOWN has no SQL", irreversible = "irreversible",
}

--- What is to be noted of a migration.
local function note_of(m, untaken)
  if untaken and untaken.applied[ledger.key(m)] then return "applied by " .. untaken.from end
  local notes = { no_way_back[m.down] }
  if m.phase == "post" and m.state ~= "applied" then table.insert(notes, 1, "phase post") end
  return table.concat(notes, ", ")
end

--- The cells of a migration's row.
-- @param look { is_local = times in the zone of whoever looks, columns = of the terminal; nil: what
--   reads it is no terminal }
local function cells_of(m, status, look)
  local at = m.applied_at
  return m.state, texts.line(m.label), at and times.shown(at, look.is_local) or "",
    note_of(m, status.untaken)
end

--- Characters, not bytes: names may be UTF-8.
local function characters(s) return #s:gsub("[\128-\191]", "") end

local WIDEST = 120 -- columns; what is longer moves only its own line
local NARROWEST = 12 -- columns of the names, on a terminal
local MINUTES = #"2024-05-01 12:00" -- what is left of times where there is little room

local function pad(s, length, width) return s .. (" "):rep(width - length) end

--- Call a function with each migration, one after the other: there may be a million, too many to
-- keep the rows of.
local function each(status, fn)
  for _, list in ipairs { status.applied, status.pending, status.repeatable } do
    for _, m in ipairs(list) do fn(m) end
  end
end

--- The widths of the columns, however wide that is; only names may have characters of several
-- bytes.
local function natural(status, look)
  local layout = { state = #"STATE", name = #"MIGRATION", time = #"APPLIED AT", note = 0 }
  layout.measure = look.columns and columns.width or characters
  each(status, function(m)
    local state, name, at, note = cells_of(m, status, look)
    layout.state = math.max(layout.state, #state)
    layout.time = math.max(layout.time, #at)
    layout.note = math.max(layout.note, #note)
    if #name > layout.name then
      layout.name = math.max(layout.name, math.min(layout.measure(name), WIDEST))
    end
  end)
  return layout
end

--- The columns that are left for names.
local function room_for_names(layout, all)
  local notes = layout.note > 0 and 2 + layout.note or 0
  return all - layout.state - 2 - 2 - layout.time - notes
end

--- The same as wide as the terminal is: names are shortened first, then times, then all that stands
-- behind.
local function fitting(layout, all)
  layout.limit = all
  if room_for_names(layout, all) < NARROWEST then layout.time = math.min(layout.time, MINUTES) end
  layout.name = math.max(NARROWEST, math.min(layout.name, room_for_names(layout, all)))
  return layout
end

local function line_of(output, layout, color, state, name, at, note)
  local line = output:paint(1, color, pad(state, #state, layout.state))
  if layout.limit then
    name, at = columns.cut_middle(name, layout.name), at:sub(1, layout.time)
  end
  local rest = "  " .. pad(name, layout.measure(name), layout.name) .. "  "
  if note ~= "" then
    rest = rest .. pad(at, #at, layout.time) .. "  " .. note
  else
    rest = texts.trim_right(rest .. at)
  end
  return line .. (layout.limit and columns.cut_end(rest, layout.limit - layout.state) or rest)
end

local AT_ONCE = 500 -- lines

local function write_rows(output, status, look)
  local layout = natural(status, look)
  if look.columns then layout = fitting(layout, look.columns) end
  local lines = { line_of(output, layout, "bold", "STATE", "MIGRATION", "APPLIED AT", "") }
  each(status, function(m)
    lines[#lines + 1] = line_of(output, layout, colors[m.state], cells_of(m, status, look))
    if #lines < AT_ONCE then return end
    output:lines(lines)
    lines = {}
  end)
  if lines[1] then output:lines(lines) end
end

local function summary(status)
  local missing, edited, forgotten = 0, 0, 0
  for _, m in ipairs(status.applied) do
    missing = missing + (m.state == "missing" and 1 or 0)
    edited = edited + (m.state == "edited" and 1 or 0)
  end
  for _, m in ipairs(status.pending) do
    forgotten = forgotten + (m.state == "forgotten" and 1 or 0)
  end
  local parts = { status.applied_count .. " applied", status.pending_count .. " pending" }
  if missing > 0 then parts[#parts + 1] = missing .. " without its file" end
  if edited > 0 then parts[#parts + 1] = edited .. " edited" end
  if forgotten > 0 then parts[#parts + 1] = forgotten .. " of them applied according to the "
    .. "history" end
  if #status.problems > 0 then parts[#parts + 1] = #status.problems .. " broken" end
  return table.concat(parts, ", ")
end

local function write_remark(output, kind, remark)
  if remark then output:line(output:paint(1, "red", kind .. ":") .. " " .. remark) end
end

--- What another tool's table says, before it is taken over.
local function write_untaken(output, untaken)
  write_remark(output, "not taken over", ("%s; %s%s"):format(untaken.message, untaken.hint,
    untaken.remedy and ": " .. untaken.remedy or ""))
end

--- What a state means, and what to do.
local function explain(m)
  if m.state == "unreadable" then return nil end -- its file is among the broken ones
  local sentence, hint = drift.describe(m)
  return sentence and sentence .. "; " .. hint
end

--- How an attempt has left it, and what to do.
local function explain_attempt(m)
  local said = (m.unfinished or m.failure) and failures.describe(m)
  if not said then return nil end
  return said.kind, ("%s; %s: %s"):format(said.message, said.hint, said.remedy)
end

local function write_remarks(output, status)
  for _, list in ipairs { status.applied, status.pending, status.repeatable } do
    for _, m in ipairs(list) do
      write_remark(output, m.state, not (status.warning and m.state == "missing") and explain(m))
      if not status.at_work then write_remark(output, explain_attempt(m)) end
    end
  end
  if status.untaken then write_untaken(output, status.untaken) end
  if status.at_work then
    output:line(output:paint(1, "yellow", "running:") .. " "
      .. table.concat({ at_work.describe(status.at_work, status.read) }, "; "))
  end
  for _, path in ipairs(status.ignored) do
    output:line(("ignored: %s %s"):format(path, status.reasons[path]))
  end
  for _, problem in ipairs(status.problems) do
    output:block(output:paint(1, "red", "broken:") .. " " .. problem.message)
  end
end

--- Write a status.
-- @param output where to (pgmig.cli.output)
-- @param status of `migrator:status()`
-- @param look { is_local = true: times in the zone of whoever looks }
function M.write(output, status, look)
  look.columns = output:columns()
  if status.applied[1] or status.pending[1] or status.repeatable[1] then
    write_rows(output, status, look)
  end
  write_remarks(output, status)
  if status.warning then output:line(output:paint(1, "red", "missing: " .. status.warning)) end
  output:line(summary(status))
end

return M
