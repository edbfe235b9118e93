--- The database of a model run, and what is in it.
local core = require "pgmig.core"
local pgmig = require "pgmig"
local schema = require "spec.model.schema"
local support = require "spec.support"

local M = {}
local world = {}
world.__index = world

local ROLE = [[DO $$ BEGIN
  IF pg_catalog.to_regrole('model_other') IS NULL THEN CREATE ROLE model_other; END IF;
END $$]]

--- A new database and an empty migrations folder.
function M.new()
  support.psql(support.server():url(), ROLE)
  local self = setmetatable({
    url = support.database(), dir = support.tempdir(), last = 0,
  }, world)
  self.db = pgmig.connect { url = self.url, application_name = "model" }
  self.db:exec(schema.sql)
  return self
end

function world:close() self.db:close() end

--- Write a migration file.
function world:put(file) support.write(self.dir, file.name, file.text) end

--- Remove it.
function world:remove(file) assert(os.remove(self.dir .. "/" .. file.name)) end

--- Wait until nothing of pgmig's is at work in the database any more.
-- @return how many sessions are left after a long time
function world:settle()
  local left
  local limit = core.now() + support.patience(20)
  repeat
    left = self.db:query([[SELECT pg_catalog.count(*) AS n FROM pg_catalog.pg_stat_activity
      WHERE datname = pg_catalog.current_database() AND pid <> pg_catalog.pg_backend_pid()
      AND backend_type = 'client backend']])[1].n
    if left == 0 then break end
    core.poll({}, {}, 0.02)
  until core.now() > limit
  return left
end

local function by_first(rows, convert)
  local map = {}
  for _, row in ipairs(rows) do map[row.key] = convert and convert(row) or row end
  return map
end

local MARKS = "SELECT id, mark, session FROM public.marks WHERE id > $1::int8 ORDER BY id"

local RELATIONS = [[SELECT c.relnamespace::regnamespace || '."' || c.relname || '"' AS key,
    coalesce(i.indisvalid, true) AS valid
  FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
  WHERE c.relname ~ '^[ti]_' AND c.relnamespace::regnamespace::text = ANY ('{public,other}')]]

local LOCKS = [[SELECT count(*) AS n FROM pg_catalog.pg_locks WHERE locktype = 'advisory'
  AND database = (SELECT oid FROM pg_catalog.pg_database
    WHERE datname = pg_catalog.current_database())]]

local JOURNAL = [[SELECT migration::int AS key, direction, cardinality(done) AS done, state,
  session_known FROM public.schema_migrations_journal]]

local EVENTS = [[SELECT version::int AS version, event, count(*) AS n
  FROM public.schema_migrations_history GROUP BY 1, 2]]

--- What is in the database: { marks = new ones in their order { mark, session }, rows = versions
-- that the tracking table has, journal = rows by version { direction, done, state, session_known },
-- relations = our tables and indexes by quoted name: true, or "invalid", events = how often the
-- history has "up" and "down" of a version, locks = advisory locks }.
function world:look()
  local db = self.db
  local seen = { rows = {}, journal = {}, events = {} }
  seen.marks = db:query(MARKS, self.last)
  if #seen.marks > 0 then self.last = seen.marks[#seen.marks].id end
  seen.relations = by_first(db:query(RELATIONS), function(row)
    return row.valid and true or "invalid"
  end)
  seen.locks = db:query(LOCKS)[1].n
  if not db:query "SELECT to_regclass('public.schema_migrations_journal')::text AS t"[1].t then
    return seen
  end
  seen.rows = by_first(db:query "SELECT version AS key, name FROM public.schema_migrations")
  seen.journal = by_first(db:query(JOURNAL))
  for _, row in ipairs(db:query(EVENTS)) do seen.events[row.version .. row.event] = row.n end
  return seen
end

--- Whether the table of duplicates has a unique index.
function world:has_unique_index()
  return #self.db:query [[SELECT 1 FROM pg_catalog.pg_index
    WHERE indrelid = 'public.base'::regclass AND indisunique]] > 0
end

return M
