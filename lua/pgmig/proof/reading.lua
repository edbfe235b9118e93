--- What the server says in the midst of a transaction: its locks, and of each relation that it has
-- locked the file, and how often it was scanned and written.
local effects = require "pgmig.proof.effects"
local errors = require "pgmig.errors"
local events = require "pgmig.proof.events"

local M = {}

-- $1: the lock modes as pg_locks has them, weakest first; $2: relations that are asked for in any
-- case; $3, $4: those between the two are left out. Smaller oids are those of the catalogs. One
-- text for all rows: there may be thousands.
local STATE = [[
  SELECT pg_catalog.current_setting('lock_timeout')::pg_catalog.text AS lock_timeout,
    pg_catalog.current_setting('statement_timeout')::pg_catalog.text AS statement_timeout,
    pg_catalog.current_setting('%s', true)::pg_catalog.text AS seen,
    pg_catalog.set_config('%s', '', false)::pg_catalog.text AS cleared,
    pg_catalog.string_agg(pg_catalog.concat_ws(' ', r.oid, COALESCE(r.strength, 0),
      COALESCE(pg_catalog.pg_relation_filenode(r.oid)::pg_catalog.int8, 0),
      pg_catalog.pg_stat_get_xact_numscans(r.oid),
      pg_catalog.pg_stat_get_xact_tuples_inserted(r.oid),
      pg_catalog.pg_stat_get_xact_tuples_updated(r.oid),
      pg_catalog.pg_stat_get_xact_tuples_deleted(r.oid),
      r.oid::pg_catalog.regclass), pg_catalog.chr(10))::pg_catalog.text AS relations
  FROM (SELECT l.oid, pg_catalog.max(l.strength) AS strength
    FROM (SELECT l.relation AS oid,
        pg_catalog.array_position($1::pg_catalog.text[], l.mode) AS strength
      FROM pg_catalog.pg_locks l
      WHERE l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() AND l.granted
        AND l.locktype OPERATOR(pg_catalog.=) 'relation'
        AND l.relation OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
        AND (l.relation OPERATOR(pg_catalog.<=) $3::pg_catalog.oid
          OR l.relation OPERATOR(pg_catalog.>) $4::pg_catalog.oid)
      UNION ALL SELECT o.oid, NULL FROM pg_catalog.unnest($2::pg_catalog.oid[]) AS o (oid)) AS l
    GROUP BY 1) AS r]]
STATE = STATE:format(events.SETTING, events.SETTING)

local STATE_SHAPE = "1 lock_timeout:text statement_timeout:text seen:text? cleared:text "
  .. "relations:text?"

local ROW = "(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) ([^\n]*)"

local DETAILS = [[
  SELECT c.oid::pg_catalog.int8 AS oid, n.nspname::pg_catalog.text AS schema,
    c.relname::pg_catalog.text AS bare,
    pg_catalog.format('%I.%I', CASE WHEN c.relpersistence OPERATOR(pg_catalog.=) 't'
      THEN 'pg_temp' ELSE n.nspname END, c.relname)::pg_catalog.text AS name,
    c.oid::pg_catalog.regclass::pg_catalog.text AS shown, c.relkind::pg_catalog.text AS kind,
    i.indrelid::pg_catalog.int8 AS indexed, h.inhparent::pg_catalog.int8 AS parent,
    c.reltablespace::pg_catalog.int8 AS tablespace,
    COALESCE(pg_catalog.pg_relation_filenode(c.oid)::pg_catalog.int8, 0) AS file
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
  LEFT JOIN pg_catalog.pg_index i ON i.indexrelid OPERATOR(pg_catalog.=) c.oid
  LEFT JOIN pg_catalog.pg_inherits h
    ON h.inhrelid OPERATOR(pg_catalog.=) c.oid AND c.relispartition
  WHERE c.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid]]
local DETAILS_OF = DETAILS .. " AND c.oid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[])"

local DETAILS_SHAPE = "* oid:int schema:text bare:text name:text shown:text kind:text indexed:int? "
  .. "parent:int? tablespace:int file:int"

