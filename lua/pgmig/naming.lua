--- The default naming rule: `NNN_description.sql`.
-- A rule is pure. `parse(relative_path)` returns { version = digits, name = string } or nil for a
-- file that is none of its; `format(version, name)` is the reverse.
local M = {}

--- Read a file name.
-- @param path relative to the migrations folder
-- @return { version, name, language = "sql" | "lua" }, or nil
function M.parse(path)
  local version, name, language = path:match "^(%d+)_(.+)%.(%a+)$"
  if language ~= "sql" and language ~= "lua" then return nil end
  return { version = version, name = name, language = language }
end

--- The file name of a new migration.
-- @param version digits, with the width that is wanted
-- @param name already sanitised
function M.format(version, name)
  return version .. "_" .. name .. ".sql"
end

return M
