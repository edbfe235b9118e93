--- How many cases the fault specs have tried, and what was lost or done twice in them.
local M = {}

-- Busted loads modules anew for each spec file; the registry stays.
local registry = debug.getregistry()
registry["pgmig.faults"] = registry["pgmig.faults"] or { order = {}, rows = {} }
local totals = registry["pgmig.faults"]

--- Count a case.
-- @param name of its row
-- @param case { lost, doubled, problems }
function M.add(name, case)
  local row = totals.rows[name]
  if not row then
    row = { cases = 0, lost = 0, doubled = 0, failed = 0 }
    totals.rows[name] = row
    totals.order[#totals.order + 1] = name
  end
  row.cases = row.cases + 1
  row.lost, row.doubled = row.lost + case.lost, row.doubled + case.doubled
  row.failed = row.failed + (#case.problems > 0 and 1 or 0)
end

--- The table, as Markdown.
function M.text()
  local lines = { "| fault | cases | lost | done twice | failed |", "|---|---|---|---|---|" }
  for _, name in ipairs(totals.order) do
    local row = totals.rows[name]
    lines[#lines + 1] = ("| %s | %d | %d | %d | %d |"):format(name, row.cases, row.lost,
      row.doubled, row.failed)
  end
  return table.concat(lines, "\n")
end

return M
