--- A look at the server, now and then, while it is busy for a run: through a connection of its own,
-- made when a statement takes long enough. It tells a long statement from an answer that got lost
-- (the server is idle, and nothing comes), remembers who blocks the statement, for the error that a
-- lock timeout raises later, and sees how far a long one is.
-- Looking is a coroutine, which the loop of the connection resumes between its own steps: neither
-- waits for the other.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local needed = require "pgmig.needed"
local loop = require "pgmig.db.loop"

local progress_views = needed "db.progress_views"

local M = {}
local watch = {}
watch.__index = watch

-- Seconds.
local INTERVAL = 1 -- between two looks
local FIRST_LOOK = 0.01 -- the first comes early: lock timeouts may be short
local FIRST_TURN, LAST_TURN = 0.001, 0.05 -- between two turns of a look
local BLIND = 5 -- between two looks, where nobody can look
local LONG = 0.5 -- how far something shorter is, nobody needs to know

local ABSENT_LOOKS = 2 -- so often must the server process be missing
local ATTEMPTS = 2 -- to ask through a connection that was lost meanwhile, and a new one

--- The server process's state, who blocks it, and how far its command is. Behind a pooler it also
-- serves others: it is one that is at work for this connection's tag, or on its text, or still in
-- the transaction that it was seen in. Our own other connections block nothing for more than a
-- moment.
local QUERY = [[
  SELECT me.pid IS NOT NULL AS there,
    me.state OPERATOR(pg_catalog.~) '^idle'
      OR me.wait_event OPERATOR(pg_catalog.=) ANY ('{ClientRead,ClientWrite}') AS quiet,
    b.pid, b.application_name, b.usename::pg_catalog.text AS "user", b.state AS blocker_state,
    b.query, pg_catalog.to_json(b.xact_start) OPERATOR(pg_catalog.#>>) '{}' AS since,
    me.xact_start AS began, far.command, far.phase, far.percent
  FROM (SELECT %s::pg_catalog.bool AS alone, %s::pg_catalog.int4 AS pid,
    %s::pg_catalog.timestamptz AS began, %s::pg_catalog.text AS tag, %s::pg_catalog.text AS sent,
    %s::pg_catalog.int4 AS lock) AS p
  LEFT JOIN pg_catalog.pg_stat_activity me ON CASE WHEN p.alone
    THEN me.pid OPERATOR(pg_catalog.=) p.pid
    ELSE me.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()
      AND me.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
      AND me.usename OPERATOR(pg_catalog.=) session_user
      AND me.state OPERATOR(pg_catalog.!~) '^idle'
      AND (me.application_name OPERATOR(pg_catalog.=) p.tag
        OR pg_catalog.left(me.query, pg_catalog.length(p.sent)) OPERATOR(pg_catalog.=) p.sent
        OR me.pid OPERATOR(pg_catalog.=) p.pid
          AND COALESCE(me.xact_start OPERATOR(pg_catalog.=) p.began, p.began IS NULL)) END
  LEFT JOIN pg_catalog.pg_stat_activity b
    ON b.pid OPERATOR(pg_catalog.=) ANY (pg_catalog.pg_blocking_pids(me.pid))
    AND b.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()
    AND b.pid OPERATOR(pg_catalog.<>) COALESCE(p.lock, 0)
    AND COALESCE(b.application_name, '') OPERATOR(pg_catalog.<>) 'pgmig watch'
  LEFT JOIN (%s) AS far ON far.pid OPERATOR(pg_catalog.=) me.pid]]
local SHAPE = "* there:bool quiet:bool? pid:int? application_name:text? user:text? "
  .. "blocker_state:text? query:text? since:text? began:text? command:text? phase:text? "
  .. "percent:float?"

--- A watch over a connection (connection:watched_by).
-- @param db the connection that does the work
-- @param lock of pgmig.run.lock; nil
-- @param on_blocked called with the blockers when they are seen first; nil
-- @field due when it wants a turn again, a time of `core.now()`
-- @field blockers who was seen in the way of the request under way; nil
-- @field lock_lost whether the lock's connection has been found broken
function M.new(db, lock, on_blocked)
  return setmetatable({
    db = db, lock = lock, on_blocked = on_blocked, request = 0,
  }, watch)
end

--- Let a function be called at each look at something long, with what the server says of it:
-- { command, phase, percent }, each where it is known; nil: none.
function watch:tell_progress(fn) self.on_progress = fn end

--- A new request has been sent: what was seen before does not count.
function watch:begin()
  self.began, self.pause = core.now(), FIRST_LOOK
  self.due = self.began + FIRST_LOOK
  self.request = self.request + 1
  self.traffic, self.moved_at = loop.traffic(self.db), self.began
  self.quiet_since, self.absent, self.blockers, self.transaction = nil, 0, nil, nil
  self.lock_seen, self.lock_lost = self.began, false
end

--- A migration without a transaction is under way, or no longer: whatever its statement under way
-- is, the core may send one next that waits for the end of every transaction with a snapshot.
function watch:spare_snapshots(spare) self.spares = spare end

--- What was seen belongs to a migration that is committed; the next one is under way.
function watch:forget() self.began, self.blockers, self.transaction = core.now(), nil, nil end

-- ---- asking ------------------------------------------------------------------

local function hang_up(self)
  if self.conn then self.conn:close() end
  self.conn = nil
end

--- Ask through a connection of its own.
-- @raise what made that impossible
local function ask_watch(self, sql)
  for attempt = 1, ATTEMPTS do
    local known = self.conn ~= nil
    self.conn = self.conn or self.db:beside("pgmig watch",
      core.now() + self.db.response_timeout, loop.aside)
    local ok, result = pcall(self.conn.ask_rows, self.conn, SHAPE, sql)
    if ok then return result end
    hang_up(self)
    if not known or attempt == ATTEMPTS then error(result, 0) end
  end
end

--- Whether what runs waits for the end of every transaction that has a snapshot at some moment, or
-- what runs next may.
local function waits_for_snapshots(self)
  if self.spares then return true end
  local db = self.db
  local kind = select(4, db:progress())
  local text = (kind or "") .. (db.handle:sent() or "")
  return text:upper():find("CONCURRENTLY", 1, true) ~= nil
end

--- Ask; through the lock's connection where there is no other to be had, which must not take a
-- snapshot while somebody waits for the end of its transaction.
-- @return rows; nil where the server is within reach, and nobody can look at it
-- @return whether nothing came at all
local function ask(self, sql)
  local ok, result = pcall(ask_watch, self, sql)
  if ok then return result end
  if not errors.is(result) then error(result, 0) end
  local silent = result.code == loop.NO_ANSWER
  if not self.lock then return nil, silent end
  if waits_for_snapshots(self) then return nil, silent and not self.lock:lend("-", "") end
  local rows = self.lock:lend(SHAPE, sql)
  return rows, silent and not rows
end

--- Whether one server process serves the connection, and it alone; as far as that is known.
local function is_served_alone(self)
  return self.db:server_pid() == self.db:backend_pid()
end

--- The text of a look's question. It has no parameters: with them the server would keep an answer's
-- snapshot in a transaction, such as the lock's, up to the next question.
local function question(self, views)
  local db, lock = self.db, self.lock and self.lock.conn
  local pid = db:server_pid()
  local function literal(value)
    return value ~= nil and db:quote_literal(tostring(value)) or "NULL"
  end
  return QUERY:format(literal(is_served_alone(self)), literal(pid ~= 0 and pid or nil),
    literal(self.transaction), literal(db:session_tag()), literal(db.handle:sent()),
    literal(lock and lock:backend_pid()), views)
end

--- Whether the lock's connection is well; asked for now and then.
local function see_lock(self)
  if not self.lock or core.now() - self.lock_seen < INTERVAL then return end
  self.lock_lost = self.lock:lend("-", "") == nil or not self.lock:is_open()
  self.lock_seen = core.now()
end

--- Look once, in a coroutine.
local function look(self)
  local long = core.now() - self.began >= LONG
  local views = progress_views.query(long and self.db:server_version() or 0)
  local seen = { request = self.request, long = long, alone = is_served_alone(self) }
  seen.rows, seen.silent = ask(self, question(self, views))
  see_lock(self)
  return seen
end

-- ---- what was seen -------------------------------------------------------------

local function is_late(self, since)
  return core.now() - math.max(since, self.moved_at) >= self.db.response_timeout
end

--- The server has nothing to do, or waits for its client, and nothing moves between the two.
local function note_quiet(self, quiet)
  self.quiet_since = quiet and (self.quiet_since or core.now()) or nil
  if quiet and is_late(self, self.quiet_since) then
    self.db:abandon("the server's response was lost")
  end
end

--- Whether no server process is at work.
local function is_quiet(rows)
  for _, row in ipairs(rows) do
    if row.there and not row.quiet then return false end
  end
  return true
end

local function note_absent(self, there)
  self.absent = there and 0 or self.absent + 1
  if self.absent >= ABSENT_LOOKS then self.db:abandon("the server process no longer exists") end
end

local function note_blockers(self, rows)
  local list = {}
  for _, row in ipairs(rows) do
    if row.pid then
      list[#list + 1] = {
        pid = row.pid, application_name = row.application_name, user = row.user,
        state = row.blocker_state, query = row.query, since = row.since,
      }
    end
  end
  if #list == 0 then return end
  local first = not self.blockers
  self.blockers = list
  if first and self.on_blocked then self.on_blocked(list) end
end

--- Tell how far a request is, when it takes long.
local function tell_progress(self, row, long)
  if not long or not self.on_progress then return end
  self.on_progress { command = row.command, phase = row.phase, percent = row.percent }
end

--- Nobody can look. The connection is given up only when all is silent.
local function conclude_blind(self, seen)
  self.due = core.now() + math.min(BLIND, self.db.response_timeout)
  if seen.silent and is_late(self, self.began) then return self.db:abandon() end
  tell_progress(self, {}, seen.long)
end

--- Draw conclusions. Gives the connection up when no answer will come.
local function conclude(self, seen)
  self.pause = math.min(self.pause * 2, INTERVAL)
  self.due = core.now() + self.pause
  if seen.request ~= self.request then return end
  local row = seen.rows and seen.rows[1]
  if not row then return conclude_blind(self, seen) end
  if seen.alone then note_absent(self, row.there) end
  self.transaction = self.transaction or row.began
  note_quiet(self, is_quiet(seen.rows))
  note_blockers(self, seen.rows)
  tell_progress(self, row, seen.long)
end

-- ---- turns -----------------------------------------------------------------------

--- Go on with the look until it waits.
-- @return what it waits with: arguments of a driver
local function resume(self)
  local ok, result, want, deadline = coroutine.resume(self.looking)
  if not ok then error(result, 0) end
  if coroutine.status(self.looking) ~= "dead" then
    self.awaited = result
    return result, want, deadline
  end
  self.looking, self.awaited = nil, nil
  conclude(self, result)
end

--- Begin a look, or go on with it, when that is due.
function watch:turn()
  local traffic = loop.traffic(self.db)
  if traffic ~= self.traffic then self.traffic, self.moved_at = traffic, core.now() end
  if core.now() < self.due then return end
  if not self.looking then
    self.looking = coroutine.create(function() return look(self) end)
    self.turns = FIRST_TURN
  end
  resume(self)
  if not self.looking then return end
  self.due = core.now() + self.turns
  self.turns = math.min(self.turns * 2, LAST_TURN)
end

--- The request is over: give the lock's connection back.
function watch:settle()
  while self.looking and self.lock and self.lock.lent do
    local handle, want, deadline = resume(self)
    local signal = handle and self.db.wait(handle, want, deadline)
    if signal then
      self.db:note_signal(signal)
      break
    end
  end
end

--- End its connection; a second call does nothing.
function watch:close()
  self:settle()
  if self.lock and self.lock.lent then self.lock:hang_up() end
  if self.awaited then self.awaited:close() end -- it may still be connecting
  self.looking, self.awaited = nil, nil
  hang_up(self)
end

return M
