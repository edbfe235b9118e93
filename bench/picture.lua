--- The results as a picture: SVG, in light and dark, without anything from outside.
local report = require "bench.report"
local stats = require "bench.stats"

local M = {}

local TITLE = "pgmig and its rivals: seconds, shorter is better"
local WIDTH, MARGIN = 800, 24
local NAMES, VALUES = 270, 150 -- widths: left of the bars, and right of them
local ROW, BAR, HEADING, GAP = 22, 14, 30, 18

local head = [[
<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img"
  font-family="system-ui, sans-serif" font-size="13">
<title>%s</title>
<style>
  text { fill: #1f2328 } .note { fill: #59636e }
  .bar { fill: #9aa4b0 } .ours { fill: #2f6fde } .limit { fill: #c3cad2 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .note { fill: #9198a1 }
    .bar { fill: #6e7781 } .ours { fill: #5b9bff } .limit { fill: #444c56 }
  }
</style>
]]

local entities = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;" }

local function escape(content) return (content:gsub("[&<>]", entities)) end

local function text(x, y, content, attributes)
  return ('<text x="%d" y="%d"%s>%s</text>'):format(x, y, attributes or "", escape(content))
end

local function class_of(row)
  if row.contender.tool == "pgmig" then return "ours" end
  return row.key == "pipeline" and "limit" or "bar"
end

--- What stands behind a bar.
local function value_of(row, base)
  local ratio = stats.ratio(row, base)
  return ("%s s%s"):format(report.seconds(stats.of(row).wall),
    ratio and row ~= base and (", %.2f x"):format(ratio) or "")
end

--- The rows that are comparable at a glance: those of the whole size.
local function shown(result)
  local rows, longest = {}, 0
  for _, row in ipairs(result.rows) do
    local s = row.share == 1 and stats.of(row)
    if s then
      rows[#rows + 1] = row
      longest = math.max(longest, s.wall)
    end
  end
  return rows, longest
end

--- One workload: a heading, and a bar for each contender. Returns how high it is.
local function draw(w, result, top, out)
  local rows, longest = shown(result)
  local base = stats.find(result.rows, w.base)
  local room = WIDTH - 2 * MARGIN - NAMES - VALUES
  out[#out + 1] = text(MARGIN, top + 14, report.title(w, result), ' font-weight="600"')
  for i, row in ipairs(rows) do
    local y = top + HEADING + (i - 1) * ROW
    local width = math.max(1, stats.of(row).wall / longest * room)
    out[#out + 1] = text(MARGIN + NAMES - 8, y + 11, row.name, ' text-anchor="end"')
    out[#out + 1] = ('<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"/>'):format(
      class_of(row), MARGIN + NAMES, y, width, BAR)
    out[#out + 1] = text(math.floor(MARGIN + NAMES + width + 8), y + 11, value_of(row, base),
      ' class="note"')
  end
  return HEADING + #rows * ROW + GAP
end

--- The picture of all results.
-- @param results a list of { workload, result of measure.workload }
-- @param caption what stands under it: machine, date
function M.of(results, caption)
  local out, top = {}, MARGIN
  for _, entry in ipairs(results) do top = top + draw(entry[1], entry[2], top, out) end
  out[#out + 1] = text(MARGIN, top + 4, caption, ' class="note" font-size="11"')
  local height = top + MARGIN
  return head:format(WIDTH, height, WIDTH, height, TITLE) .. table.concat(out, "\n") .. "\n</svg>\n"
end

return M
