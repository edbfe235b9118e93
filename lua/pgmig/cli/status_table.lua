--- The table that `status` shows to people.
local drift = require "pgmig.drift"
local files = require "pgmig.files"
local trim = require "pgmig.trim"
local visible = require "pgmig.visible"

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

--- Set the cells of a migration's row.
local function set_row(cells, m)
  cells[1], cells[2], cells[3] = m.state, visible.line(m.label), time(m.applied_at)
  cells[4] = no_way_back[m.down] or ""
end

--- Characters, not bytes: names may be UTF-8.
local function width(s)
  if not s:find "[\128-\191]" then return #s end
  return #s:gsub("[\128-\191]", "")
end

local WIDEST = 120 -- columns; what is longer moves only its own line

local function pad(s, columns) return s .. (" "):rep(columns - width(s)) end

local head = { "STATE", "MIGRATION", "APPLIED AT", "" }

--- Call a function with the cells of each row, one after the other: there may be a million.
local function each_row(status, fn)
  local cells = {}
  fn(head)
  for _, list in ipairs { status.applied, status.pending, status.repeatable } do
    for _, m in ipairs(list) do
      set_row(cells, m)
      fn(cells)
    end
  end
end

local function widths(status)
  local result = { 0, 0, 0, 0 }
  each_row(status, function(cells)
    for i, cell in ipairs(cells) do
      result[i] = math.max(result[i], math.min(width(cell), WIDEST))
    end
  end)
  return result
end

local function line_of(output, cells, columns)
  local color = cells == head and "bold" or colors[cells[1]]
  local line = output:paint(1, color, pad(cells[1], columns[1]))
  local rest = pad(cells[2], columns[2]) .. "  " .. pad(cells[3], columns[3]) .. "  " .. cells[4]
  return line .. trim.right("  " .. rest)
end

local AT_ONCE = 500 -- lines

local function write_rows(output, status)
  local columns, lines = widths(status), {}
  each_row(status, function(cells)
    lines[#lines + 1] = line_of(output, cells, columns)
    if #lines < AT_ONCE then return end
    output:lines(lines)
    lines = {}
  end)
  if lines[1] then output:lines(lines) end
end

local function summary(status)
  local missing, edited, forgotten = 0, 0, 0
  for _, m in ipairs(status.applied) do
    missing = missing + (m.missing and 1 or 0)
    edited = edited + (m.state == "edited" and 1 or 0)
  end
  for _, m in ipairs(status.pending) do
    forgotten = forgotten + (m.state == "forgotten" and 1 or 0)
  end
  local parts = { status.applied_count .. " applied", status.pending_count .. " pending" }
  if missing > 0 then parts[#parts + 1] = missing .. " without its file" end
  if edited > 0 then parts[#parts + 1] = edited .. " edited" end
  if forgotten > 0 then parts[#parts + 1] = forgotten .. " of them applied, as the history says" end
  if #status.problems > 0 then parts[#parts + 1] = #status.problems .. " broken" end
  return table.concat(parts, ", ")
end

--- What is said about a file that is no migration, and looks like one.
function M.ignored(path)
  local example = path:find "%.sql$" and " (NNN_description.sql)" or ""
  return ("ignored: %s %s%s"):format(path, files.ignored(path), example)
end

--- What a state means, and what to do.
local function explain(m)
  if m.state == "unreadable" then return nil end -- its file is among the broken ones
  local sentence, hint = drift.describe(m)
  if m.state == "failed" then
    sentence, hint = ("%s failed: %s"):format(m.label, m.failure.message), "correct it, then up"
  elseif m.unfinished then
    sentence = ("%s stopped at statement %d"):format(m.label, m.unfinished.done + 1)
    hint = (m.missing and "its file is missing" or "run again") .. "; pgmig doctor tells more"
  end
  return sentence and sentence .. "; " .. hint
end

local function write_remarks(output, status)
  for _, list in ipairs { status.applied, status.pending, status.repeatable } do
    for _, m in ipairs(list) do
      local remark = not (status.warning and m.state == "missing") and explain(m)
      if remark then output:line(output:paint(1, "red", m.state .. ":") .. " " .. remark) end
    end
  end
  for _, path in ipairs(status.ignored) do output:line(M.ignored(path)) end
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
