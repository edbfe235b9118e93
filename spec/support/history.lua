--- What the specs about folders of other tools share.
local pgmig = require "pgmig"
local support = require "spec.support"

local M = {}

--- Write files into a folder, with the folders that they stand in.
-- @param dir the folder
-- @param files their texts by path
function M.write(dir, files)
  for name, text in pairs(files) do
    local folder = name:match "^(.*)/"
    if folder then os.execute(("mkdir -p '%s/%s'"):format(dir, folder)) end
    support.write(dir, name, text)
  end
end

--- The labels of migrations, in one string.
function M.labels(list)
  local result = {}
  for i, m in ipairs(list) do result[i] = tostring(m) end
  return table.concat(result, " ")
end

--- The error of pgmig's that a function raises.
function M.fails(fn, ...)
  local ok, err = pcall(fn, ...)
  if ok then error("it did not fail", 2) end
  if not pgmig.is_error(err) then error("not an error of pgmig's: " .. tostring(err), 2) end
  return err
end

--- The tables that migrations have made, in one string.
-- @param but a regular expression of other tables
function M.tables(db, but)
  return db:query([[
    SELECT coalesce(string_agg(tablename, ' ' ORDER BY tablename), '') AS names FROM pg_tables
    WHERE schemaname = 'public' AND tablename !~ $1]], but or "migration|version")[1].names
end

return M
