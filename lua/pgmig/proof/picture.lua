--- Pictures of schemas that are compared: of the database, and of one that files make on a clone.
-- pgmig's own tables are in neither.
local connection = require "pgmig.db.connection"
local dial = require "pgmig.db.dial"
local errors = require "pgmig.errors"
local fingerprint = require "pgmig.proof.fingerprint"
local recovery = require "pgmig.db.recovery"
local trace = require "pgmig.proof.trace"

local M = {}

local STATEMENT_TIMEOUT = "60s" -- a server that has so many objects is asked in vain

local OLDEST = 11 -- major version whose catalogs are known

local function major(version) return math.floor(version / 10000) end

--- The names of a migrator's own tables, quoted.
function M.own_tables(migrator)
  local handle = migrator.ledger.handle
  if not handle:qualified() then migrator.ledger:probe(migrator.db) end
  return { handle:tables() }
end

-- ---- taking them ---------------------------------------------------------------

local function begin(db, lock_timeout)
  db:exec "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
  db:exec(("SET LOCAL lock_timeout = %s; SET LOCAL statement_timeout = %s"):format(
    db:quote_literal(lock_timeout), db:quote_literal(STATEMENT_TIMEOUT)))
end

local function take(db, without, unreadable)
  return fingerprint.open(db, {
    without = without, database = false, unreadable = unreadable,
  }):take()
end

--- A picture of a database in use: at one moment, and without waiting for long.
-- @param db a connection
-- @param options { without = names of tables that are left out; lock_timeout = how long it waits
--   for a lock, in PostgreSQL's syntax; reconnect = seconds to try to connect again, should the
--   connection be lost; unreadable = what another picture lacks, or nil }
-- @return as of `fingerprint:take`
-- @raise kinds "lock", "sql"
function M.live(db, options)
  return recovery.persist(db, options.reconnect, function()
    begin(db, options.lock_timeout)
    local ok, result = pcall(take, db, options.without, options.unreadable)
    if not db:is_lost() then db:exec "ROLLBACK" end
    if ok then return result end
    error(result, 0)
  end)
end

--- A picture of a migrator's database.
function M.of_migrator(migrator, unreadable)
  return M.live(migrator.db, {
    without = M.own_tables(migrator), lock_timeout = migrator.lock_timeout,
    reconnect = migrator.reconnect, unreadable = unreadable,
  })
end

-- ---- on a clone ------------------------------------------------------------------

--- What `clone.open` takes for one that has what the files make, and nothing of the database's own.
function M.of_clone(migrator, options)
  local of = trace.of_clone(migrator, options)
  of.as_files_say = true
  return of
end

local MAKER = [[
  WITH owned AS (SELECT r.rolname, c.oid FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) c.relowner
    JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
    WHERE n.nspname OPERATOR(pg_catalog.!~) '^pg_|^information_schema$')
  SELECT COALESCE(
    (SELECT o.rolname FROM owned o
      WHERE o.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(%s)::pg_catalog.oid),
    (SELECT o.rolname FROM owned o GROUP BY o.rolname ORDER BY pg_catalog.count(*) DESC LIMIT 1),
    current_user)::pg_catalog.text AS name]]

--- Who makes the objects of a database: who has the tracking table, otherwise who has most of them.
local function maker_of(migrator)
  local db, name = migrator.db, M.own_tables(migrator)[1]
  return db:ask_row("1 name:text", MAKER:format(name and db:quote_literal(name) or "NULL")).name
end

local IS_THERE = "SELECT r.rolname FROM pg_catalog.pg_roles r "
  .. "WHERE r.rolname OPERATOR(pg_catalog.=) $1"

--- Let what the clone's migrations make have the owner that it has in the database.
-- @return whether the server has such a role
function M.share_owner(clone, migrator)
  local role = maker_of(migrator)
  local admin, quoted = clone.admin, clone.admin:quote_ident(role)
  local is_there = admin:query(IS_THERE, role)[1] ~= nil
  if clone.server then
    admin:exec((is_there and "ALTER" or "CREATE") .. " ROLE " .. quoted .. " SUPERUSER")
  elseif not is_there then
    return false
  end
  clone.url = dial.with_role(clone.url, role)
  return true
end

--- A picture of what a database of the clone has before any file is run.
function M.of_empty(clone, unreadable)
  local db = connection.connect(clone:database())
  local ok, result = pcall(take, db, {}, unreadable)
  db:close()
  if ok then return result end
  error(result, 0)
end

--- Refuse to compare what two versions say of the same schema in other words.
-- @param server_version of the database; other_version of what it is compared with
-- @param other what that is, for people
-- @raise kind "usage"
function M.check_versions(server_version, other_version, other)
  local ours, theirs = major(server_version), major(other_version)
  if ours < OLDEST then
    errors.raise("usage", ("schemas are compared from PostgreSQL %d on, and the database runs %d")
      :format(OLDEST, ours), { hint = "pgmig dump works there" })
  end
  if ours == theirs then return end
  errors.raise("usage", ("the database runs PostgreSQL %d and %s %d: schemas can be compared only "
    .. "within one major version"):format(ours, other, theirs), {
    hint = ("--scratch-bin names the programs (initdb, postgres) of PostgreSQL %d, --scratch the "
      .. "URL of such a server"):format(ours),
  })
end

-- ---- what the files have nothing to do with ----------------------------------------

--- Divide pictures: what an empty database has already, and the files do not touch, is one half.
-- @param empty the picture of an empty database
-- @param made what the files make of it
-- @param other any other picture
-- @return { made, other } of all else; { made, other } of that half
function M.divide(empty, made, other)
  local function part(picture, keep)
    local result = {}
    for key, value in pairs(picture) do result[key] = value end
    result.rows = {}
    for catalog, rows in pairs(picture.rows) do
      local untouched, kept = (empty.rows[catalog] or {}), {}
      local now = made.rows[catalog] or {}
      for key, row in pairs(rows) do
        local is_beside = untouched[key] and now[key] and untouched[key].row == now[key].row
        if keep == (is_beside or false) then kept[key] = row end
      end
      result.rows[catalog] = kept
    end
    return result
  end
  return { made = part(made, false), other = part(other, false) },
    { made = part(made, true), other = part(other, true) }
end

return M
