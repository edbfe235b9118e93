--- A look at the server, now and then, while it is busy for a run: through a connection of its own,
-- made when a statement takes long enough. It tells a long statement from an answer that got lost
-- (the server is idle, and nothing comes), remembers who blocks the statement, for the error that a
-- lock timeout raises later, and sees how far a long one is.
local connection = require "pgmig.connection"
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local progress_views = require "pgmig.progress_views"

local M = {}
local vigil = {}
vigil.__index = vigil

local INTERVAL = 1 -- seconds between two looks
local FIRST_LOOK = 0.01 -- the first comes early: lock timeouts may be short
local ABSENT_LOOKS = 2 -- so often must the server process be missing
local LONG = 0.5 -- seconds; how far something shorter is, nobody needs to know

--- The backend's state, who blocks it, and how far its command is.
local QUERY = [[
  SELECT me.pid IS NOT NULL AS there,
    me.state OPERATOR(pg_catalog.~) '^idle'
      OR me.wait_event OPERATOR(pg_catalog.=) ANY ('{ClientRead,ClientWrite}') AS quiet,
    b.pid, b.application_name, b.usename::pg_catalog.text AS "user", b.state AS blocker_state,
    b.query, pg_catalog.to_json(b.xact_start) OPERATOR(pg_catalog.#>>) '{}' AS since,
    far.command, far.phase, far.percent
  FROM (SELECT %d AS pid) AS p
  LEFT JOIN pg_catalog.pg_stat_activity me ON me.pid OPERATOR(pg_catalog.=) p.pid
  LEFT JOIN pg_catalog.pg_stat_activity b
    ON b.pid OPERATOR(pg_catalog.=) ANY (pg_catalog.pg_blocking_pids(p.pid))
  LEFT JOIN (%s) AS far ON far.pid OPERATOR(pg_catalog.=) p.pid]]

--- A vigil over a connection; `db.vigil` makes its loop use it.
-- @param db the connection that does the work
-- @param lock of pgmig.lock
-- @param on_blocked called with the blockers when they are seen first; nil
-- @param on_progress called at each look at something long, with what the server says of it:
--   { command, phase, percent }, each where it is known; nil
function M.new(db, lock, on_blocked, on_progress)
  return setmetatable({
    db = db, lock = lock, on_blocked = on_blocked, on_progress = on_progress, due = 0,
  }, vigil)
end

--- A new request has been sent: what was seen before does not count.
function vigil:begin()
  self.began, self.pause = core.now(), FIRST_LOOK
  self.due = self.began + FIRST_LOOK
  self.quiet_since, self.absent, self.blockers = nil, 0, nil
end

--- What was seen belongs to a migration that is committed; the next one is under way.
function vigil:forget() self.began, self.blockers = core.now(), nil end

local function give_up(self, reason) self.db.handle:abandon(reason) end

--- The server has nothing to do, or waits for its client, and nothing moves between the two.
local function note_quiet(self, quiet)
  local traffic = ("%d %d"):format(self.db.handle:traffic())
  if not quiet or traffic ~= self.traffic or not self.quiet_since then
    self.quiet_since, self.traffic = quiet and core.now() or nil, traffic
  elseif core.now() - self.quiet_since >= self.db.response_timeout then
    give_up(self, "the server's answer was lost on the way")
  end
end

local function note_absent(self, there)
  self.absent = there and 0 or self.absent + 1
  if self.absent >= ABSENT_LOOKS then give_up(self, "the server process is gone") end
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
  if not self.blockers and self.on_blocked then self.on_blocked(list) end
  self.blockers = list
end

--- Ask through a connection of its own.
-- @return rows; nil when there is no answer
-- @return the signal that came meanwhile: it is meant for the run, not for this connection
local function ask(self, sql)
  local ok, result = pcall(function()
    if not self.conn then
      self.conn = self.db:beside("pgmig watch", core.now() + self.db.response_timeout)
    end
    return self.conn:ask(sql)
  end)
  if ok then return result end
  self:close()
  return nil, errors.is(result, "interrupted") and result.signal or nil
end

--- Nobody can tell what the server does: there is no connection to spare, or it is out of reach,
-- which the lock's connection shows.
local function unanswered(self)
  local ok, answers = pcall(self.lock.answers, self.lock)
  if not ok then return answers.signal end
  if not answers then give_up(self, connection.NO_ANSWER) end
  self.due = core.now() + self.db.response_timeout
end

--- Tell how far a request is, when it takes long.
local function tell_progress(self, row, long)
  if not long or not self.on_progress then return end
  self.on_progress { command = row.command, phase = row.phase, percent = row.percent }
end

--- Look once. Gives the connection up when no answer will come.
-- @return a signal that came meanwhile; nil
function vigil:look()
  self.pause = math.min((self.pause or FIRST_LOOK) * 2, INTERVAL)
  local pid, long = self.db.handle:server_pid(), core.now() - self.began >= LONG
  local version = long and self.db:server_version() or 0
  local rows, signal = ask(self, QUERY:format(pid, progress_views.query(version)))
  if signal then return signal end
  if not rows then return unanswered(self) end
  self.due = core.now() + self.pause
  tell_progress(self, rows[1], long)
  if pid == 0 then return end
  note_absent(self, rows[1].there)
  note_quiet(self, rows[1].quiet)
  note_blockers(self, rows)
end

--- End its connection; a second call does nothing.
function vigil:close()
  if self.conn then self.conn:close() end
  self.conn = nil
end

return M
