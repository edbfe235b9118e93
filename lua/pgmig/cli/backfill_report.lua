--- What people read about backfills.
local texts = require "pgmig.texts"

local M = {}

--- A number with commas between its thousands.
local function figure(number)
  local digits = ("%.0f"):format(number)
  local head = #digits % 3
  local groups = digits:sub(head + 1):gsub("(%d%d%d)", ",%1")
  return (digits:sub(1, head) .. groups):gsub("^,", "")
end

local function clock(seconds)
  local whole = math.floor(seconds + 0.5)
  local hours, minutes = math.floor(whole / 3600), math.floor(whole % 3600 / 60)
  if hours > 0 then return ("%d:%02d:%02d"):format(hours, minutes, whole % 60) end
  return ("%d:%02d"):format(minutes, whole % 60)
end

--- How it is called: its migration, and its table.
local function named(backfill)
  local step = backfill.step > 1 and (", step %d"):format(backfill.step) or ""
  return ("%s  %s%s"):format(backfill.label, backfill.table, step)
end

--- How far it is: "41 %, 12,345 rows/s, 1:07 left".
local function standing(backfill)
  local parts = { ("%d %%"):format(math.floor(backfill.fraction * 100)) }
  if backfill.rate and backfill.state == "running" then
    parts[#parts + 1] = figure(backfill.rate) .. " rows/s"
  end
  if backfill.eta then parts[#parts + 1] = clock(backfill.eta) .. " left" end
  return table.concat(parts, ", ")
end

--- What the bar says of one under way.
function M.line(backfill)
  local text = ("%s  %s"):format(named(backfill), standing(backfill))
  return backfill.waiting and text .. "  waiting: " .. backfill.waiting or text
end

local function remark(output, backfill, message)
  output:note(("%s: %s"):format(backfill and backfill.label or "pgmig", message))
end

local function warn(output, backfill, message)
  remark(output, backfill, "WARNING: " .. message)
end

local phases = {
  start = function(output, backfill) output:running("filling " .. named(backfill)) end,
  waiting = function(output, backfill, message)
    if message then remark(output, backfill, "waiting: " .. message) end
  end,
  lost = function(output, backfill, message)
    remark(output, backfill, ("the connection was lost (%s); connecting again"):format(message))
  end,
  skipped = warn,
  warning = warn,
  hint = function(output, backfill, message) remark(output, backfill, "HINT: " .. message) end,
  done = function(output, backfill)
    output:line(output:paint(1, "green", ("%-11s"):format "filled")
      .. ("  %s  (%s rows)"):format(named(backfill), figure(backfill.rows)))
  end,
}

--- Tell an event of one.
-- @param output of pgmig.cli.output
-- @param event of pgmig.backfill.engine
function M.event(output, event)
  local tell = phases[event.phase]
  if tell then tell(output, event.backfill, event.message) end
end

local colors = { done = "green", running = "green", failed = "red", cancelled = "yellow",
  paused = "yellow" }

local function keys(list)
  local shown = {}
  for i, skipped in ipairs(list) do
    if i > 10 then
      shown[i] = ("and %d more"):format(#list - 10)
      break
    end
    shown[i] = ("(%s): %s"):format(table.concat(skipped.key, ", "), skipped.error)
  end
  return shown
end

--- What there is to say of one beyond its line.
local function details(backfill)
  local lines = {}
  if backfill.waiting then lines[#lines + 1] = "waiting: " .. backfill.waiting end
  if backfill.paused_by then lines[#lines + 1] = "paused by " .. backfill.paused_by end
  if backfill.error then lines[#lines + 1] = backfill.error end
  if backfill.skipped[1] then
    lines[#lines + 1] = ("%d rows are left out:"):format(#backfill.skipped)
    for _, line in ipairs(keys(backfill.skipped)) do lines[#lines + 1] = "  " .. line end
  end
  return lines
end

--- Show what there is.
-- @param list as of pgmig.backfill.description
function M.status(output, list)
  if not list[1] then return output:line "no backfills" end
  for _, backfill in ipairs(list) do
    local state = ("%-9s"):format(backfill.state)
    output:line(output:paint(1, colors[backfill.state] or "bold", state)
      .. ("  %s  %s of about %s rows passed, %s changed, %s"):format(texts.line(named(backfill)),
        figure(backfill.seen), figure(math.max(backfill.estimated or 0, backfill.seen)),
        figure(backfill.rows), standing(backfill)))
    for _, line in ipairs(details(backfill)) do output:line("           " .. line) end
  end
end

return M
