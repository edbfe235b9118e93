--- What the schema of a database is: the rows of its catalogs, in which each OID is a name. No list
-- of ours says what belongs to a schema; the server does (pgmig.proof.generator).
--
-- A snapshot is taken whole once; after that a step reads only the catalog rows that are new. Each
-- change of a row gives it the transaction that made it as its xmin, and each row that is gone is
-- missing in the count of its catalog. Names in rows that did not change may have: when something
-- was renamed, or a member of an extension has changed, everything is read again.
local canonical = require "pgmig.proof.canonical"
local core = require "pgmig.core"
local generator = require "pgmig.proof.generator"
local record = require "pgmig.proof.record"
local wording = require "pgmig.proof.wording"

local M = {}
local fingerprint = {}
fingerprint.__index = fingerprint

-- $1: names of tables, $2: schemas of those without one
local LEFT_OUT = [[
  WITH named AS (SELECT c.oid FROM pg_catalog.pg_class c
      JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
      JOIN pg_catalog.unnest(%s::pg_catalog.text[]) AS w(name)
        ON c.relname OPERATOR(pg_catalog.=) (pg_catalog.parse_ident(w.name))[
          pg_catalog.array_length(pg_catalog.parse_ident(w.name), 1)]
        AND (n.nspname OPERATOR(pg_catalog.=) (pg_catalog.parse_ident(w.name))[1]
            AND pg_catalog.array_length(pg_catalog.parse_ident(w.name), 1) OPERATOR(pg_catalog.=) 2
          OR pg_catalog.array_length(pg_catalog.parse_ident(w.name), 1) OPERATOR(pg_catalog.=) 1
            AND n.nspname OPERATOR(pg_catalog.=) ANY (%s::pg_catalog.name[])))
  SELECT ARRAY(SELECT n.oid FROM named n
      UNION SELECT i.indexrelid FROM pg_catalog.pg_index i
        JOIN named n ON n.oid OPERATOR(pg_catalog.=) i.indrelid
      UNION SELECT d.objid FROM pg_catalog.pg_depend d
        JOIN named n ON n.oid OPERATOR(pg_catalog.=) d.refobjid
        WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
          AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
          AND d.deptype OPERATOR(pg_catalog.=) ANY ('{a,i}'::pg_catalog."char"[])
    )::pg_catalog.text AS own,
    ARRAY(SELECT n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname
      OPERATOR(pg_catalog.~) '^pg_(toast$|temp_|toast_temp_)')::pg_catalog.text AS away]]

-- The oldest transaction that had not ended: rows of it and of later ones are new to the next step.
local HORIZON = "(pg_catalog.txid_snapshot_xmin(pg_catalog.txid_current_snapshot())"
  .. " OPERATOR(pg_catalog.&) 4294967295)::pg_catalog.text"

local SCAN = [[SELECT %d AS catalog, pg_catalog.count(*) AS count,
  (pg_catalog.array_agg(x.ctid) FILTER (WHERE %s))::pg_catalog.text AS rows,
  (pg_catalog.array_agg(%s) FILTER (WHERE %s))::pg_catalog.text AS ids
FROM pg_catalog.%s x%s]]
local COUNT = "SELECT %d, pg_catalog.count(*), NULL, NULL FROM pg_catalog.%s x%s"
local IS_NEW = "pg_catalog.age(x.xmin) OPERATOR(pg_catalog.<=) (SELECT pg_catalog.age(%s))"

-- ---- the connection ----------------------------------------------------------

--- Call a function in which names are written as they have to be.
local function within(self, fn)
  if self.own then return fn() end
  return wording.within(self.db, fn)
end

--- An array's literal.
local function array(db, list)
  local parts = {}
  for i, name in ipairs(list) do parts[i] = '"' .. name:gsub('["\\]', "\\%0") .. '"' end
  return db:quote_literal("{" .. table.concat(parts, ",") .. "}")
end

--- The tables of the bookkeeping, for `without`.
-- @param name of the tracking table, "name" or "schema.name"
-- @return a list of quoted names
function M.tables(name)
  local schema, bare = name:match "^(.-)%.?([^.]+)$"
  local prefix, list = schema ~= "" and ('"%s".'):format(schema) or "", {}
  for i, suffix in ipairs { "", "_history", "_journal", "_run_journal", "_backfill" } do
    list[i] = ('%s"%s%s"'):format(prefix, bare, suffix)
  end
  return list
end

