--- The lock that makes waiting polite: one run at a time works on a tracking table.
-- A second connection holds an advisory lock in an idle transaction: it goes with the process that
-- holds it, passes through transaction poolers, and holds no snapshot that CREATE INDEX
-- CONCURRENTLY would wait for. It is asked for again and again, never waited for inside the
-- server: a blocked waiter does keep a snapshot. What makes double application impossible is not
-- the lock but the claim (core/README.md).
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local needed = require "pgmig.needed"
local texts = require "pgmig.texts"
local loop = require "pgmig.db.loop"
local recovery = require "pgmig.db.recovery"

local orphan = needed "db.orphan"

local M = {}
local lock = {}
lock.__index = lock

local CLASS = 1885826409 -- of the advisory locks: "pgmi"
local WORKER = 1885826411 -- beside it, by the same session: who does the work
local FIRST_PAUSE, LAST_PAUSE = 0.05, 1 -- seconds between two attempts
local CONNECT_ATTEMPTS = 3
local REMINDER = 15 -- seconds between two reports of who is waited for

--- Behind a pooler, which does not see that its client is gone: the name by which the transaction
-- is found then (pgmig.db.orphan).
local function tagged(self)
  if self.db.served then return "" end
  return ("SET LOCAL application_name = '%s';"):format(self.conn:session_tag())
end

--- Ask for the lock: true when it is held from now on. The database's defaults must not end the
-- transaction that holds it; a machine that vanishes must, within half a minute.
local function try(self)
  local newer = self.conn:server_version() >= 170000
  local row = self.conn:ask_row("1 held:bool _:bool " .. core.served_shape, ([[
    BEGIN ISOLATION LEVEL READ COMMITTED; %s
    SET LOCAL idle_in_transaction_session_timeout = 0;%s
    SET LOCAL tcp_keepalives_idle = 10;
    SET LOCAL tcp_keepalives_interval = 5;
    SET LOCAL tcp_keepalives_count = 3;
    SELECT pg_catalog.pg_try_advisory_xact_lock(%d, pg_catalog.hashtext(%s)) AS held,
      pg_catalog.pg_try_advisory_xact_lock(%d, %d), %s]]):format(
    tagged(self), newer and " SET LOCAL transaction_timeout = 0;" or "", CLASS,
    self.conn:quote_literal(self.key), WORKER, self.worker, core.served_columns))
  self.conn:note_server(row)
  if row.held then return true end
  self.conn:ask_rows("-", "ROLLBACK")
  return false
end

local HOLDER_SHAPE = "* pid:int? application_name:text? user:text? client:text? since:text? "
  .. "seconds:float? worker:int? query:text? state:text?"

