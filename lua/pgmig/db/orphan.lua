--- Server processes whose client is gone. What one was told to do it may still do, so nothing is
-- decided before it has ended.
local core = require "pgmig.core"

local M = {}

local PAUSE = 0.05 -- seconds between two looks
local GRACE = 2 -- seconds: by itself it ends within client_connection_check_interval, 1 s
local OWN_GRACE = 0.3 -- seconds, when the client was this process
local FENCE_LIMIT = 10 -- seconds for it to end

-- A process is known by its number and its start, since numbers are used again; where another
-- role's start is not shown, by its number. Behind a pooler the process lives on and serves others:
-- it counts only while its statement begins with the tag (core/engine/request.c), or may do so
-- where the role that it works for does not show its statements.
local LOOK = [[
  SELECT pg_catalog.bool_or(CASE WHEN $1::pg_catalog.int4 IS NULL THEN true
      ELSE a.state IS NULL OR a.state OPERATOR(pg_catalog.!~) '^idle' END) AS busy
  FROM pg_catalog.pg_stat_activity a
  WHERE a.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()
    AND a.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
    AND ($3::pg_catalog.timestamptz IS NULL OR $3::pg_catalog.timestamptz
      OPERATOR(pg_catalog.=) pg_catalog.pg_postmaster_start_time())
    AND (CASE WHEN $1::pg_catalog.int4 IS NOT NULL THEN
      a.pid OPERATOR(pg_catalog.=) $1::pg_catalog.int4
      AND (a.backend_start IS NULL OR $2::pg_catalog.timestamptz IS NULL
        OR a.backend_start OPERATOR(pg_catalog.=) $2::pg_catalog.timestamptz)
    WHEN a.state IS NULL THEN a.usename OPERATOR(pg_catalog.=) $5::pg_catalog.name
    ELSE a.state OPERATOR(pg_catalog.!~) '^idle' AND pg_catalog.left(a.query,
      pg_catalog.length($4::pg_catalog.text)) OPERATOR(pg_catalog.=) $4::pg_catalog.text END)]]

-- Nobody is ended by a number alone. Journals of former versions have no start of their server.
local TERMINATE = [[
  SELECT pg_catalog.pg_terminate_backend(a.pid) FROM pg_catalog.pg_stat_activity a
  WHERE a.pid OPERATOR(pg_catalog.=) $1::pg_catalog.int4
    AND a.backend_start OPERATOR(pg_catalog.=) $2::pg_catalog.timestamptz
    AND ($3::pg_catalog.timestamptz IS NULL OR $3::pg_catalog.timestamptz
      OPERATOR(pg_catalog.=) pg_catalog.pg_postmaster_start_time())]]

--- How a statement begins that runs outside a transaction, for the owner of its migration.
function M.tag(owner) return ("/* pgmig %s */ "):format(owner) end

--- Whether the process is there: "gone", "idle", "busy".
local function look(db, orphan)
  local row = db:ask_row("1 busy:bool?", LOOK, orphan.pid, orphan.backend_start,
    orphan.server_start, M.tag(orphan.owner or ""), orphan.db_user)
  if row.busy == nil then return "gone" end
  return row.busy and "busy" or "idle"
end

--- Whether a server process is at work on what it was told, as far as can be seen.
-- @param orphan as of `wait`
function M.is_busy(db, orphan) return look(db, orphan) == "busy" end

local function terminate(db, orphan)
  pcall(db.ask_rows, db, "-", TERMINATE, orphan.pid, orphan.backend_start, orphan.server_start)
end

--- Wait until a server process has ended. One that idles beyond some grace waits for a client that
-- is gone, and is ended; so is a busy one when `orphan.ours` says that the client was this run.
-- Behind a pooler, where none can be ended, a statement may still be on its way for as long.
-- @param orphan { pid = nil behind a pooler, backend_start, server_start, owner, db_user } as of
--   the journal's row; ours
-- @param limit seconds to wait at most
-- @return whether it has ended
function M.wait(db, orphan, limit)
  local started, told = core.now(), false
  local grace = orphan.ours and OWN_GRACE or GRACE
  while true do
    local state, waited = look(db, orphan), core.now() - started
    if state == "gone" and (orphan.pid or waited >= grace) then return true end
    if waited > grace and not told and orphan.pid and (state == "idle" or orphan.ours) then
      told = true
      terminate(db, orphan)
    end
    if waited >= limit then return false end
    db:sleep(PAUSE)
  end
end

-- Transactions of a connection behind a pooler, found by its tag, or in the midst of a reset by the
-- mark of their command: how many there are, and all are ended where that is asked for.
local TAGGED = [[
  SELECT pg_catalog.count(*) AS n, pg_catalog.count(CASE WHEN $2::pg_catalog.bool
    THEN pg_catalog.pg_terminate_backend(a.pid) END) AS told
  FROM pg_catalog.pg_stat_activity a
  WHERE (a.application_name OPERATOR(pg_catalog.=) $1::pg_catalog.text
      OR a.state OPERATOR(pg_catalog.<>) 'idle'
        AND pg_catalog.strpos(a.query, pg_catalog.concat('/* ', $1::pg_catalog.text, ' */'))
          OPERATOR(pg_catalog.=) 1)
    AND a.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()
    AND a.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
    AND a.usename OPERATOR(pg_catalog.=) session_user]]

--- How many transactions there are of a lost connection behind a pooler.
local function count_tagged(db, tag, ended)
  return db:ask_row("1 n:int told:int", TAGGED, tag, ended).n
end

--- End what is left of a connection behind a pooler, which does not see that its client is gone.
-- What the pooler has of it may still be on its way: it is looked for during a while.
local function fence_tagged(db, tag)
  db.lost_tags = db.lost_tags or {}
  table.insert(db.lost_tags, tag)
  local started, waited = core.now(), 0
  while count_tagged(db, tag, waited > OWN_GRACE) > 0 or waited <= OWN_GRACE do
    if waited >= FENCE_LIMIT then return end
    db:sleep(PAUSE)
    waited = core.now() - started
  end
end

--- End what the pooler has begun only now for connections that were lost before: something is in
-- the way.
-- @param db the connection that has taken their place
function M.sweep(db)
  for _, tag in ipairs(db.lost_tags or {}) do count_tagged(db, tag, true) end
end

--- What is left of a connection can be found by, once it is lost.
-- @return { tag, pid, backend_start, server_start }; without the latter where nobody has noted them
function M.identity(db)
  local served = db.served or {}
  return {
    tag = db.tag, pid = served.pid, backend_start = served.backend_start,
    server_start = served.server_start,
  }
end

--- End what is left of a connection that this process has lost: its server process may not know.
-- @param db a new connection with the same parameters
-- @param lost the lost one's `identity`
function M.fence(db, lost)
  local own = db:ask_row("1 " .. core.served_shape, "SELECT " .. core.served_columns)
  db.handle:served_by(own.pid)
  db:note_server(own)
  if not db.served then return fence_tagged(db, lost.tag) end
  if not lost.backend_start then return end
  M.wait(db, {
    pid = lost.pid, backend_start = lost.backend_start, server_start = lost.server_start,
    ours = true,
  }, FENCE_LIMIT)
end

return M
