--- A schema as text, the same each time: what pg_dump writes, without what changes from one run,
-- release or role to the next.
local core = require "pgmig.core"

local M = {}

-- What pg_dump sets at its head. The head of a file of ours sets what counts of it.
local settings = {
  "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout",
  "transaction_timeout", "client_encoding", "standard_conforming_strings",
  "check_function_bodies", "xmloption", "client_min_messages", "row_security",
}

local dropped = { ["SELECT pg_catalog.set_config('search_path', '', false)"] = true }

local is_setting = {}
for _, name in ipairs(settings) do is_setting[name] = true end

-- What it sets between objects, and what holds where nothing was set.
local function new_defaults()
  return {
    default_tablespace = "''", default_table_access_method = "heap", default_with_oids = "false",
  }
end

--- Whether a statement only says what holds anyway.
local function is_idle(sql, defaults)
  if dropped[sql] then return true end
  local name, value = sql:match "^SET ([%w_]+) = (.*)$"
  if not name then return false end
  if is_setting[name] or defaults[name] == value then return true end
  if defaults[name] then defaults[name] = value end
  return false
end

--- Whether a statement only says that the role that makes the schema owns what it has made.
local function is_own(sql, role)
  local ending = " OWNER TO " .. role
  return sql:find "^ALTER " and sql:sub(-#ending) == ending
end

local DEFAULTS = "ALTER DEFAULT PRIVILEGES "

--- A statement without the name of that role, where it goes without.
local function without_role(sql, role)
  local beginning = DEFAULTS .. "FOR ROLE " .. role .. " "
  if sql:sub(1, #beginning) ~= beginning then return sql end
  return DEFAULTS .. sql:sub(#beginning + 1)
end

-- ---- secrets -----------------------------------------------------------------

--- What may hold a password, for people; nil.
local function secret_in(sql)
  if not sql:lower():find "password" then return nil end
  local subscription = sql:match "^CREATE SUBSCRIPTION (%S+) "
  local mapping = sql:match "^CREATE USER MAPPING (FOR .- SERVER %S+)"
  return subscription and "subscription " .. subscription
    or mapping and "user mapping " .. mapping or nil
end

-- ---- comments ----------------------------------------------------------------

--- The line of a comment between two statements that says what comes; nil.
local function heading(gap)
  local line = ("\n" .. gap):match "\n(%-%- [%a ]*Name: [^\n]*)" -- "Data for Name: "
  return line and line:gsub("; Owner: .*$", "") .. "\n"
end

-- ---- all of it ---------------------------------------------------------------

--- What a materialized view needs beside its definition: it is made without data.
local function refresh_of(sql, populated)
  local name = sql:match "^CREATE MATERIALIZED VIEW (.-) AS\n"
    or sql:match "^CREATE MATERIALIZED VIEW (.-)\nUSING "
    or sql:match "^CREATE MATERIALIZED VIEW (.-)\nWITH "
  return name and populated[name] and ("REFRESH MATERIALIZED VIEW %s;\n"):format(name) or nil
end

--- The rows behind a COPY.
local function rows_of(statement)
  return statement.copy_data and statement.copy_data .. "\\.\n" or ""
end

--- Normalise what pg_dump has written.
-- @param text from `pgmig.proof.pg_dump`
-- @param options { role = who owns what nothing is said of, quoted; populated = a set of the
--   quoted names of materialized views that have been filled; secrets = true: nothing is left out
--   because it may hold a password }
-- @return { text = statements, with a comment that names each object; left_out = what is not among
--   them because it may hold a password, a list }
-- @raise kind "parse"
function M.normalise(text, options)
  local script = core.parse_script(text, "(pg_dump)")
  local parts, refreshes, secrets = {}, {}, {}
  local defaults, at, title = new_defaults(), 0, nil
  for _, statement in ipairs(script:describe().up.statements) do
    local sql = statement.sql
    title = heading(text:sub(at + 1, statement.offset)) or title
    at = statement.offset + #sql
    local secret = not options.secrets and secret_in(sql) or nil
    secrets[#secrets + 1] = secret
    local says_nothing = statement.copy_data == "" or is_idle(sql, defaults)
      or is_own(sql, options.role)
    if not (secret or says_nothing) then
      parts[#parts + 1] = title and "\n" .. title
      parts[#parts + 1] = without_role(sql, options.role) .. ";\n" .. rows_of(statement)
      title = nil
      refreshes[#refreshes + 1] = refresh_of(sql, options.populated)
    end
  end
  script:free()
  if refreshes[1] then parts[#parts + 1] = "\n" .. table.concat(refreshes) end
  return { text = table.concat(parts), left_out = secrets }
end

return M
