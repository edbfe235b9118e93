--- Where in nginx's configuration a function of pgmig.nginx may be called.
local errors = require "pgmig.errors"

local M = {}

--- The directive whose code runs now.
local function directive(phase)
  if phase == "timer" then return "a timer" end
  if phase == "ssl_cert" then return "ssl_certificate_by_lua" end
  return phase .. "_by_lua"
end

--- Refuse a call in another phase than these.
-- @param name of the function
-- @param ... phases, as `ngx.get_phase` calls them; the first is where it belongs
-- @raise kind "usage"
function M.check(name, ...)
  local now = ngx.get_phase()
  for i = 1, select("#", ...) do
    if now == select(i, ...) then return end
  end
  errors.raise("usage", ("%s must be called in %s, not in %s"):format(name,
    directive((...)), directive(now)))
end

return M
