--- The table of backfills, `<tracking table>_backfill`: a row for each, and all SQL that reads or
-- writes it. This SQL is here and not in the core, since most of it is a part of a batch, whose
-- other part is made of another table's key, types and operators.
--
-- Every change of a row is a compare-and-set: it names owner and revision as the row was read, and
-- counts the revision up. So nothing that was decided by a row holds when the row is another one.
local arrays = require "pgmig.backfill.arrays"
local core = require "pgmig.core"
local errors = require "pgmig.errors"

local M = {}
local store = {}
store.__index = store

local LEASE = 30 -- seconds that an owner may be silent, while its server process is there
--- What a message begins with that is a transaction, whatever the defaults are.
local BEGIN = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET TRANSACTION READ WRITE; "
local ATTEMPTS = 3 -- others may create the table

local columns = {
  { "migration", "text", "NOT NULL" }, { "step", "int4", "NOT NULL" },
  { "label", "text", "NOT NULL" }, { "target", "text", "NOT NULL" },
  { "key_columns", "_text" }, { "set_sql", "text" }, { "where_sql", "text" },
  { "first_batch", "int4", "NOT NULL" }, { "seconds", "float8", "NOT NULL" },
  { "skip_limit", "int4", "NOT NULL" }, { "deferred", "bool", "NOT NULL DEFAULT false" },
  { "path", "text", "NOT NULL DEFAULT pg_catalog.current_setting('search_path')" },
  { "state", "text", "NOT NULL DEFAULT 'ready'" },
  { "low", "_text" }, { "high", "_text" }, { "cursor", "_text" }, { "batch_size", "int4" },
  { "rows_done", "int8", "NOT NULL DEFAULT 0" }, { "rows_seen", "int8", "NOT NULL DEFAULT 0" },
  { "rows_estimated", "int8" },
  { "skipped_keys", "_text", "NOT NULL DEFAULT '{}'" },
  { "skipped_errors", "_text", "NOT NULL DEFAULT '{}'" },
  { "waiting", "text" }, { "paused_by", "text" }, { "error", "text" }, { "failed_key", "_text" },
  { "created_at", "timestamptz", "NOT NULL DEFAULT pg_catalog.now()" },
  { "started_at", "timestamptz" }, { "updated_at", "timestamptz" },
  { "finished_at", "timestamptz" },
  { "lease_owner", "text" }, { "lease_until", "timestamptz" }, { "host", "text" },
  { "pid", "int4" }, { "backend_start", "timestamptz" }, { "server_start", "timestamptz" },
  { "revision", "int8", "NOT NULL DEFAULT 0" },
}

local function type_name(name)
  local element = name:match "^_(.*)"
  return "pg_catalog." .. (element and element .. "[]" or name)
end

local function creation(name)
  local parts = {}
  for i, column in ipairs(columns) do
    parts[i] = ('"%s" %s %s'):format(column[1], type_name(column[2]), column[3] or "")
  end
  return ("CREATE TABLE IF NOT EXISTS %s (%s, PRIMARY KEY (migration, step))"):format(name,
    table.concat(parts, ", "))
end

-- ---- the table ---------------------------------------------------------------

local SHAPE = [[
  SELECT pg_catalog.string_agg(pg_catalog.format('%%s %%s', a.attname, t.typname), ','
    ORDER BY a.attnum) AS columns
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) a.atttypid
  WHERE a.attrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(%s)::pg_catalog.oid
    AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped]]

local function wanted_shape()
  local parts = {}
  for i, column in ipairs(columns) do parts[i] = column[1] .. " " .. column[2] end
  return table.concat(parts, ",")
end

--- Refuse a table of that name that is not this one.
local function check_shape(self)
  if self.checked then return end
  local found = self.db:ask_row("1 columns:text?", SHAPE:format(self.db:quote_literal(self.name)))
  if found.columns ~= wanted_shape() then
    errors.raise("plan", ("table %s is not a table of backfills of this pgmig"):format(self.name), {
      detail = found.columns, hint = "rename it, or choose another tracking table with --table "
        .. "(option `table`); nothing was touched",
    })
  end
  self.checked = true
end

--- The table that goes with a tracking table.
-- @param db the connection
-- @param ledger of pgmig.state.ledger
-- @return a store
-- @raise kind "plan" for tables that are not to be trusted
function M.open(db, ledger)
  local handle = ledger.handle
  if not handle:qualified() then ledger:probe(db) end
  local self = setmetatable({ db = db, ledger = ledger }, store)
  self.name = select(5, handle:tables())
  if not self.name then ledger:check_writable() end
  return self
end

--- Whether the table is there.
function store:exists()
  if not self.ledger.handle:has_backfill() then return false end
  check_shape(self)
  return true
end

--- The command that makes the table.
function store:creation_sql() return creation(self.name) end

