--- Whether a database can keep the names of migrations, which is asked before anything runs.
local errors = require "pgmig.errors"

local M = {}

local ENCODING = "SELECT pg_catalog.current_setting('server_encoding') AS name"
local CONVERT = [[
  SELECT pg_catalog.convert(pg_catalog.decode('%s', 'hex'), 'UTF8', %s)::pg_catalog.text
    AS bytes]]
local NOT_THERE = "22P05" -- untranslatable_character (manual, appendix A)

-- Encodings that keep any bytes of UTF-8.
local keeps_all = { UTF8 = true, SQL_ASCII = true }

local function hex(text)
  return (text:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local function check(db, m, encoding)
  local sql = CONVERT:format(hex(m.name), db:quote_literal(encoding))
  local ok, err = pcall(db.ask_row, db, "1 bytes:text", sql)
  if ok then return end
  if not errors.is(err) or err.sqlstate ~= NOT_THERE then error(err, 0) end
  errors.raise("naming", ("the database cannot keep the file name: its encoding %s lacks a "
    .. "character of it"):format(encoding), { file = m.path, hint = "rename the file" })
end

--- Refuse names that have no place in a database's encoding.
-- @param db a connection
-- @param plan a list of migrations that are to be recorded
-- @raise kind "naming"
function M.check(db, plan)
  local encoding
  for _, m in ipairs(plan) do
    if m.name:find "[\128-\255]" then
      encoding = encoding or db:ask_row("1 name:text", ENCODING).name
      if keeps_all[encoding] then return end
      check(db, m, encoding)
    end
  end
end

return M
