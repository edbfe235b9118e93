--- What a database looks like after a case, and what a run said of it.
local core = require "pgmig.core"
local pgmig = require "pgmig"
local support = require "spec.support"

local M = {}

local FINGERPRINT = [[
  SELECT pg_catalog.md5(pg_catalog.string_agg(line, ';' ORDER BY line)) AS print,
    pg_catalog.string_agg(line, ';' ORDER BY line) AS text FROM (
    SELECT 'column ' || c.relname || ' ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
      AS line FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
      WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v')
        AND c.relname !~ '^schema_migrations'
    UNION ALL SELECT 'index ' || pg_get_indexdef(i.indexrelid) || ' ' || i.indisvalid
      FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
      WHERE c.relnamespace = 'public'::regnamespace AND c.relname !~ '^schema_migrations'
    UNION ALL SELECT 'constraint ' || conrelid::regclass || ' ' || pg_get_constraintdef(oid)
      FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        AND conrelid::regclass::text !~ '^schema_migrations'
    UNION ALL SELECT 'function ' || proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
  ) AS lines]]

--- What a database looks like: { print, text = the schema; counts = executions by number; versions
-- = rows by version; journal = how many rows are left in it }.
function M.look(url)
  local db = pgmig.connect(url)
  local state = db:query(FINGERPRINT)[1]
  state.counts, state.versions = {}, {}
  if db:query("SELECT to_regclass('counter') IS NOT NULL AS there")[1].there then
    for _, row in ipairs(db:query "SELECT version, count(*) AS n FROM counter GROUP BY 1") do
      state.counts[row.version] = row.n
    end
  end
  local tables = db:query("SELECT to_regclass('schema_migrations') IS NOT NULL AS rows, "
    .. "to_regclass('schema_migrations_journal') IS NOT NULL AS journal")[1]
  for _, row in ipairs(tables.rows and db:query "SELECT version FROM schema_migrations" or {}) do
    state.versions[row.version] = (state.versions[row.version] or 0) + 1
  end
  state.journal = tables.journal
    and db:query("SELECT count(*) AS n FROM schema_migrations_journal")[1].n or 0
  db:close()
  return state
end

--- How many sessions at work and advisory locks are left after a moment.
function M.leftovers(url)
  local db = pgmig.connect(url)
  local left
  local limit = core.now() + support.patience(5)
  repeat
    left = db:query([[SELECT count(*) + (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS n
      FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()
      AND application_name LIKE 'pgmig%' AND state <> 'idle']])[1].n
    if left == 0 then break end
    core.poll({}, {}, 0.05)
  until core.now() > limit
  db:close()
  return left
end

--- What a run's output claims as applied or rolled back, by version.
function M.claims(out)
  local claims = {}
  for what, version in out:gmatch "(%l[%l ]-)%s%s+(%d%d%d)_step" do
    claims[tonumber(version)] = what
  end
  return claims
end

return M
