--- Server processes whose client is gone. What one was told to do it may still do, so nothing is
-- decided before it has ended.
local core = require "pgmig.core"

local M = {}

local PAUSE = 0.05 -- seconds between two looks
local GRACE = 2 -- seconds: by itself it ends within client_connection_check_interval, 1 s
local OWN_GRACE = 0.3 -- seconds, when the client was this process
local FENCE_LIMIT = 10 -- seconds for it to end
local COMPARED = 500 -- characters of a query that pg_stat_activity surely shows

--- Whether the process is there: "gone", "idle", "busy". Behind a pooler the process lives on and
-- serves others: it counts only while it runs the same text.
local function look(db, orphan)
  local row = db:ask([[
    SELECT pg_catalog.bool_or(a.state IS NULL OR a.state OPERATOR(pg_catalog.!~) '^idle') AS busy
    FROM pg_catalog.pg_stat_activity a, (SELECT $1::pg_catalog.int4 AS pid,
      $2::pg_catalog.timestamptz AS backend_start, $3::pg_catalog.text AS query,
      $4::pg_catalog.int4 AS compared) AS o
    WHERE a.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()
      AND a.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
      AND (a.pid OPERATOR(pg_catalog.=) o.pid
          AND (a.backend_start IS NULL OR o.backend_start IS NULL
            OR a.backend_start OPERATOR(pg_catalog.=) o.backend_start)
        OR (o.pid IS NULL AND a.state OPERATOR(pg_catalog.!~) '^idle'
          AND pg_catalog.left(a.query, o.compared)
            OPERATOR(pg_catalog.=) pg_catalog.left(o.query, o.compared)))]],
    orphan.pid, orphan.backend_start, orphan.statement, COMPARED)[1]
  if row.busy == nil then return "gone" end
  return row.busy and "busy" or "idle"
end

local function terminate(db, orphan)
  pcall(db.ask, db, "SELECT pg_catalog.pg_terminate_backend($1::pg_catalog.int4)", orphan.pid)
end

--- Wait until a server process has ended. One that idles beyond some grace waits for a client that
-- is gone, and is ended; so is a busy one when `orphan.ours` says that the client was this run.
-- @param orphan { pid = nil behind a pooler, backend_start, statement = what it ran, ours }
-- @param limit seconds to wait at most
-- @return whether it has ended
function M.wait(db, orphan, limit)
  local started, told = core.now(), false
  local grace = orphan.ours and OWN_GRACE or GRACE
  while true do
    local state = look(db, orphan)
    if state == "gone" then return true end
    local waited = core.now() - started
    if waited > grace and not told and orphan.pid and (state == "idle" or orphan.ours) then
      told = true
      terminate(db, orphan)
    end
    if waited >= limit then return false end
    db:sleep(PAUSE)
  end
end

--- End what is left of a connection that this process has lost: its server process may not know.
-- @param db a new connection with the same parameters
-- @param pid the process id that the lost one had (PQbackendPID)
function M.fence(db, pid)
  local own = db:ask("SELECT pg_catalog.pg_backend_pid() AS pid")[1].pid
  if own ~= db:backend_pid() then return end -- a pooler's number; it looks after its own
  M.wait(db, { pid = pid, ours = true }, FENCE_LIMIT)
end

return M
