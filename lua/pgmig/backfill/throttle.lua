--- What a batch waits for: figures of the server that say that it has enough to do, shares of the
-- time, hours, and a function of the user's. Each reason says its figure and its limit.
local errors = require "pgmig.errors"

local M = {}
local throttle = {}
throttle.__index = throttle

local POLL = 0.1 -- seconds between two looks at a server that has enough to do
local LONG_POLL = 5 -- seconds between two looks at the clock
local MB = 1024 * 1024

-- By name: the limit that holds without one; false: none. A replica's lag is measured by what the
-- batches write themselves: it is to be no more than this many of them behind.
local defaults = {
  replica_lag = "auto", slot_wal = 10240 * MB, archive_wal = 1024 * MB, lock_waiters = 10,
  vacuum = false,
}

local BATCHES_BEHIND, LEAST_LAG, FIRST_LAG = 1.5, MB / 16, 16 * MB

-- ---- limits ------------------------------------------------------------------

local function refuse(message) errors.raise("usage", "backfill: " .. message) end

local function number_of(name, value, least)
  if type(value) == "number" and value >= least and value < math.huge then return value end
  refuse(("%s must be a number, %g or greater"):format(name, least))
end

--- A time of the day in minutes; nil.
function M.minutes(text)
  local hours, minutes = tostring(text):match "^(%d%d?):(%d%d)$"
  if not hours or tonumber(hours) > 24 or tonumber(minutes) > 59 then return nil end
  return hours * 60 + minutes
end

local function hours_of(text)
  local from, to = tostring(text):match "^(%S-)%-(%S+)$"
  from, to = M.minutes(from), M.minutes(to)
  if not from or not to then refuse "hours must be two times, such as 22:00-06:00" end
  return { from = from, to = to, text = text }
end

local function check_limit(limits, key, value)
  if defaults[key] == nil then refuse(("unknown limit %s"):format(tostring(key))) end
  local is_word = value == false or value == defaults[key] or key == "vacuum" and value == true
  limits[key] = is_word and value or number_of(key, value, 0)
end

--- Check limits.
-- @param given { rate = rows a second, duty = share of the time, 0 to 1, hours = "22:00-06:00",
--   throttle = { replica_lag, slot_wal, archive_wal in bytes, lock_waiters, vacuum = true } or
--   fn(figures), which returns a reason to wait; in the table, too, as `check` }
-- @return the limits
-- @raise kind "usage"
function M.check(given)
  local limits = {}
  for key, value in pairs(defaults) do limits[key] = value end
  local more = given.throttle or {}
  if type(more) == "function" then more = { check = more } end
  if type(more) ~= "table" then refuse "throttle must be a table or a function" end
  for key, value in pairs(more) do
    if key == "check" then limits.check = value else check_limit(limits, key, value) end
  end
  if limits.check and type(limits.check) ~= "function" then refuse "check must be a function" end
  if given.rate then limits.rate = number_of("rate", given.rate, 1) end
  if given.duty then
    limits.duty = number_of("duty", given.duty, 0.01)
    if limits.duty > 1 then refuse "duty must be a share of the time, 0.01 to 1" end
  end
  if given.hours then limits.hours = hours_of(given.hours) end
  return limits
end

-- ---- figures of the server -----------------------------------------------------

-- $1: the table. What this role may not see of replication is NULL there.
local FIGURES = [[
  SELECT pg_catalog.pg_wal_lsn_diff(w.lsn, '0/0')::pg_catalog.float8 AS wal,
    (SELECT pg_catalog.max(pg_catalog.pg_wal_lsn_diff(w.lsn, r.replay_lsn))::pg_catalog.float8
      FROM pg_catalog.pg_stat_replication r) AS lag,
    (SELECT r.application_name FROM pg_catalog.pg_stat_replication r
      WHERE r.replay_lsn IS NOT NULL ORDER BY r.replay_lsn LIMIT 1) AS replica,
    (SELECT pg_catalog.max(pg_catalog.pg_wal_lsn_diff(w.lsn, s.restart_lsn))::pg_catalog.float8
      FROM pg_catalog.pg_replication_slots s) AS slot_wal,
    (SELECT s.slot_name::pg_catalog.text FROM pg_catalog.pg_replication_slots s
      WHERE s.restart_lsn IS NOT NULL ORDER BY s.restart_lsn LIMIT 1) AS slot,
    (SELECT a.last_archived_wal FROM pg_catalog.pg_stat_archiver a) AS archived,
    pg_catalog.pg_walfile_name(w.lsn) AS walfile,
    pg_catalog.current_setting('archive_mode') OPERATOR(pg_catalog.<>) 'off' AS archives,
    (SELECT pg_catalog.min(l.pid) FROM pg_catalog.pg_locks l
      WHERE l.relation OPERATOR(pg_catalog.=) $1::pg_catalog.int8::pg_catalog.oid
        AND l.granted AND l.mode OPERATOR(pg_catalog.=) 'ShareUpdateExclusiveLock') AS vacuum,
    (SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks l WHERE NOT l.granted) AS lock_waiters
  FROM (SELECT pg_catalog.pg_current_wal_lsn() AS lsn) AS w]]

