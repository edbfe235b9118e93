--- Files of settings, which need not be there.
local core = require "pgmig.core"
local errors = require "pgmig.errors"

local M = {}

--- The text of a file.
-- @param path its path
-- @return the text; "" where the null device hides one; nil when there is none
-- @raise kind "usage" for what cannot be read, or is no regular file
function M.read(path)
  if core.file_kind(path) == "the null device" then return "" end
  local ok, result = pcall(core.read_file, path)
  if ok then return result end
  if errors.is(result, "io") then result.kind = "usage" end
  error(result, 0)
end

return M
