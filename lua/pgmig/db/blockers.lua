--- Who is in the way of a request that waits for a lock.
local errors = require "pgmig.errors"
local texts = require "pgmig.texts"

local M = {}

-- Sessions that have locks on tables, or wait for such, which those behind them have to wait for,
-- too. %s: the tables' names as an array; their schema may not be known yet.
local HOLDERS = [[
  SELECT DISTINCT l.pid, a.application_name, a.usename::pg_catalog.text AS "user", a.state, a.query,
    pg_catalog.to_json(a.xact_start) OPERATOR(pg_catalog.#>>) '{}' AS since
  FROM pg_catalog.pg_locks l
  JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) l.relation
    AND c.relname OPERATOR(pg_catalog.=) ANY (ARRAY[%s]::pg_catalog.name[])
  LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid OPERATOR(pg_catalog.=) l.pid
  WHERE l.locktype OPERATOR(pg_catalog.=) 'relation'
    AND l.database OPERATOR(pg_catalog.=) (SELECT d.oid FROM pg_catalog.pg_database d
      WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
    AND l.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()
    AND l.mode OPERATOR(pg_catalog.<>) ALL
      ('{AccessShareLock,RowShareLock,RowExclusiveLock}'::pg_catalog.text[])]]
-- Sessions that a process waits for.
local IN_THE_WAY = [[
  SELECT a.pid, a.application_name, a.usename::pg_catalog.text AS "user", a.state, a.query,
    pg_catalog.to_json(a.xact_start) OPERATOR(pg_catalog.#>>) '{}' AS since
  FROM pg_catalog.pg_stat_activity a
  WHERE a.pid OPERATOR(pg_catalog.=) ANY (pg_catalog.pg_blocking_pids($1::pg_catalog.int4))]]
local SHAPE = "* pid:int? application_name:text? user:text? state:text? query:text? since:text?"

--- What is said about one.
function M.describe(b)
  if not b.pid then return "a prepared transaction" end
  return ("pid %d (%s, user %s), %s since %s: %s"):format(b.pid, b.application_name or "?",
    b.user or "?", b.state or "state hidden", b.since or "?",
    texts.excerpt(b.query or "query hidden"))
end

--- Let an error say who was in the way.
-- @param err an error of pgmig's
-- @param list { { pid, application_name, user, state, query, since } }; nil
function M.name(err, list)
  if not list or not list[1] then return end
  err.blockers = list
  local lines = { err.detail }
  for _, b in ipairs(list) do lines[#lines + 1] = "blocked by " .. M.describe(b) end
  err.detail = table.concat(lines, "\n")
end

--- Look for those that a process waits for.
-- @param db a connection that is idle
-- @param pid the process
-- @return a list as of `name`
function M.of_process(db, pid) return db:ask_rows(SHAPE, IN_THE_WAY, pid) end

--- Look for those that have locks on tables.
-- @param db a connection that is idle
-- @param tables their names, without schemas
-- @return a list as of `name`; empty where that cannot be found out
function M.of_tables(db, tables)
  local quoted = {}
  for i, name in ipairs(tables) do quoted[i] = db:quote_literal(name) end
  local ok, rows = pcall(db.ask_rows, db, SHAPE, HOLDERS:format(table.concat(quoted, ", ")))
  if not ok then
    if errors.is(rows, "interrupted") then error(rows, 0) end
    return {}
  end
  return rows
end

return M
