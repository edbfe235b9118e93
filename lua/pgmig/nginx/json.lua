--- JSON, with the library that is there: dkjson, else the cjson that OpenResty brings.
local core = require "pgmig.core"

local M = {}

local has_dkjson, library = pcall(require, "dkjson")
local has_cjson
if not has_dkjson then has_cjson, library = pcall(require, "cjson") end

--- A value as JSON, in valid UTF-8.
function M.encode(value)
  if has_dkjson or has_cjson then return core.readable(library.encode(value), "\\\\x") end
  error("JSON needs dkjson or cjson: apt-get install lua-dkjson, or luarocks install dkjson", 0)
end

return M
