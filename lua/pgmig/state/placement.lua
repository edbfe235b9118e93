--- Which tables a ledger means, and whether all that they say is seen: decided by what the database
-- has, not by the search_path of whoever connects.
local errors = require "pgmig.errors"
local shell = require "pgmig.shell"

local M = {}

local UNCLEAR = "unclear_table" -- which table counts, or what it says, is not known

--- A table's name with its schema, as option `table` takes it.
local function name_in(schema, name)
  if not schema:find "^[%a_][%w_$]*$" then schema = '"' .. schema:gsub('"', '""') .. '"' end
  return schema .. "." .. name
end

--- One of the places as a sentence, and what to do.
local function refuse(ledger, db, places, message)
  local names, hint = {}, ""
  for i, place in ipairs(places) do
    names[i] = name_in(place.schema, ledger.name)
    if place.barred then
      local role = db:ask_row("1 name:text", "SELECT current_user::pg_catalog.text AS name").name
      hint = ("role %s lacks the USAGE privilege on schema %s: GRANT USAGE ON SCHEMA %s TO "
        .. "%s; "):format(
        role, place.schema, db:quote_ident(place.schema), db:quote_ident(role))
    end
  end
  local option = shell.word(names[1])
  errors.raise("plan", message:format(ledger.name, table.concat(names, ", ")), {
    hint = hint .. ("specify which one is meant: --table %s; or SCHEMA.%s for a new one (option "
      .. "`table`); nothing was touched"):format(option, ledger.name),
    code = UNCLEAR, remedy = ("pgmig --table %s status"):format(option),
  })
end

--- Refuse to begin a new table where another schema has one.
-- @param elsewhere fn(used) returns the places of such tables, { schema, barred }
-- @raise kind "plan"
function M.check_missing(ledger, db, elsewhere)
  local places = elsewhere()
  if not places[1] then return end
  refuse(ledger, db, places, "there is no table %s in the schemas of this session's search_path, "
    .. "but there is %s")
end

--- Refuse a table without rows where another schema has one with rows.
-- @param elsewhere as in `check_missing`
-- @raise kind "plan"
function M.check_empty(ledger, db, elsewhere)
  local places = elsewhere "used"
  if not places[1] then return end
  refuse(ledger, db, places, "the table %s that this session's search_path finds is empty, but %s "
    .. "is not")
end

-- Whether row-level security is only there because its owner, who asks, has forced it.
local FORCED = [[
  SELECT c.relforcerowsecurity AND pg_catalog.pg_has_role(c.relowner, 'USAGE') AS forced
  FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass($1)]]

--- Refuse to read what row-level security may hide.
-- @raise kind "plan"
function M.refuse_hidden(ledger, db)
  local hidden = ledger.handle:hidden()
  local forced = ("ALTER TABLE %s NO FORCE ROW LEVEL SECURITY"):format(hidden)
  local row = db:ask_row("? forced:bool", FORCED, hidden)
  errors.raise("plan", ("row-level security may hide rows of %s from this role"):format(hidden), {
    hint = "all rows are visible to the table's owner, unless row-level security is forced on it, "
      .. "too (" .. forced
      .. "), to roles with BYPASSRLS, and under a policy FOR ALL with USING (true)",
    code = UNCLEAR,
    remedy = row and row.forced and ('psql "$DATABASE_URL" -c %s'):format(shell.quote(forced))
      or nil,
  })
end

return M