local SHAPE = "1 wal:float lag:float? replica:text? slot_wal:float? slot:text? archived:text? "
  .. "walfile:text archives:bool vacuum:int? lock_waiters:int"

local SEGMENT = 16 * MB -- of the default; others count as so many of these

--- The number of a WAL file, in its timeline.
local function segment_of(name)
  local log, segment = name:match "^%x%x%x%x%x%x%x%x(%x%x%x%x%x%x%x%x)(%x%x%x%x%x%x%x%x)"
  return log and tonumber(log, 16) * (4096 * MB / SEGMENT) + tonumber(segment, 16)
end

--- How much is not archived; nil where nothing is archived, or not known yet.
local function archive_backlog(row)
  local archived = row.archives and row.archived and segment_of(row.archived)
  if not archived then return nil end
  return math.max(0, segment_of(row.walfile) - archived - 1) * SEGMENT
end

--- Ask the server. What cannot be asked (a server that is none of PostgreSQL's own) is no reason to
-- wait for ever.
local function figures_of(self, job)
  if self.is_blind then return nil end
  local ok, row = pcall(job.db.ask_row, job.db, SHAPE, FIGURES, ("%d"):format(job.relation.oid))
  if ok then
    row.archive_wal = archive_backlog(row)
    return row
  end
  if job.db:is_lost() or not errors.is(row, "sql") then error(row, 0) end
  self.is_blind = true
  job:tell("warning", "the server's load cannot be seen: " .. row.message)
end

-- ---- reasons ---------------------------------------------------------------------

local function bytes(number)
  if number < 10 * MB then return ("%.1f MB"):format(number / MB) end
  return ("%.0f MB"):format(number / MB)
end

--- How far a replica may be behind: about as much as the last batch has written, with all others.
local function lag_limit(self, row)
  local limit = self.limits.replica_lag
  if limit ~= "auto" then return limit end
  if not self.wal then return FIRST_LAG end
  self.written = self.written or row.wal - self.wal
  return math.max(LEAST_LAG, self.written * BATCHES_BEHIND)
end

local function exceeds(figure, limit) return limit and figure and figure > limit end

--- What of the server is in the way; nil.
local function busy(self, row)
  local limits, limit = self.limits, lag_limit(self, row)
  if exceeds(row.lag, limit) then
    return ("replica %s is %s behind (limit %s)"):format(row.replica or "?", bytes(row.lag),
      bytes(limit))
  elseif exceeds(row.slot_wal, limits.slot_wal) then
    return ("replication slot %s keeps %s of WAL (limit %s)"):format(row.slot or "?",
      bytes(row.slot_wal), bytes(limits.slot_wal))
  elseif exceeds(row.archive_wal, limits.archive_wal) then
    return ("%s of WAL are not archived (limit %s)"):format(bytes(row.archive_wal),
      bytes(limits.archive_wal))
  elseif exceeds(row.lock_waiters, limits.lock_waiters) then
    return ("%d sessions wait for locks (limit %d)"):format(row.lock_waiters, limits.lock_waiters)
  elseif limits.vacuum and row.vacuum then
    return ("pid %d vacuums, analyzes or indexes the table"):format(row.vacuum)
  end
end

local function outside(hours)
  if not hours then return nil end
  local now = tonumber(os.date "%H") * 60 + tonumber(os.date "%M")
  local inside = hours.from <= hours.to and now >= hours.from and now < hours.to
    or hours.from > hours.to and (now >= hours.from or now < hours.to)
  return not inside and ("it is not within the hours %s"):format(hours.text) or nil
end

local function asked(self, row)
  if not self.limits.check then return nil end
  local said = self.limits.check(row or {})
  return said and (type(said) == "string" and said or "the function `throttle` says so") or nil
end

--- How long to rest behind a batch, for rate and duty.
local function rest(self, job)
  local limits, took = self.limits, job.took
  if not took then return 0 end
  local seconds = limits.duty and took * (1 / limits.duty - 1) or 0
  if limits.rate then seconds = math.max(seconds, job.batch_rows / limits.rate - took) end
  job.took = nil
  return seconds
end

--- Limits for a run.
-- @param limits of `check`
function M.new(limits) return setmetatable({ limits = limits }, throttle) end

--- Look whether the next batch may begin.
-- @param job of pgmig.backfill.engine
-- @return why not, with the figure; nil
-- @return how many seconds to wait
function throttle:look(job)
  local reason = outside(self.limits.hours)
  if reason then return reason, LONG_POLL end
  local row = figures_of(self, job)
  reason = row and busy(self, row) or asked(self, row)
  if reason then return reason, POLL end
  if row then self.wal, self.written = row.wal, nil end
  return nil, rest(self, job)
end

--- The largest batch that a rate allows; nil.
function throttle:largest(seconds)
  return self.limits.rate and math.max(1, math.floor(self.limits.rate * seconds))
end

return M
