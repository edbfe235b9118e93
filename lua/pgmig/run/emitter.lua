--- Who hears of what happens during a run: the caller, and the log.
local M = {}

local levels = {
  start = "debug", progress = "debug", notice = "info", warning = "warn", skipped = "warn",
  waiting = "warn", retry = "warn", lost = "warn", resumed = "warn", blocked = "warn",
}

--- What an event says, for a log.
local function describe(event)
  local words = event.type:gsub("_", " ")
  if event.migration then words = words .. " " .. event.migration.label end
  local message = event.message or event.phase
  return message and words .. ": " .. message or words
end

--- The function that hands out events.
-- @param log of pgmig.migrator: fn(level, message, event); nil
-- @param on_event of the caller; nil
-- @return fn(event)
function M.new(log, on_event)
  return function(event)
    if on_event then on_event(event) end
    if log then log(levels[event.type] or "info", describe(event), event) end
  end
end

return M
