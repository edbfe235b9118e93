--- What the fault specs share: a workload, the proxy, one case of it, and what must hold after.
local core = require "pgmig.core"
local pgmig = require "pgmig"
local support = require "spec.support"

local M = {}

--- Whether the whole suite is wanted, not its short form.
M.whole = os.getenv "PGMIG_FAULTS" == "whole"

-- The tree whose program is tried: another one with a planted bug, or this one.
local tree = os.getenv "PGMIG_FAULTS_TREE" or "."

local interpreter = rawget(_G, "jit") and "luajit" or "lua5.4"
local LIMIT = 60 -- seconds for one run of the program
local START_LIMIT = 5 -- seconds for the proxy to listen

local function absolute(path)
  local _, out = support.run("cd " .. support.quote(path) .. " && pwd")
  return (out:gsub("%s+$", ""))
end

-- ---- the program -----------------------------------------------------------

--- Run the program, with short times; returns exit code, output, errors.
-- @param url the database
-- @param words its arguments
-- @param pid_file where to write its process id; nil
function M.run(url, words, pid_file)
  local program = support.quote(absolute(tree) .. "/bin/pgmig")
  local command = ("%s %s %s"):format(interpreter, program, words)
  if pid_file then
    command = ("sh -c %s"):format(support.quote(("echo $$ >%s; exec %s")
      :format(support.quote(pid_file), command)))
  end
  return support.run(("env -u PGMIG_DIR DATABASE_URL=%s PGMIG_RESPONSE_TIMEOUT=1 "
    .. "PGMIG_RECONNECT=15 timeout -k 5 %d %s"):format(support.quote(url), LIMIT, command))
end

-- ---- the proxy -------------------------------------------------------------

local compiled

local function proxy_program()
  if compiled then return compiled end
  compiled = support.tempdir() .. "/proxy"
  local code, _, err = support.run(
    "cc -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -O1 spec/faults/proxy.c -o " .. compiled)
  assert(code == 0, err)
  return compiled
end

local function exists(path)
  return (os.rename(path, path))
end

--- Start the proxy before the specs' server.
-- @return { url = fn(database), pid_file, stop = fn() returning how many messages it has seen, and
--   the type of the one that met the fault }
function M.proxy(mode, k)
  local dir = support.tempdir()
  local socket, report, pid_file = dir .. "/.s.PGSQL.5432", dir .. "/report", dir .. "/pid"
  local server = support.server()
  local upstream = ("%s/.s.PGSQL.%d"):format(server.host, server.port)
  local pipe = assert(io.popen(("%s %s %s %s %d %s %s"):format(proxy_program(), socket, upstream,
    mode, k, report, pid_file), "w"))
  local limit = core.now() + START_LIMIT
  while not exists(socket) do
    assert(core.now() < limit, "the proxy does not listen")
    core.poll({}, {}, 0.002)
  end
  return {
    pid_file = pid_file,
    url = function(database) return ("postgresql://postgres@/%s?host=%s"):format(database, dir) end,
    stop = function()
      pipe:close()
      local count, kind = support.read(report):match "^(%d+) (.)"
      return tonumber(count), kind ~= "-" and kind or nil
    end,
  }
end

-- ---- what must hold --------------------------------------------------------

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
-- = rows by version; locks, journal, sessions = how many are left }.
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

--- How many sessions and advisory locks of the program are left after a moment.
function M.leftovers(url)
  local db = pgmig.connect(url)
  local left
  for _ = 1, 60 do
    left = db:query([[SELECT count(*) AS n FROM pg_stat_activity WHERE pid <> pg_backend_pid()
      AND datname = current_database() AND application_name LIKE 'pgmig%']])[1].n
      + db:query([[SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())]])[1].n
    if left == 0 then break end
    core.poll({}, {}, 0.05)
  end
  db:close()
  return left
end

local databases = 0

--- The name of a new empty database on the specs' server.
function M.database()
  databases = databases + 1
  local name = "fault_" .. databases
  local db = pgmig.connect(support.server():url())
  db:exec("CREATE DATABASE " .. name)
  db:close()
  return name
end

--- Drop a database that a case has used.
function M.drop(name)
  local db = pgmig.connect(support.server():url())
  db:exec("DROP DATABASE IF EXISTS " .. name .. " WITH (FORCE)")
  db:close()
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
