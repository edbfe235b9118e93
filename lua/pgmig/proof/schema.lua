--- Loads a schema that pg_dump has written, statement by statement, as psql does: what a server of
-- another version, or without some role or extension, cannot take is left out where nothing depends
-- on it.
local core = require "pgmig.core"
local errors = require "pgmig.errors"

local M = {}

--- The extension that a statement is about; nil.
local function extension_in(sql)
  local rest = sql:match "^%a+%s+[Ee][Xx][Tt][Ee][Nn][Ss][Ii][Oo][Nn]%s+(.*)$"
    or sql:match "^%a+%s+[Oo][Nn]%s+[Ee][Xx][Tt][Ee][Nn][Ss][Ii][Oo][Nn]%s+(.*)$"
  if not rest then return nil end
  rest = rest:gsub("^[Ii][Ff]%s+[Nn]?[Oo]?[Tt]?%s*[Ee][Xx][Ii][Ss][Tt][Ss]%s+", "")
  return rest:match '^"([^"]+)"' or rest:match "^[%w_$-]+"
end

M.extension_in = extension_in

--- Whether a statement's failure takes nothing away: a setting of a newer version, a schema that is
-- there already.
local function is_harmless(statement, err)
  if statement.kind == "SET" then return err.sqlstate == "42704" or err.sqlstate == "22023" end
  return statement.kind == "CREATE SCHEMA" and err.sqlstate == "42P06"
end

--- Whether it only says who may do what, and that cannot be said here.
local function is_about_rights(statement, err)
  if err.sqlstate ~= "42501" and err.sqlstate ~= "42704" then return false end
  return statement.kind == "GRANT" or statement.kind == "REVOKE"
    or statement.kind == "ALTER DEFAULT PRIVILEGES" or statement.sql:find " OWNER TO " ~= nil
end

local function send(db, statement)
  if statement.copy_data then return db:copy(statement.sql, statement.copy_data) end
  db:exec(statement.sql)
end

--- Place an error in the file.
local function place(err, path, statement, loader)
  err.file, err.line, err.column = path, statement.line, statement.column
  err.detail = err.detail or "this is the schema that the clone is to begin with"
  if loader.missing[1] then
    err.hint = ("the clone's server has no extension %s: install it there, or name a server that "
      .. "has it (--scratch, --scratch-bin)"):format(table.concat(loader.missing, ", "))
  end
  error(err, 0)
end

--- Run one statement.
local function run(db, statement, path, loader)
  local extension = extension_in(statement.sql)
  if extension and not loader.has_extension(extension) then
    if statement.kind == "CREATE EXTENSION" then
      loader.missing[#loader.missing + 1] = extension
    end
    return
  end
  local ok, err = pcall(send, db, statement)
  while not ok and loader.supply(err) do ok, err = pcall(send, db, statement) end
  if ok then return end
  if not errors.is(err, "sql") then error(err, 0) end
  if is_harmless(statement, err) then return end
  if not is_about_rights(statement, err) then place(err, path, statement, loader) end
  loader.without_rights = true
end

--- Load a schema.
-- @param db a connection to an empty database
-- @param text of it
-- @param path what names it in messages
-- @param options { has_extension = fn(name), supply = fn(err) makes what an error misses, and
--   returns whether it has }
-- @return { missing = names of extensions, without_rights = whether rights or owners are left out }
-- @raise kinds "parse", "sql"
function M.load(db, text, path, options)
  local loader = {
    missing = {}, has_extension = options.has_extension, supply = options.supply,
  }
  local script = core.parse_script("-- pgmig: transaction=off\n" .. text, path)
  for _, statement in ipairs(script:describe().up.statements) do
    statement.line = statement.line - 1
    run(db, statement, path, loader)
  end
  return loader
end

return M
