--- Databases themselves: made and dropped, from a connection to another one on the same server.
-- @module pgmig.db.database
local connection = require "pgmig.db.connection"
local errors = require "pgmig.errors"

local M = {}
local database = {}
database.__index = database

-- Where to connect to, the first that is there; neither these nor template0 are ever dropped.
local MAINTENANCE = { "postgres", "template1" }
local kept = { postgres = true, template0 = true, template1 = true }

local FORCE_SINCE = 130000 -- PostgreSQL 13: DROP DATABASE ... WITH (FORCE)

-- ---- the connection ----------------------------------------------------------

--- What `connect` takes, for another database of the same server.
local function with_name(source, name)
  local options = {}
  for key, value in pairs(type(source) == "table" and source or { url = source }) do
    options[key] = value
  end
  local given = options.url or options.database or options.dbname or os.getenv "DATABASE_URL"
  options.url, options.database, options.dbname = given ~= "" and given or nil, nil, name
  return options
end

local function is_missing(err)
  return errors.is(err, "connect")
    and (err.code == "no_database" or err.message:find("no such database", 1, true) ~= nil)
end

local function connect_beside(source)
  local failure
  for _, name in ipairs(MAINTENANCE) do
    local ok, result = pcall(connection.connect, with_name(source, name))
    if ok then return result end
    failure = failure or result
    if not is_missing(result) then error(result, 0) end
  end
  failure.hint = ("a database is made and dropped from the database %s: create one of them, or "
    .. "connect directly to the server where a pooler in between has neither"):format(
    table.concat(MAINTENANCE, " or "))
  error(failure, 0)
end

--- Open what a connection would be to, which need not be there.
-- @param source as of `pgmig.connect`
-- @return an object with `db` (the connection that is used), `name`, and the methods `place`,
--   `about`, `create`, `drop` and `close`
-- @raise kinds "connect", "usage"
function M.open(source)
  local name = connection.target(source)
  local db = connect_beside(source)
  return setmetatable({ db = db, name = name or db:place().user }, database)
end

--- As of a connection's `place`.
function database:place()
  local at = self.db:place()
  at.name = self.name
  return at
end

function database:close() self.db:close() end

-- ---- what is there -----------------------------------------------------------

local ABOUT = [[
  SELECT pg_catalog.current_setting('max_identifier_length')::pg_catalog.int4 AS longest,
    EXISTS (SELECT FROM pg_catalog.pg_database d
      WHERE d.datname OPERATOR(pg_catalog.=) $1::pg_catalog.name) AS there,
    EXISTS (SELECT FROM pg_catalog.pg_database d
      WHERE d.datname OPERATOR(pg_catalog.=) $1::pg_catalog.name AND d.datistemplate) AS template]]

-- The server itself ends the workers of autovacuum.
local SESSIONS = [[
  SELECT a.pid, COALESCE(a.usename::pg_catalog.text, '?') AS user_name,
    COALESCE(a.application_name, '') AS application
  FROM pg_catalog.pg_stat_activity a
  WHERE a.datname OPERATOR(pg_catalog.=) $1::pg_catalog.name
    AND a.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()
    AND NOT COALESCE(a.backend_type OPERATOR(pg_catalog.=) 'autovacuum worker', false)
  ORDER BY a.pid]]

