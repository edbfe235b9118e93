--- What a run has done so far: it is told when the run fails.
local M = {}
local record = {}
record.__index = record

--- Make an empty record.
-- @return { applied, rolled_back, recorded = finished migrations, in order; current = the one that
--   has begun and not ended, and its direction }
function M.new()
  return setmetatable({ applied = {}, rolled_back = {}, recorded = {} }, record)
end

--- Take in an event of the migrator.
function record:event(event)
  if event.type == "start" then
    self.current, self.direction = event.migration, event.direction
  elseif self[event.type] and event.migration then
    table.insert(self[event.type], event.migration)
    self.current = nil
  elseif event.type == "skipped" then
    self.current = nil
  end
end

--- Whether nothing has happened to the database.
function record:untouched()
  return not self.current and #self.applied + #self.rolled_back + #self.recorded == 0
end

return M