--- Make the table, where it is missing: with the first backfill.
function store:prepare()
  self.ledger:check_writable()
  for _ = 1, ATTEMPTS do
    if self:exists() then return end
    local ok, err = pcall(self.db.ask_rows, self.db, "-", BEGIN
      .. "SET LOCAL synchronous_commit = on; " .. creation(self.name))
    if not ok and not (errors.is(err, "sql") and (err.sqlstate == "42P07"
      or err.sqlstate == "42710" or err.sqlstate == "23505")) then error(err, 0) end
    self.ledger:probe(self.db) -- whose it is, too
  end
  if not self:exists() then
    errors.raise("plan", ("the table %s cannot be created"):format(self.name))
  end
end

-- ---- rows --------------------------------------------------------------------

local ROW = [[migration, step, label, target, key_columns::pg_catalog.text AS key_columns, set_sql,
  where_sql, first_batch, seconds, skip_limit, deferred, path, state, low::pg_catalog.text AS low,
  high::pg_catalog.text AS high, "cursor"::pg_catalog.text AS cursor, batch_size, rows_done,
  rows_seen, rows_estimated, skipped_keys::pg_catalog.text AS skipped_keys,
  skipped_errors::pg_catalog.text AS skipped_errors, waiting, paused_by, error,
  failed_key::pg_catalog.text AS failed_key,
  pg_catalog.to_json(created_at) OPERATOR(pg_catalog.#>>) '{}' AS created_at,
  pg_catalog.to_json(started_at) OPERATOR(pg_catalog.#>>) '{}' AS started_at,
  pg_catalog.to_json(updated_at) OPERATOR(pg_catalog.#>>) '{}' AS updated_at,
  pg_catalog.to_json(finished_at) OPERATOR(pg_catalog.#>>) '{}' AS finished_at,
  pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) started_at)
    AS age, lease_owner, host, revision, %s AS free]]

local ROW_SHAPE = " migration:text step:int label:text target:text key_columns:text? set_sql:text? "
  .. "where_sql:text? first_batch:int seconds:float skip_limit:int deferred:bool path:text "
  .. "state:text low:text? high:text? cursor:text? batch_size:int? rows_done:int rows_seen:int "
  .. "rows_estimated:int? skipped_keys:text skipped_errors:text waiting:text? paused_by:text? "
  .. "error:text? failed_key:text? created_at:text started_at:text? updated_at:text? "
  .. "finished_at:text? age:float? lease_owner:text? host:text? revision:int free:bool"

-- Nobody works on it: its owner has let go, has been silent for too long, or its server process is
-- gone. The owner of a row that is taken too early finds out: its next batch finds no row. Where
-- another role's process does not show its start, its number counts.
local FREE = [[(b.lease_owner IS NULL
  OR b.lease_until OPERATOR(pg_catalog.<) pg_catalog.clock_timestamp()
  OR b.server_start OPERATOR(pg_catalog.<>) pg_catalog.pg_postmaster_start_time()
  OR b.pid IS NOT NULL AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a
    WHERE a.pid OPERATOR(pg_catalog.=) b.pid AND (a.backend_start IS NULL
      OR a.backend_start OPERATOR(pg_catalog.=) b.backend_start)))]]

ROW = ROW:format(FREE)

local function row_of(row)
  if not row then return nil end
  for _, key in ipairs { "key_columns", "low", "high", "cursor", "skipped_keys", "skipped_errors",
    "failed_key" } do row[key] = arrays.list(row[key]) end
  return row
end

local function is_row(self, row)
  return ("migration OPERATOR(pg_catalog.=) %s AND step OPERATOR(pg_catalog.=) %d"):format(
    self.db:quote_literal(row.migration), row.step)
end

--- The row, if it is as it was read.
local function is_same(self, row)
  return ("%s AND lease_owner OPERATOR(pg_catalog.=) %s AND revision OPERATOR(pg_catalog.=) %.0f "
    .. "AND state OPERATOR(pg_catalog.=) 'ready'"):format(is_row(self, row),
    self.db:quote_literal(row.lease_owner), row.revision)
end

local function literal(self, value)
  if value == nil then return "NULL" end
  if type(value) == "table" then value = arrays.text(value) end
  if type(value) == "number" then return ("%.17g"):format(value) end
  if type(value) == "boolean" then return tostring(value) end
  return self.db:quote_literal(core.readable(value, "\\x"))
end

--- Run a command that writes, in a transaction of its own.
function store:exec(command) self.db:ask_rows("-", BEGIN .. command) end

--- All rows, in the order that they are to run in.
function store:list()
  if not self:exists() then return {} end
  local rows = self.db:ask_rows("*" .. ROW_SHAPE, ("SELECT %s FROM %s AS b ORDER BY b.created_at, "
    .. "b.migration, b.step"):format(ROW, self.name))
  for _, row in ipairs(rows) do row_of(row) end
  return rows
end

--- One row; nil when there is none. A text that asks for it, too: for what goes behind a COMMIT.
-- @param row migration and step
function store:read_sql(row)
  return ("SELECT %s FROM %s AS b WHERE %s"):format(ROW, self.name, is_row(self, row))
end

function store:read(row) return row_of(self.db:ask_row("?" .. ROW_SHAPE, self:read_sql(row))) end

--- Send commands whose last one is of `read_sql`: the row as it is then.
function store:send(commands) return row_of(self.db:ask_row("?" .. ROW_SHAPE, commands)) end

--- The command that adds rows, in whatever transaction: nothing happens to those that are there.
-- @param entries { migration, step, label, and what a definition has }
function store:add_sql(entries)
  local tuples = {}
  for i, entry in ipairs(entries) do
    local values = {}
    for n, value in ipairs { entry.migration, entry.step, entry.label, entry.target } do
      values[n] = literal(self, value)
    end
    tuples[i] = ("(%s, %s, %s, %s, %d, %s, %d, %s)"):format(table.concat(values, ", "),
      literal(self, entry.key), literal(self, entry.set), literal(self, entry.where), entry.batch,
      literal(self, entry.seconds), entry.skip, tostring(entry.deferred == true))
  end
  return ("INSERT INTO %s (migration, step, label, target, key_columns, set_sql, where_sql, "
    .. "first_batch, seconds, skip_limit, deferred) VALUES %s ON CONFLICT DO NOTHING"):format(
    self.name, table.concat(tuples, ", "))
end

--- The command that forgets the rows of a migration that is rolled back, or one of them.
function store:drop_sql(migration, step)
  return ("DELETE FROM %s WHERE migration OPERATOR(pg_catalog.=) %s%s"):format(self.name,
    literal(self, migration), step and (" AND step OPERATOR(pg_catalog.=) %d"):format(step) or "")
end

local function assignments(self, fields)
  local parts = {}
  for _, column in ipairs(columns) do
    local key = column[1]
    if fields[key] ~= nil then
      local value = fields[key]
      parts[#parts + 1] = ('"%s" = %s'):format(key, value == M.NULL and "NULL"
        or type(value) == "table" and value.sql or literal(self, value))
    end
  end
  return table.concat(parts, ", ")
end

--- What stands for NULL, and for an SQL expression, in fields that are set.
M.NULL = {}
function M.sql(text) return { sql = text } end

local NOW = M.sql "pg_catalog.clock_timestamp()"
local UNTIL = M.sql(("pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) "
  .. "pg_catalog.make_interval(secs => %d)"):format(LEASE))

M.NOW = NOW

--- The command that changes a row, if it is as it was read; its lease begins again.
-- @param row as it was read
-- @param fields what is set
-- @param guard a further condition; nil
function store:change_sql(row, fields, guard)
  fields.updated_at, fields.lease_until = NOW, fields.lease_until or UNTIL
  return ("UPDATE %s SET %s, revision = %.0f WHERE %s%s"):format(self.name,
    assignments(self, fields), row.revision + 1, is_same(self, row),
    guard and " AND " .. guard or "")
end

--- A query that has one row, and locks it up to the transaction's end, if it is as it was read.
function store:lock_sql(row)
  return ("SELECT 1 AS mine FROM %s WHERE %s FOR UPDATE"):format(self.name, is_same(self, row))
end

--- Change a row of this owner's.
-- @param before commands that its transaction begins with; nil
-- @return the row as it is now, whoever has changed it
function store:change(row, fields, before)
  return self:send(BEGIN .. (before or "") .. self:change_sql(row, fields) .. "; "
    .. self:read_sql(row))
end

--- Take a row for an owner, where nobody works on it and it is to be worked on.
-- @return the row as it is now, also when another one has it; nil: there is none
function store:take(row, owner)
  local own_pid = self.db:backend_pid()
  local sql = ([[UPDATE %s AS b SET lease_owner = %s, host = %s, lease_until = %s,
    (pid, backend_start, server_start) = (SELECT CASE WHEN a.pid OPERATOR(pg_catalog.=) %d
      THEN a.pid END, a.backend_start, pg_catalog.pg_postmaster_start_time()
      FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) a),
    started_at = COALESCE(b.started_at, pg_catalog.clock_timestamp()), waiting = NULL,
    updated_at = pg_catalog.clock_timestamp(), revision = b.revision OPERATOR(pg_catalog.+) 1
    WHERE %s AND state OPERATOR(pg_catalog.=) 'ready'
    AND (%s OR b.lease_owner OPERATOR(pg_catalog.=) %s)]]):format(self.name, literal(self, owner),
    literal(self, core.hostname()), UNTIL.sql, own_pid, is_row(self, row), FREE,
    literal(self, owner))
  return self:send(BEGIN .. sql .. "; " .. self:read_sql(row))
end

--- Set the state, whoever works on it: its owner learns of it with its next batch.
-- @param row migration and step
-- @param from the states that it may have
-- @param fields what is set
-- @return the row as it is now
function store:set(row, from, fields)
  local states = {}
  for i, state in ipairs(from) do states[i] = literal(self, state) end
  fields.updated_at = NOW
  return self:send(BEGIN .. ([[UPDATE %s SET %s, revision = revision OPERATOR(pg_catalog.+) 1
    WHERE %s AND state OPERATOR(pg_catalog.=) ANY (ARRAY[%s]); %s]]):format(self.name,
    assignments(self, fields), is_row(self, row), table.concat(states, ", "), self:read_sql(row)))
end

return M