--- Whether it is there, and a template.
-- @return { there, template }
-- @raise kind "usage" for a name that the server would cut off
function database:about()
  local row = self.db:ask_row("1 longest:int there:bool template:bool", ABOUT, self.name)
  if #self.name > row.longest then
    errors.raise("usage", ("the name of the database has %d bytes: the server cuts it off behind "
      .. "%d"):format(#self.name, row.longest))
  end
  return row
end

local MOST_NAMED = 5

--- Who is connected, as a sentence; nil: nobody.
local function describe_sessions(rows)
  local names = {}
  for i = 1, math.min(#rows, MOST_NAMED) do
    local row = rows[i]
    local program = row.application ~= "" and ", " .. row.application or ""
    names[i] = ("pid %d (%s%s)"):format(row.pid, row.user_name, program)
  end
  if #rows > MOST_NAMED then names[#names + 1] = ("and %d more"):format(#rows - MOST_NAMED) end
  return table.concat(names, ", ")
end

--- Refuse while others are connected.
-- @raise kind "plan"
local function check_unused(self)
  local rows = self.db:ask_rows("* pid:int user_name:text application:text", SESSIONS, self.name)
  if not rows[1] then return end
  errors.raise("plan", ("%d other session%s connected to the database: %s"):format(#rows,
    #rows == 1 and " is" or "s are", describe_sessions(rows)), {
    hint = "end them, or have the server end them with --force (option `force`)",
  })
end

-- ---- making and dropping -----------------------------------------------------

-- By SQLSTATE (manual, appendix A): another one was faster.
local there_by_now = { ["42P04"] = true, ["23505"] = true }
local gone_by_now = { ["3D000"] = true }

local NOT_ALLOWED = "42501"

--- Carry out a statement that may take its time, as a migration's may.
-- @param beaten SQLSTATEs that mean: another one has done it
-- @return whether it was this one
local function carry_out(self, sql, beaten)
  local ok, err = pcall(self.db.exec, self.db, sql)
  if ok then return true end
  if errors.is(err) and beaten[err.sqlstate] then return false end
  if errors.is(err) and err.sqlstate == NOT_ALLOWED then
    err.hint = err.hint or "a role makes databases that has CREATEDB (ALTER ROLE ... CREATEDB), "
      .. "and drops those that it owns"
  end
  error(err, 0)
end

--- Make it, unless it is there.
-- @param options { template, owner, encoding = names, as of CREATE DATABASE }; nil
-- @return whether it was made
-- @raise kinds "usage", "sql"
function database:create(options)
  options = options or {}
  if self:about().there then return false end
  local db = self.db
  local words = { "CREATE DATABASE", db:quote_ident(self.name) }
  for _, clause in ipairs { { "OWNER", options.owner }, { "TEMPLATE", options.template } } do
    if clause[2] then words[#words + 1] = clause[1] .. " " .. db:quote_ident(clause[2]) end
  end
  if options.encoding then
    words[#words + 1] = "ENCODING " .. db:quote_literal(options.encoding)
  end
  return carry_out(self, table.concat(words, " "), there_by_now)
end

--- Refuse what must stay.
-- @raise kinds "usage", "plan"
local function check_droppable(self, about, force)
  if kept[self.name] then
    errors.raise("usage", ("the database %s belongs to the server and is never dropped"):format(
      self.name))
  end
  if about.template then
    errors.raise("plan", "the database is a template, of which others are made", {
      hint = ("if it is to go all the same: ALTER DATABASE %s IS_TEMPLATE false"):format(
        self.db:quote_ident(self.name)),
    })
  end
  if force and self.db:server_version() < FORCE_SINCE then
    errors.raise("usage", "the server cannot end the sessions of others: that takes PostgreSQL 13 "
      .. "or later", { hint = "end them, then drop the database without --force (option `force`)" })
  end
  if not force then check_unused(self) end
end

--- Drop it, if it is there.
-- @param options { force = true: the server ends all other sessions of it; confirm = fn(), which is
--   called before, and raises where it is not to be }; nil
-- @return whether it was dropped
-- @raise kinds "usage", "plan", "sql"
function database:drop(options)
  options = options or {}
  local about = self:about()
  if not about.there then return false end
  check_droppable(self, about, options.force)
  if options.confirm then options.confirm() end
  local sql = "DROP DATABASE " .. self.db:quote_ident(self.name)
  return carry_out(self, sql .. (options.force and " WITH (FORCE)" or ""), gone_by_now)
end

--- Open it, call a method, close it.
local function with_open(source, method, options)
  local self = M.open(source)
  local ok, result = pcall(self[method], self, options)
  self:close()
  if ok then return result end
  error(result, 0)
end

--- Make the database that a connection string names, unless it is there.
-- @param source as of `pgmig.connect`
-- @param options of `create`
-- @return whether it was made
-- @raise kinds "connect", "usage", "sql"
function M.create(source, options) return with_open(source, "create", options) end

--- Drop the database that a connection string names, if it is there.
-- @param source as of `pgmig.connect`
-- @param options of `drop`
-- @return whether it was dropped
-- @raise kinds "connect", "usage", "plan", "sql"
function M.drop(source, options) return with_open(source, "drop", options) end

return M
