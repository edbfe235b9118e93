--- What a clone takes over from the database that it stands for, beside its schema: what changes
-- how a statement works there.
local core = require "pgmig.core"
local errors = require "pgmig.errors"

local M = {}

-- ---- settings ------------------------------------------------------------------

-- Those of database and role, and the time zone: whether a type change rewrites depends on it. What
-- names places of the server, or its libraries, is left out.
local SETTINGS = [[
  SELECT s.name::pg_catalog.text AS name, s.setting::pg_catalog.text AS value
  FROM pg_catalog.pg_settings s
  WHERE s.name OPERATOR(pg_catalog.=) 'TimeZone'
    OR s.source OPERATOR(pg_catalog.=) ANY ('{database,user,"database user"}'::pg_catalog.text[])
      AND s.context OPERATOR(pg_catalog.=) ANY ('{user,superuser}'::pg_catalog.text[])
      AND s.name OPERATOR(pg_catalog.!~) '_libraries$|tablespace|^role$|^session_authorization$']]

--- Give a database a setting.
local function set(admin, name, setting)
  local what = ("ALTER DATABASE %s SET %s"):format(name, admin:quote_ident(setting.name))
  if setting.name ~= "search_path" then
    return admin:exec(what .. " = " .. admin:quote_literal(setting.value))
  end
  admin:transaction(function() -- a list of names, not one name
    admin:ask_rows("1 _:text", "SELECT pg_catalog.set_config('search_path', $1, true)",
      setting.value)
    admin:exec(what .. " FROM CURRENT")
  end)
end

--- The settings of a database that its clones are to have.
-- @param like a connection to it
-- @return a list of { name, value }
function M.settings(like) return like:ask_rows("* name:text value:text", SETTINGS) end

local of_facts = { "TimeZone", "search_path", "lock_timeout", "statement_timeout" }

--- The same as far as the facts of a database have them (pgmig.proof.facts).
function M.settings_in(facts)
  local list = {}
  for _, name in ipairs(of_facts) do
    local value = facts.settings[name]
    if value then list[#list + 1] = { name = name, value = value } end
  end
  return list
end

--- Give a database its settings: copies do not have those of their template.
-- @param admin a connection to its server
-- @param name of the database
-- @param settings of `settings`; those that the server does not know are taken out
-- @return their names
function M.set(admin, name, settings)
  local unknown = {}
  for i = #settings, 1, -1 do
    local ok, err = pcall(set, admin, name, settings[i])
    if not ok and not errors.is(err, "sql") then error(err, 0) end
    if not ok then unknown[#unknown + 1] = table.remove(settings, i).name end
  end
  return unknown
end

-- ---- roles ---------------------------------------------------------------------

local ROLES = [[
  SELECT r.rolname::pg_catalog.text AS name FROM pg_catalog.pg_roles r
  WHERE r.rolname OPERATOR(pg_catalog.!~) '^pg_']]

local function roles_of(db)
  local names = {}
  for i, row in ipairs(db:ask_rows("* name:text", ROLES)) do names[i] = row.name end
  return names
end

--- Make a role, which may do nothing. We are a member of it: pgmig's own tables may be its.
function M.role(admin, name)
  local quoted = admin:quote_ident(name)
  admin:exec(("CREATE ROLE %s; GRANT %s TO CURRENT_USER"):format(quoted, quoted))
end

--- Make the roles that another server has: files and dumps name them. None may do anything.
-- @param like a connection to that server
-- @param admin a connection to a server of our own
function M.roles(like, admin)
  local there = {}
  for _, name in ipairs(roles_of(admin)) do there[name] = true end
  for _, name in ipairs(roles_of(like)) do
    if not there[name] then M.role(admin, name) end
  end
end

-- ---- extensions ----------------------------------------------------------------

local EXTENSIONS = [[
  SELECT e.extname::pg_catalog.text AS name, n.nspname::pg_catalog.text AS schema
  FROM pg_catalog.pg_extension e
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace
  WHERE e.extname OPERATOR(pg_catalog.<>) 'plpgsql' ORDER BY e.oid]]

local AVAILABLE = "SELECT FROM pg_catalog.pg_available_extensions a "
  .. "WHERE a.name OPERATOR(pg_catalog.=) $1"

--- Whether a server could create an extension.
function M.has_extension(db, name) return db:ask_rows("?", AVAILABLE, name)[1] ~= nil end

--- Whether one of some files names something, in whatever letters.
function M.is_in(paths, name)
  for _, path in ipairs(paths) do
    local text = core.read_file(path)
    if text and text:lower():find(name:lower(), 1, true) then return true end
  end
  return false
end

--- Create the extensions that a database has, and that no file creates.
-- @param like a connection to that database
-- @param db a connection to the clone
-- @param paths of the files
-- @return the names of those that its server does not have
function M.extensions(like, db, paths)
  local missing = {}
  for _, row in ipairs(like:ask_rows("* name:text schema:text", EXTENSIONS)) do
    if not M.is_in(paths, row.name) then
      local schema = db:quote_ident(row.schema)
      local ok = M.has_extension(db, row.name) and pcall(db.exec, db,
        ("CREATE SCHEMA IF NOT EXISTS %s; CREATE EXTENSION %s SCHEMA %s CASCADE"):format(schema,
          db:quote_ident(row.name), schema))
      if not ok then missing[#missing + 1] = row.name end
    end
  end
  return missing
end

-- ---- constraints ---------------------------------------------------------------

local CONSTRAINTS = [[
  SELECT CASE WHEN c.conrelid OPERATOR(pg_catalog.<>) 0::pg_catalog.oid THEN 'TABLE'
      ELSE 'DOMAIN' END AS kind,
    pg_catalog.format('%I.%I', n.nspname, COALESCE(r.relname, t.typname))::pg_catalog.text AS owner,
    pg_catalog.format('%I', c.conname)::pg_catalog.text AS name,
    pg_catalog.pg_get_constraintdef(c.oid)::pg_catalog.text AS definition, c.convalidated AS valid
  FROM pg_catalog.pg_constraint c
  LEFT JOIN pg_catalog.pg_class r ON r.oid OPERATOR(pg_catalog.=) c.conrelid
  LEFT JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) c.contypid
  JOIN pg_catalog.pg_namespace n
    ON n.oid OPERATOR(pg_catalog.=) COALESCE(r.relnamespace, t.typnamespace)]]

local SHAPE = "* kind:text owner:text name:text definition:text valid:bool"

local remedies = {
  [true] = "ALTER %s %s VALIDATE CONSTRAINT %s",
  [false] = "ALTER %s %s DROP CONSTRAINT %s; ALTER %s %s ADD CONSTRAINT %s %s",
}

--- Make constraints NOT VALID, or valid, as they are in another database: whether a statement has
-- to look at all rows depends on it. What only one of the two has is left alone.
-- @param like a connection to that database
-- @param db a connection to the clone
function M.constraints(like, db)
  local wanted = {}
  for _, row in ipairs(like:ask_rows(SHAPE, CONSTRAINTS)) do
    wanted[row.owner .. " " .. row.name] = row
  end
  for _, row in ipairs(db:ask_rows(SHAPE, CONSTRAINTS)) do
    local other = wanted[row.owner .. " " .. row.name]
    if other and other.valid ~= row.valid then -- a partition's follows its parent's
      pcall(db.exec, db, remedies[other.valid]:format(row.kind, row.owner, row.name, row.kind,
        row.owner, row.name, other.definition))
    end
  end
end

return M
