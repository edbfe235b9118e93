--- How many cases the fault specs have tried, and what was lost or done twice in them: a line each
-- in the file that PGMIG_FAULTS_SUMMARY names (report.lua reads it).
local M = {}

local path = os.getenv "PGMIG_FAULTS_SUMMARY"

--- Count a case.
-- @param name of its row
-- @param case { lost, doubled, problems }
function M.add(name, case)
  if not path then return end
  local file = assert(io.open(path, "a"))
  file:write(("%s\t%d\t%d\t%d\n"):format(name, case.lost, case.doubled, #case.problems))
  file:close()
end

return M