local modes = {}
for i, mode in ipairs(effects.modes) do
  modes[i] = (mode:lower():gsub("(%l)(%l*) ?", function(a, b) return a:upper() .. b end)) .. "Lock"
end
local MODES = "{" .. table.concat(modes, ",") .. "}"

-- As functions of the clone the two are planned once.
local FUNCTIONS = [[
  CREATE SCHEMA pgmig_proof;
  GRANT USAGE ON SCHEMA pgmig_proof TO PUBLIC;
  CREATE FUNCTION pgmig_proof.state(pg_catalog.text[], pg_catalog.oid[], pg_catalog.oid,
      pg_catalog.oid, OUT lock_timeout pg_catalog.text, OUT statement_timeout pg_catalog.text,
      OUT seen pg_catalog.text, OUT cleared pg_catalog.text, OUT relations pg_catalog.text)
    RETURNS SETOF pg_catalog.record LANGUAGE plpgsql AS $text$
    #variable_conflict use_column
    BEGIN RETURN QUERY %s; END $text$;
  CREATE FUNCTION pgmig_proof.details(pg_catalog.oid[], OUT oid pg_catalog.int8,
      OUT schema pg_catalog.text, OUT bare pg_catalog.text, OUT name pg_catalog.text,
      OUT shown pg_catalog.text, OUT kind pg_catalog.text, OUT indexed pg_catalog.int8,
      OUT parent pg_catalog.int8, OUT tablespace pg_catalog.int8, OUT file pg_catalog.int8)
    RETURNS SETOF pg_catalog.record LANGUAGE plpgsql AS $text$
    #variable_conflict use_column
    BEGIN RETURN QUERY %s; END $text$]]
FUNCTIONS = FUNCTIONS:format(STATE, DETAILS_OF)

local of_functions = {
  state = "SELECT * FROM pgmig_proof.state($1, $2, $3, $4)",
  details = "SELECT * FROM pgmig_proof.details($1)",
}
local of_texts = { state = STATE, details = DETAILS_OF }

local reader = {}
reader.__index = reader

local function array(oids) return "{" .. table.concat(oids, ",") .. "}" end

--- Get ready to read in a database.
-- @param db a connection, outside a transaction
-- @return the reader
function M.new(db)
  local ok, err = pcall(db.transaction, db, function() db:exec(FUNCTIONS) end)
  if not ok and not errors.is(err, "sql") then error(err, 0) end
  return setmetatable({ sql = ok and of_functions or of_texts }, reader)
end

--- Read.
-- @param db in a transaction
-- @param oids of relations that are asked for in any case
-- @param first, last those with oids above the first, and up to the last, are left out otherwise
-- @return { settings, seen = what event triggers have seen (pgmig.proof.events), rows = by oid:
--   { oid, strength, file, scans, inserted, updated, deleted, shown = the name as the search_path
--   has it, an oid where there is no such relation } }
function reader:take(db, oids, first, last)
  local row = db:ask_row(STATE_SHAPE, self.sql.state, MODES, array(oids), first, last)
  local rows = {}
  for oid, strength, file, scans, inserted, updated, deleted, shown in
    (row.relations or ""):gmatch(ROW) do
    oid = tonumber(oid)
    rows[oid] = {
      oid = oid, strength = tonumber(strength), file = tonumber(file), scans = tonumber(scans),
      inserted = tonumber(inserted), updated = tonumber(updated), deleted = tonumber(deleted),
      shown = shown,
    }
  end
  return {
    settings = { lock_timeout = row.lock_timeout, statement_timeout = row.statement_timeout },
    seen = row.seen or "", rows = rows,
  }
end

--- What relations are.
-- @param oids a list; nil: all
-- @return a list of { oid, schema, bare = name without schema, name = qualified and quoted, shown,
--   kind = a letter of pg_class, indexed = oid of the table of an index, tablespace, file }
function reader:details(db, oids)
  if not oids then return db:ask_rows(DETAILS_SHAPE, DETAILS) end
  return db:ask_rows(DETAILS_SHAPE, self.sql.details, array(oids))
end

return M
