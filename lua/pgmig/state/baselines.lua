--- Baseline migrations (Flyway's `B3__name.sql`): in a new database one runs in the place of all up
-- to its version; elsewhere it does not.
local core = require "pgmig.core"

local M = {}

--- Whether a row is a baseline migration's, and not that of the file with its version.
local function is_recorded(baseline, files, rows)
  local at = rows.there[baseline.id]
  local other = files.by_id[baseline.id]
  if not at or (other and other.name == baseline.name) then return false end
  return (rows.name and rows.name[at] or rows.key and rows.key[at]) == baseline.name
end

--- The baseline migration that counts in a database; nil.
local function chosen(files, rows)
  for i = #files.baselines, 1, -1 do
    local baseline = files.baselines[i]
    if rows.count == 0 or is_recorded(baseline, files, rows) then return baseline end
  end
end

--- The files as they count in a database.
-- @param files what `pgmig.files.list` read
-- @param rows those of the tracking table
-- @return the same, or a copy in which a baseline migration stands for all up to its version
function M.settle(files, rows)
  local baseline = files.baselines[1] and chosen(files, rows)
  if not baseline then return files end
  local settled, list, by_id = {}, { baseline }, {}
  for key, value in pairs(files) do settled[key] = value end
  for id, m in pairs(files.by_id) do by_id[id] = m end
  for _, m in ipairs(files.list) do
    if core.compare(m.id, baseline.id) > 0 then list[#list + 1] = m end
  end
  by_id[baseline.id] = baseline
  settled.list, settled.by_id = list, by_id
  return settled
end

return M