--- Begin to look at a database; nothing of its schema is read yet.
-- @param db the connection
-- @param options { without = names of tables that are left out with all that is theirs; own = true:
--   nobody else uses the connection, so that its settings may be changed and statements prepared;
--   otherwise each look is one inside of the transaction of who uses it; database = false: what the
--   database itself has (owner, privileges, settings, comment) does not count; roles = true: the
--   server's roles and tablespaces count; large_objects = true: who may use which; unreadable = of
--   another fingerprint: what cannot be read there is not read here }
-- @return the fingerprint; its `unreadable` is a set of "catalog.column" and "catalog" that this
--   role cannot read
-- @raise kind "sql"
function M.open(db, options)
  options = options or {}
  local self = setmetatable({
    db = db, own = options.own, prepared = {}, origin = {},
  }, fingerprint)
  local schemas = db:query("SELECT pg_catalog.current_schemas(false)::pg_catalog.text AS s")[1].s
  self.left_out_query = LEFT_OUT:format(array(db, options.without or {}), db:quote_literal(schemas))
  if self.own then wording.set(db) end
  local made = generator.make(db, {
    database = options.database ~= false, roles = options.roles,
    large_objects = options.large_objects, unreadable = options.unreadable,
  })
  self.catalogs, self.unreadable = made.list, made.unreadable
  return self
end

-- ---- the whole -----------------------------------------------------------------

--- The parameters of the queries: $1 = places of rows, $2 = relations and $3 = schemas that are
-- left out.
local function literals(self, places)
  local db, left_out = self.db, self.left_out
  return {
    places and db:quote_literal(places) .. "::pg_catalog.tid[]",
    db:quote_literal(left_out.own) .. "::pg_catalog.oid[]",
    db:quote_literal(left_out.away) .. "::pg_catalog.oid[]",
  }
end

--- A query with its parameters filled in.
local function complete(query, values)
  return (query:gsub("%$([123])", function(n) return values[tonumber(n)] end))
end

local function whole_query(self)
  local values, parts = literals(self), {}
  for i, catalog in ipairs(self.catalogs) do parts[i] = complete(catalog.query, values) end
  return table.concat(parts, "\nUNION ALL\n")
end

--- Rows as the server gives them, with one spelling of each expression.
local function spelled(rows)
  for _, row in ipairs(rows) do row.row = canonical.of(row.row) end
  return rows
end

--- All rows, by catalog and identity.
local function read_all(self)
  local state = {}
  for _, catalog in ipairs(self.catalogs) do state[catalog.name] = {} end
  for _, row in ipairs(spelled(self.db:query(whole_query(self)))) do
    state[row.catalog][row.id] = row
  end
  return state
end

local function by_key(rows)
  local result = {}
  for _, row in pairs(rows) do result[row.key] = row end
  return result
end

