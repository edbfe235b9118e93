--- What the runs of a contender come to.
local M = {}

local function values_of(runs, field)
  local list = {}
  for _, run in ipairs(runs) do list[#list + 1] = run[field] end
  table.sort(list)
  return list
end

local function median(list)
  local middle = (#list + 1) / 2
  return (list[math.floor(middle)] + list[math.ceil(middle)]) / 2
end

--- @param row of measure.workload
-- @return nil when there is nothing to show, else the medians of `wall`, `cpu` (seconds),
--   `round_trips` and `connections`, the highest `memory` and `server_memory` (kB), `min` and `max`
--   of wall, and `runs`
function M.of(row)
  if row.missing or row.failed or #row.runs == 0 then return nil end
  local walls = values_of(row.runs, "wall")
  local stats = { runs = #walls, wall = median(walls), min = walls[1], max = walls[#walls] }
  for _, field in ipairs { "cpu", "round_trips", "connections" } do
    if row.runs[1][field] then stats[field] = median(values_of(row.runs, field)) end
  end
  for _, field in ipairs { "memory", "server_memory" } do
    local list = values_of(row.runs, field)
    stats[field] = list[#list]
  end
  return stats
end

--- A row's time for the whole work, in multiples of the base row's; nil where one has none.
function M.ratio(row, base)
  local stats, base_stats = M.of(row), base and M.of(base)
  if not stats or not base_stats then return nil end
  return (stats.wall / row.weight) / (base_stats.wall / base.weight)
end

--- The row of a key.
function M.find(rows, key)
  for _, row in ipairs(rows) do
    if row.key == key then return row end
  end
end

return M
