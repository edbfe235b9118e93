--- A migration's verify script, as sqitch has them: it runs behind the migration and raises an
-- error where that has not done what it should. Nothing of it stays.
local errors = require "pgmig.errors"
local source = require "pgmig.files.source"

local M = {}

-- What a script says of its transaction: it is ours, and is rolled back.
local transactional = {
  BEGIN = true, ["START TRANSACTION"] = true, COMMIT = true, END = true, ROLLBACK = true,
  ABORT = true,
}

local function run(db, statement, path)
  if transactional[statement.kind] then return end
  local ok, err = pcall(db.exec, db, statement.sql)
  if ok then return end
  if errors.is(err, "sql") then
    err.file, err.line, err.column = path, statement.line, statement.column
  end
  error(err, 0)
end

--- Run the verify script of a migration.
-- @param db a connection to the database, which nothing else uses
-- @param m the migration
-- @return what is wrong: an error of kind "sql", "io" or "parse"; nil where there is no such
--   script, or nothing is wrong
-- @raise any other error
function M.run(db, m)
  if not m.verify_path then return nil end
  local ok, err = pcall(function()
    local statements = source.verify_script(m)
    db:exec "BEGIN"
    for _, statement in ipairs(statements) do run(db, statement, m.verify_path) end
  end)
  if db:transaction_status() ~= "idle" then db:exec "ROLLBACK" end
  if ok then return nil end
  if errors.is(err, "sql") or errors.is(err, "parse") or errors.is(err, "io") then return err end
  error(err, 0)
end

return M
