--- The table that `status` shows to people.
local drift = require "pgmig.state.drift"
local ledger = require "pgmig.state.ledger"
local needed = require "pgmig.needed"
local texts = require "pgmig.texts"

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

--- `2024-05-01T12:00:00.123456+00:00` without the T and the fraction.
local function time(iso)
  return iso and iso:gsub("T", " "):gsub("%.%d+", "") or ""
end

--- What is to be noted of a migration.
local function note_of(m, untaken)
  if untaken and untaken.applied[ledger.key(m)] then return "applied by " .. untaken.from end
  local notes = { no_way_back[m.down] }
  if m.phase == "post" and m.state ~= "applied" then table.insert(notes, 1, "phase post") end
  return table.concat(notes, ", ")
end

--- The cells of a migration's row.
local function cells_of(m, status)
  return m.state, texts.line(m.label), time(m.applied_at), note_of(m, status.untaken)
end

--- Characters, not bytes: names may be UTF-8.
local function width(s) return #s:gsub("[\128-\191]", "") end

local WIDEST = 120 -- columns; what is longer moves only its own line

local function pad(s, length, columns) return s .. (" "):rep(columns - length) end

--- Call a function with each migration, one after the other: there may be a million, too many to
-- keep the rows of.
local function each(status, fn)
  for _, list in ipairs { status.applied, status.pending, status.repeatable } do
    for _, m in ipairs(list) do fn(m) end
  end
end

--- The widths of the columns; only names may have characters of several bytes.
local function widths(status)
  local states, names, times = #"STATE", #"MIGRATION", #"APPLIED AT"
  each(status, function(m)
    local state, name, at = cells_of(m, status)
    if #state > states then states = #state end
    if #at > times then times = #at end
    if #name > names then names = math.max(names, math.min(width(name), WIDEST)) end
  end)
  return { states, names, times }
end

local function line_of(output, columns, color, state, name, at, note)
  local line = output:paint(1, color, pad(state, #state, columns[1]))
  local rest = "  " .. pad(name, width(name), columns[2]) .. "  "
  if note ~= "" then return line .. rest .. pad(at, #at, columns[3]) .. "  " .. note end
  return line .. texts.trim_right(rest .. at)
end

local AT_ONCE = 500 -- lines

local function write_rows(output, status)
  local columns = widths(status)
  local lines = { line_of(output, columns, "bold", "STATE", "MIGRATION", "APPLIED AT", "") }
  each(status, function(m)
    lines[#lines + 1] = line_of(output, columns, colors[m.state], cells_of(m, status))
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
function M.write(output, status)
  if status.applied[1] or status.pending[1] or status.repeatable[1] then
    write_rows(output, status)
  end
  write_remarks(output, status)
  if status.warning then output:line(output:paint(1, "red", "missing: " .. status.warning)) end
  output:line(summary(status))
end

return M