--- The digest of everything: of lines in an order that does not depend on the server.
local function digest(self, rows)
  local lines = {}
  for _, catalog in ipairs(self.catalogs) do
    for key, row in pairs(rows[catalog.name]) do
      lines[#lines + 1] = catalog.name .. "\t" .. key .. "\t" .. row.row
    end
  end
  table.sort(lines)
  return core.checksum(table.concat(lines, "\n"))
end

local function columns_of(self)
  local columns = {}
  for _, catalog in ipairs(self.catalogs) do
    columns[catalog.name] = { key = catalog.key, values = catalog.values }
  end
  return columns
end

--- The digest is made when it is asked for: it takes as long as reading the rows.
local function hashed(self)
  return { __index = function(made, key)
    if key ~= "hash" then return nil end
    made.hash = digest(self, made.rows)
    return made.hash
  end }
end

local function snapshot(self)
  local rows = {}
  for name, list in pairs(self.state) do rows[name] = by_key(list) end
  return setmetatable({
    rows = rows, columns = columns_of(self), origin = self.origin,
    version = self.db:server_version(), unreadable = self.unreadable,
  }, hashed(self))
end

-- ---- what is new ----------------------------------------------------------------

--- One query for all catalogs: how many rows each has, and which are new. %horizon stands for a
-- transaction.
local function scan_query(self)
  local parts = {}
  for i, catalog in ipairs(self.catalogs) do
    local filter = catalog.cheap and "\nWHERE " .. catalog.cheap or ""
    parts[i] = catalog.has_places
      and SCAN:format(i, "%new", catalog.id, "%new", catalog.name, filter)
      or COUNT:format(i, catalog.name, filter)
  end
  parts[#parts + 1] = "SELECT 0, 0, " .. HORIZON .. ", NULL"
  return table.concat(parts, "\nUNION ALL\n")
end

--- Run a query: a prepared one where the connection is our own.
-- @param name of the statement
-- @param make fn() returns its text with $1, $2, ...
-- @param types of the parameters
-- @param values their literals
local function execute(self, name, make, types, values)
  local db = self.db
  if not self.prepared[name] then
    db:exec(("PREPARE %s (%s) AS %s"):format(name, types, make()))
    self.prepared[name] = true
  end
  return db:query(("EXECUTE %s (%s)"):format(name, table.concat(values, ", ")))
end

local function run_scan(self, horizon)
  local function text(sign)
    self.scan_text = self.scan_text or scan_query(self)
    return (self.scan_text:gsub("%%new", function() return IS_NEW:format(sign) end))
  end
  local literal = self.db:quote_literal(horizon)
  if self.own then
    return execute(self, "pgmig_scan", function() return text "$1" end, "pg_catalog.xid",
      { literal })
  end
  return self.db:query(text(literal .. "::pg_catalog.xid"))
end

--- Look for new rows.
-- @return by catalog { count, rows = an array of places or nil, ids }
local function scan(self)
  local found, horizon = {}, nil
  -- without a horizon nothing is new: 2 is frozen
  for _, row in ipairs(run_scan(self, self.horizon or "2")) do
    if row.catalog == 0 then
      horizon = row.rows
    else
      local name = self.catalogs[row.catalog].name
      found[name] = {
        count = row.count, rows = row.rows, ids = row.ids and record.array(row.ids) or {},
      }
    end
  end
  self.horizon = horizon
  return found
end

--- The query for the rows at the places $1, and those beside them in their groups.
local function rows_query(catalog)
  local condition = "x.ctid OPERATOR(pg_catalog.=) ANY ($1)"
  if catalog.group then
    condition = ("x.%s OPERATOR(pg_catalog.=) ANY (SELECT y.%s FROM pg_catalog.%s y "
      .. "WHERE y.ctid OPERATOR(pg_catalog.=) ANY ($1))"):format(catalog.group, catalog.group,
      catalog.name)
  end
  return catalog.query .. (catalog.has_filter and "\n  AND " or "\nWHERE ") .. condition
end

--- The rows of a catalog at some places.
local function read_rows(self, catalog, places)
  local values = literals(self, places)
  if not self.own then return spelled(self.db:query(complete(rows_query(catalog), values))) end
  return spelled(execute(self, "pgmig_" .. catalog.name,
    function() return rows_query(catalog) end,
    "pg_catalog.tid[], pg_catalog.oid[], pg_catalog.oid[]", values))
end

--- The identities that a catalog has now.
local function read_ids(self, catalog)
  local ids = {}
  for _, row in ipairs(self.db:query(("SELECT (%s)::pg_catalog.text AS id FROM pg_catalog.%s x%s")
    :format(catalog.id, catalog.name, catalog.cheap and " WHERE " .. catalog.cheap or ""))) do
    ids[row.id] = true
  end
  return ids
end

-- ---- changes -----------------------------------------------------------------------

--- Note that a row has become another one, or that it came or went.
local function note(changes, catalog, old, new)
  if old == new or old and new and old.key == new.key and old.row == new.row then return end
  changes[#changes + 1] = { catalog = catalog, old = old, new = new }
end

local function compare_all(self, before, after)
  local changes = {}
  for _, catalog in ipairs(self.catalogs) do
    local old, new = before[catalog.name], after[catalog.name]
    for id, row in pairs(old) do note(changes, catalog, row, new[id]) end
    for id, row in pairs(new) do
      if not old[id] then note(changes, catalog, nil, row) end
    end
  end
  return changes
end

--- The part of an identity that says its group.
local function group_of(id) return id:match "^%S+" end

--- The rows that a step has to look at: those that are new, and the others of their groups.
local function affected(catalog, state, ids)
  local set, groups = {}, {}
  for _, id in ipairs(ids) do
    set[id] = true
    groups[group_of(id)] = true
  end
  if catalog.name == "pg_attribute" or catalog.name == "pg_inherits" then
    for id in pairs(state) do
      if groups[group_of(id)] then set[id] = true end
    end
  end
  return set
end

--- Take over what is new in a catalog.
-- @return whether something was renamed
local function take_new(self, catalog, found, changes)
  local state, renamed, now = self.state[catalog.name], false, {}
  for _, row in ipairs(read_rows(self, catalog, found.rows)) do now[row.id] = row end
  for id in pairs(affected(catalog, state, found.ids)) do
    if not now[id] then
      note(changes, catalog, state[id], nil)
      state[id] = nil
    end
  end
  for id, row in pairs(now) do
    local old = state[id]
    renamed = renamed or old ~= nil and old.key ~= row.key
    note(changes, catalog, old, row)
    state[id] = row
  end
  return renamed
end

--- Whether rows are gone: there are fewer than with all that came.
local function lacks_rows(known, found, count)
  local expected = count
  for _, id in ipairs(found.ids) do
    if not known[id] then expected = expected + 1 end
    known[id] = true
  end
  return found.count < expected
end

local function take_gone(self, catalog, changes)
  local state, ids = self.state[catalog.name], read_ids(self, catalog)
  for id, row in pairs(state) do
    if not ids[id] then
      note(changes, catalog, row, nil)
      state[id] = nil
    end
  end
  self.known[catalog.name] = ids
end

--- What is known of the identities, before any step: those of rows that count.
local function known_ids(state)
  local known = {}
  for name, rows in pairs(state) do
    known[name] = {}
    for id in pairs(rows) do known[name][id] = true end
  end
  return known
end

local function take_state(self)
  self.state = read_all(self)
  self.known = known_ids(self.state)
end

--- Read everything again, and compare.
local function start_over(self, before)
  take_state(self)
  return compare_all(self, before, self.state)
end

local function copy_of(state)
  local copy = {}
  for name, rows in pairs(state) do
    copy[name] = {}
    for id, row in pairs(rows) do copy[name][id] = row end
  end
  return copy
end

--- Undo a list of changes, in a copy of the state.
local function state_before(self, changes)
  local before = copy_of(self.state)
  for i = #changes, 1, -1 do
    local change = changes[i]
    local rows = before[change.catalog.name]
    if change.new then rows[change.new.id] = nil end
    if change.old then rows[change.old.id] = change.old end
  end
  return before
end

local function advance(self)
  local changes, again = {}, false
  local counts, found = self.counts, scan(self)
  if found.pg_class.rows or found.pg_namespace.rows then -- some of them may be left out
    self.left_out = self.db:query(self.left_out_query)[1]
  end
  for _, catalog in ipairs(self.catalogs) do
    local name, of = catalog.name, found[catalog.name]
    local is_new = of.rows ~= nil
    if is_new then again = take_new(self, catalog, of, changes) or again end
    if lacks_rows(self.known[name], of, counts[name]) then
      take_gone(self, catalog, changes)
      is_new = true
    end
    again = again or is_new and name == "pg_depend"
    self.counts[name] = of.count
  end
  if not again then return changes end
  return start_over(self, state_before(self, changes))
end

-- ---- what others call ---------------------------------------------------------------

--- The relations of `without`: an array of OIDs, as text.
function fingerprint:own_relations()
  return self.db:query(self.left_out_query)[1].own
end

--- Read the whole schema.
-- @return { hash = its digest, rows = by catalog and key, { id, key, row }; columns = what is in
--   keys and rows, by catalog; origin = the same for all of this fingerprint; version = of the
--   server, unreadable }, for pgmig.proof.difference
-- @raise kind "sql"
function fingerprint:take()
  return within(self, function()
    self.left_out = self.db:query(self.left_out_query)[1]
    self.counts = {}
    for name, of in pairs(scan(self)) do self.counts[name] = of.count end
    take_state(self)
    return snapshot(self)
  end)
end

--- What has changed since the last `take`, `step` or `changes`. Rolling back what a step has seen
-- needs another `take`.
-- @return a list of { catalog = description, old, new }, each a row { id, key, row } or nil
-- @raise kind "sql"
function fingerprint:changes()
  if not self.state then
    self:take()
    return {}
  end
  return within(self, function() return advance(self) end)
end

local function decoded(change, side)
  return change[side] and record.decode(change.catalog, change[side].key, change[side].row)
end

--- The same, for people and rules.
-- @return a list of { catalog = name, key, old, new }: a row by column, or nil for one that was not
--   there, or is not any more
-- @raise kind "sql"
function fingerprint:step()
  local list = {}
  for i, change in ipairs(self:changes()) do
    list[i] = {
      catalog = change.catalog.name, key = (change.new or change.old).key,
      old = decoded(change, "old"), new = decoded(change, "new"),
    }
  end
  return list
end

--- What is known after the last look, as `take` returns it, without asking the server.
function fingerprint:snapshot() return snapshot(self) end

return M
