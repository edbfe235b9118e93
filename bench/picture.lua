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
  return row.contender.limit and "limit" or "bar"
end

--- What stands behind a bar.
local function value_of(row, base)
  if row.failed then return "fails" end
  local ratio = stats.ratio(row, base)
  return ("%s s%s"):format(report.seconds(stats.of(row).wall),
    ratio and row ~= base and (", %.2f x"):format(ratio) or "")
end

--- The rows that are comparable at a glance: those of the whole size. And the longest time.
local function shown(result)
  local rows, longest = {}, 0
  for _, row in ipairs(result.rows) do
    if row.share == 1 and not row.missing then
      local s = stats.of(row)
      rows[#rows + 1] = row
      longest = math.max(longest, s and s.wall or 0)
    end
  end
  return rows, longest
end

local function draw_row(row, base, longest, y, out)
  local room = WIDTH - 2 * MARGIN - NAMES - VALUES
  local s = stats.of(row)
  local width = s and math.max(1, s.wall / longest * room) or 0
  out[#out + 1] = text(MARGIN + NAMES - 8, y + 11, row.name, ' text-anchor="end"')
  if s then
    out[#out + 1] = ('<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"/>'):format(
      class_of(row), MARGIN + NAMES, y, width, BAR)
  end
  out[#out + 1] = text(math.floor(MARGIN + NAMES + width + 8), y + 11, value_of(row, base),
    ' class="note"')
end

--- One workload: a heading, and a bar for each contender. Returns how high it is.
local function draw(w, result, top, out)
  local rows, longest = shown(result)
  local base = stats.find(result.rows, w.base)
  out[#out + 1] = text(MARGIN, top + 14, report.title(w, result), ' font-weight="600"')
  for i, row in ipairs(rows) do
    draw_row(row, base, longest, top + HEADING + (i - 1) * ROW, out)
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