--- Who holds a lock.
-- @param conn a connection
-- @param key what is locked
-- @return { pid, application_name, user, client, since, seconds, worker = pid of the connection
--   that works, query, state }; nil when nobody does
function M.holder(conn, key)
  return conn:ask_row(HOLDER_SHAPE, [[
    SELECT l.pid, a.application_name, a.usename::pg_catalog.text AS "user",
      a.client_addr::pg_catalog.text AS client,
      pg_catalog.to_json(a.xact_start) OPERATOR(pg_catalog.#>>) '{}' AS since,
      pg_catalog.date_part('epoch',
        pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) a.xact_start) AS seconds,
      w.pid AS worker, w.query, w.state
    FROM pg_catalog.pg_locks l
    LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid OPERATOR(pg_catalog.=) l.pid
    LEFT JOIN pg_catalog.pg_locks p ON p.pid OPERATOR(pg_catalog.=) l.pid
      AND p.locktype OPERATOR(pg_catalog.=) 'advisory'
      AND p.classid OPERATOR(pg_catalog.=) $3::pg_catalog.int8::pg_catalog.oid
      AND p.objsubid OPERATOR(pg_catalog.=) 2
    LEFT JOIN pg_catalog.pg_stat_activity w
      ON w.pid OPERATOR(pg_catalog.=) p.objid::pg_catalog.int8
    WHERE l.locktype OPERATOR(pg_catalog.=) 'advisory' AND l.granted
      AND l.objsubid OPERATOR(pg_catalog.=) 2
      AND l.classid OPERATOR(pg_catalog.=) $2::pg_catalog.int8::pg_catalog.oid
      AND l.database OPERATOR(pg_catalog.=) (SELECT oid FROM pg_catalog.pg_database
        WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
      AND l.objid OPERATOR(pg_catalog.=) (pg_catalog.hashtext($1)::pg_catalog.int8
        OPERATOR(pg_catalog.&) 4294967295)::pg_catalog.oid]],
    key, CLASS, WORKER)
end

--- Who holds the lock of a migrator's tracking table.
function M.find(migrator)
  return M.holder(migrator.db, migrator.ledger.handle:qualified() or "")
end

--- What is said about a holder.
function M.describe(who)
  if not who then return "another session" end
  local parts = { who.pid and ("pid %d"):format(who.pid) or "a prepared transaction" }
  if who.application_name then parts[#parts + 1] = who.application_name end
  if who.user then parts[#parts + 1] = "user " .. who.user end
  if who.since then parts[#parts + 1] = "since " .. who.since end
  if who.worker then
    parts[#parts + 1] = ("its worker pid %d: %s"):format(who.worker,
      texts.excerpt(who.query or "query hidden"))
  end
  return table.concat(parts, ", ")
end

local TERMINATE = "SELECT pg_catalog.pg_terminate_backend(%d)"

--- How a holder is stopped, as the end of a hint: a run by its worker, since the lock's session
-- does nothing, and is made again when it is ended.
local function stop(who)
  if not who.pid then return "commit the prepared transaction, or roll it back" end
  if not who.worker then return "if it hangs, end it: " .. TERMINATE:format(who.pid) end
  if who.state == "active" then
    return ("to stop it, interrupt its program, or cancel its statement: SELECT "
      .. "pg_catalog.pg_cancel_backend(%d)"):format(who.worker)
  end
  return ("if its program hangs, end its sessions: %s, pg_catalog.pg_terminate_backend(%d)"):format(
    TERMINATE:format(who.worker), who.pid)
end

--- What can be done about a holder, as a hint.
-- @param who of `holder`; nil
function M.advise(who)
  return "wait for it" .. (who and "; " .. stop(who) or "")
end

local function refuse(who, limit)
  local message = "another run is at work"
  if limit > 0 then
    message = ("another run has held the lock for longer than %g s"):format(limit)
  end
  errors.raise("lock", message, {
    detail = "held by " .. M.describe(who), holder = who,
    hint = M.advise(who),
  })
end

-- Sessions that say of a process, by their lock, that it works for them, and have begun after it: a
-- process that has ended may have had the same number before.
local OWN = [[
  SELECT a.pid, pg_catalog.to_json(a.backend_start) OPERATOR(pg_catalog.#>>) '{}' AS backend_start
  FROM pg_catalog.pg_locks l
  JOIN pg_catalog.pg_stat_activity a ON a.pid OPERATOR(pg_catalog.=) l.pid
  WHERE l.locktype OPERATOR(pg_catalog.=) 'advisory' AND l.granted
    AND l.objsubid OPERATOR(pg_catalog.=) 2
    AND l.classid OPERATOR(pg_catalog.=) $1::pg_catalog.int8::pg_catalog.oid
    AND l.objid OPERATOR(pg_catalog.=) $2::pg_catalog.int8::pg_catalog.oid
    AND a.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()
    AND a.backend_start OPERATOR(pg_catalog.>=) $3::pg_catalog.timestamptz]]

--- End what is left of a connection of this lock's that was lost before its first answer, which
-- would have told how to know it: its server process may have been given the lock.
-- @return whether there was one
local function end_own(self, who)
  local served = self.db.served
  if not (who and served and who.worker == served.pid) then return false end
  local left = self.conn:ask_rows("* pid:int backend_start:text", OWN, WORKER, served.pid,
    served.backend_start)
  for _, session in ipairs(left) do
    session.ours = true
    orphan.wait(self.conn, session, self.db.response_timeout)
  end
  return #left > 0
end

--- Ask once, again where the connection is lost: whether the lock is held, else who has it.
local function ask(self)
  return recovery.persist(self.conn, self.options.reconnect, function()
    if try(self) then return { held = true } end
    orphan.sweep(self.conn)
    local who = M.holder(self.conn, self.key)
    if end_own(self, who) then
      if try(self) then return { held = true } end
      who = M.holder(self.conn, self.key)
    end
    return { who = who }
  end)
end

local function wait(self)
  local options = self.options
  local deadline, pause, remind_at = core.now() + options.limit, FIRST_PAUSE, 0
  while true do
    local answer = ask(self)
    if answer.held then return end
    local now, who = core.now(), answer.who
    if now >= deadline then refuse(who, options.limit) end
    if who and now >= remind_at then
      options.on_wait(who)
      remind_at = now + REMINDER
    end
    local jitter = pause * (0.5 + core.random())
    self.db:sleep(math.min(jitter, math.max(deadline - now, 0.001)))
    pause = math.min(pause * 1.5, LAST_PAUSE)
  end
end

--- A lock that is not taken yet.
-- @param db the connection that will do the work
-- @param options { key = what is locked, limit = seconds to wait, reconnect = seconds to find the
--   server again, on_wait = fn(holder) }
function M.new(db, options)
  return setmetatable({ db = db, key = options.key, options = options }, lock)
end

local NEEDS_TWO = "a run needs two connections: one holds the lock, the other works"

--- Connect. A connection that breaks at once says nothing about the next one.
local function connect(self)
  local pause = FIRST_PAUSE
  for attempt = 1, CONNECT_ATTEMPTS do
    local ok, result = pcall(self.db.beside, self.db, "pgmig lock",
      core.now() + self.db.response_timeout)
    if ok then
      self.conn = result
      return
    end
    if not errors.is(result, "connect") then error(result, 0) end
    if attempt == CONNECT_ATTEMPTS then
      result.hint = result.hint or NEEDS_TWO
      error(result, 0)
    end
    self.db:sleep(pause * (0.5 + core.random()))
    pause = pause * 2
  end
end

--- Take the lock, waiting for other runs; again where its connection was lost.
-- @raise kinds "lock" when the limit passes, "connect", "interrupted"
function lock:take()
  self.worker = self.db:backend_pid()
  if not self.conn then connect(self) end
  local ok, err = pcall(wait, self)
  if ok then return end
  if errors.is(err) and err.code == loop.NO_ANSWER
    and pcall(self.db.ask_rows, self.db, "-", "") then
    err.hint = "the other connection does get responses: is there a pooler with only one "
      .. "connection to the server? " .. NEEDS_TWO
  end
  self:release()
  error(err, 0)
end

--- Whether its server process answers. Nothing is asked that takes a snapshot: CREATE INDEX
-- CONCURRENTLY waits for the end of a transaction that has one at the wrong moment, and this one
-- ends with the run.
-- @raise kind "interrupted"
function lock:answers()
  if not self.conn then return false end
  local ok, err = pcall(self.conn.ask_rows, self.conn, "-", "")
  if errors.is(err, "interrupted") then error(err, 0) end
  return ok
end

--- Whether its transaction is open, as far as is known.
function lock:is_open()
  return self.conn ~= nil and self.conn:transaction_status() == "open"
end

--- Whether the lock is still held.
function lock:held() return self:answers() and self:is_open() end

--- Ask through the lock's connection, in a coroutine that gives way while the answer is awaited:
-- `lent` is true meanwhile.
-- @param shape of the answer (core/wire/answer.h)
-- @param sql without parameters, which would make its transaction keep a snapshot
-- @return rows; nil when there is no answer
function lock:lend(shape, sql)
  local conn = self.conn
  if not conn then return nil end
  self.lent = true
  local ok, rows = conn:driven_by(loop.aside, conn.ask_rows, shape, sql)
  self.lent = false
  return ok and rows or nil
end

--- Close its connection, which nobody waits for any more: the server lets the lock go.
function lock:hang_up()
  if self.conn then self.conn:close() end
  self.conn, self.lent = nil, false
end

--- End the server process of a lost connection: until the server notices, it may hold the lock.
local function end_lost(conn)
  local lost = orphan.identity(conn)
  conn:reconnect(core.now() + conn.response_timeout)
  orphan.fence(conn, lost)
end

--- Let it go, and know that it is gone; a second call does nothing.
function lock:release()
  local conn = self.conn
  self.conn = nil
  if not conn then return end
  local answered, err = pcall(conn.ask_rows, conn, "-", "ROLLBACK")
  if not answered and conn:is_lost() and not errors.is(err, "interrupted") then
    pcall(end_lost, conn)
  end
  conn:close()
end

return M
