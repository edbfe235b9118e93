--- The results as Markdown.
local contenders = require "bench.contenders"
local machine = require "bench.machine"
local stats = require "bench.stats"

local M = {}

--- 1234567 as "1,234,567".
function M.thousands(n)
  local text = ("%d"):format(n):reverse():gsub("(%d%d%d)", "%1,"):reverse()
  return (text:gsub("^,", ""))
end

--- Seconds with three digits that count.
function M.seconds(value)
  return ((value < 1 and "%.3f") or (value < 10 and "%.2f") or "%.1f"):format(value)
end

local function megabytes(kilobytes)
  return kilobytes and ("%.1f"):format(kilobytes / 1024) or ""
end

local function count(n) return M.thousands(math.floor(n + 0.5)) end

-- ---- columns ---------------------------------------------------------------

local function column(title, cell) return { title = title, cell = cell } end

--- The columns of a workload; a cell is made of the row's statistics, the ratio and the result.
local function columns(w, base_name)
  local list = {
    column("seconds", function(s) return M.seconds(s.wall) end),
    column("min", function(s) return M.seconds(s.min) end),
    column("max", function(s) return M.seconds(s.max) end),
    column("x " .. base_name, function(_, ratio) return ratio and ("%.2f"):format(ratio) or "" end),
  }
  if w.scan then
    list[#list + 1] = column("MB/s", function(s, _, result)
      return ("%.0f"):format(result.bytes / 1e6 / s.wall)
    end)
  end
  list[#list + 1] = column("cpu s", function(s) return M.seconds(s.cpu) end)
  list[#list + 1] = column("MB", function(s) return megabytes(s.memory) end)
  if w.memory then
    list[#list + 1] = column("server MB", function(s) return megabytes(s.server_memory) end)
  end
  if w.delay then
    list[#list + 1] = column("round trips", function(s) return count(s.round_trips) end)
    list[#list + 1] = column("connections", function(s) return count(s.connections) end)
  end
  list[#list + 1] = column("runs", function(s) return tostring(s.runs) end)
  return list
end

local function line(cells) return "| " .. table.concat(cells, " | ") .. " |" end

local function name_of(w, row)
  if row.share == 1 then return row.name end
  return ("%s (%s %s)"):format(row.name, M.thousands(row.size), w.nothing and "files" or "only")
end

--- Why a row has no figures.
local function instead(row)
  if row.missing then return "not installed" end
  return "failed: " .. row.failed:gsub("[|`<>]", " ")
end

local function row_line(w, row, base, result, list)
  local s = stats.of(row)
  local cells = { name_of(w, row) }
  for i, c in ipairs(list) do
    cells[i + 1] = s and c.cell(s, stats.ratio(row, base), result) or ""
  end
  if not s then cells[2] = instead(row) end
  return line(cells)
end

--- The heading of a workload's table.
function M.title(w, result)
  local title = w.title:format(M.thousands(result.size))
  return (title:gsub("^%l", string.upper))
end

local function size_text(bytes)
  return bytes < 1e6 and ("%.0f kB"):format(bytes / 1e3) or ("%.0f MB"):format(bytes / 1e6)
end

local note = "`%s`: %s of files. Before a round at most %.0f %% of the processors were busy%s."

--- A workload's table.
function M.table_of(w, result)
  local base = stats.find(result.rows, w.base)
  local list = columns(w, w.scan and "libpg_query" or "psql")
  local titles, rules = { "" }, { "---" }
  for i, c in ipairs(list) do
    titles[i + 1] = c.title
    rules[i + 1] = "---:"
  end
  local lines = { "## " .. M.title(w, result), "", line(titles), line(rules) }
  for _, row in ipairs(result.rows) do lines[#lines + 1] = row_line(w, row, base, result, list) end
  lines[#lines + 1] = ""
  lines[#lines + 1] = note:format(w.key, size_text(result.bytes), result.load * 100,
    result.load > machine.QUIET and ": **the machine was not quiet**" or "")
  lines[#lines + 1] = ""
  return table.concat(lines, "\n")
end

-- ---- what stands above -----------------------------------------------------

local head = [[
# Benchmark results

Written by `script/bench`%s; [README.md](README.md) says how to read it and how it was measured.

- %s, %s UTC
- PostgreSQL %s, a scratch server, unix socket; %s; else as it comes
- %s
- %s; load average of the minute before: %.2f
]]

local function settings_text(settings)
  local list = {}
  for name, value in pairs(settings) do list[#list + 1] = name .. " = " .. value end
  table.sort(list)
  return table.concat(list, ", ")
end

local function runs_text(rounds)
  return rounds == 1 and "a single run each" or
    ("medians of %d runs, of fewer where the last column says so"):format(rounds)
end

--- The text above the tables.
-- @param about { quick =, rounds =, load_average =, round_trip = ms, server = version, settings = }
function M.head(about)
  local tools = {}
  for i, entry in ipairs(contenders.versions) do
    tools[i] = entry[1] .. " " .. (entry[2] or "not installed")
  end
  return head:format(about.quick and " in its quick form, which is for trying it out" or "",
    machine.describe(), os.date "!%Y-%m-%d %H:%M", about.server, settings_text(about.settings),
    table.concat(tools, ", "), runs_text(about.rounds), about.load_average)
end

return M
