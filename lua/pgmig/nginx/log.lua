--- Into nginx's error log. It prints a table that is raised as "unknown reason", so nothing that
-- pgmig raises may reach it: `guard` writes the text.
local texts = require "pgmig.texts"

local M = {}

local function level_of(name)
  local levels = { debug = ngx.DEBUG, info = ngx.NOTICE, warn = ngx.WARN, error = ngx.ERR }
  return levels[name]
end

--- Write a message, further lines of which are set in: none looks like an entry of its own. Also a
-- migrator's `log`.
-- @param level "debug", "info" (nginx's notice), "warn" or "error"
-- @param message a text
function M.write(level, message)
  ngx.log(level_of(level), "pgmig: ", texts.field(message))
end

--- Call a function; what it raises is logged.
-- @return true and what it returns; false and what it raised
function M.guard(fn, ...)
  local ok, result = pcall(fn, ...)
  if not ok then M.write("error", tostring(result)) end
  return ok, result
end

return M
