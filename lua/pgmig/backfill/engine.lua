--- Running a backfill: batch after batch along the key, each one transaction that takes the cursor
-- along. What the row of the backfill says is what has happened, whatever breaks in between: after
-- each batch, and after each failure, the row is read, and it decides.
local arrays = require "pgmig.backfill.arrays"
local core = require "pgmig.core"
local definitions = require "pgmig.backfill.definition"
local descriptions = require "pgmig.backfill.description"
local errors = require "pgmig.errors"
local paces = require "pgmig.backfill.pace"
local recovery = require "pgmig.db.recovery"
local relations = require "pgmig.backfill.relation"
local stores = require "pgmig.backfill.store"
local throttles = require "pgmig.backfill.throttle"

local M = {}
local job = {}
job.__index = job

local RETRIES = 10 -- of one row that locks or a time limit keep from being changed
local ALONE_LIMIT = 10 -- seconds for a row that stands alone
local HEARTBEAT = 2 -- seconds between two signs of life while it waits
local POLL = 1 -- seconds between two looks at a backfill that another one works on
local BATCHES = 64 -- of a table, at least
local SHORT = 0.05 -- seconds before a smaller batch
local RECONNECT = 60 -- seconds to find the server again

-- ---- what is asked of a server -------------------------------------------------

--- Settings of one transaction: how keys are written, whatever the session's settings are.
local AS_TEXT = "SET LOCAL datestyle = 'ISO'; SET LOCAL intervalstyle = 'postgres'; "
  .. "SET LOCAL extra_float_digits = 3; SET LOCAL bytea_output = 'hex'; "

--- A query on keys is to walk along the index, whatever the planner thinks of the statistics.
local ALONG = "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; "

local function path_sql(self)
  return ("SELECT pg_catalog.set_config('search_path', %s, true); "):format(
    self.db:quote_literal(self.row.path))
end

--- The key at a place: so many rows behind another one.
-- @return its values; nil: there are not so many
local function key_at(self, condition, offset, downwards)
  local relation = self.relation
  local row = self.db:ask_row("? " .. relation:shape(), AS_TEXT .. ALONG
    .. ("SELECT %s FROM %s%s %s OFFSET %d LIMIT 1"):format(relation:texts(), relation.name,
      condition and " WHERE " .. condition or "", relation:order(downwards), offset))
  return row and relation:values(row)
end

--- How many rows the planner thinks there are.
local function estimate(self)
  local rows = self.db:ask_rows("* _:text", "EXPLAIN SELECT 1 FROM " .. self.relation.name)
  local _, text = next(rows[1] or {})
  return tonumber(tostring(text):match "rows=(%d+)") or 0
end

-- ---- the beginning -------------------------------------------------------------

local function with_path(self, fn)
  self.db:ask_rows("-", "BEGIN; " .. path_sql(self))
  local ok, result = pcall(fn)
  if not self.db:is_lost() then self.db:ask_rows("-", "ROLLBACK") end
  if ok then return result end
  error(result, 0)
end

local function look(self)
  local row = self.row
  with_path(self, function()
    self.relation = relations.look(self.db, row.target, row.key_columns)
    if row.set_sql then self.relation:check(self.db, row.set_sql, row.where_sql) end
  end)
end

local function check_nulls(self)
  local sql = self.relation:nulls()
  if not sql or not self.db:ask_row("1 found:bool", sql).found then return end
  errors.raise("plan", "the key of some rows is NULL", {
    hint = "fill the key's columns first, or name another key",
  })
end

--- Fix where it ends: rows behind that are newer, and whoever inserts them fills them.
local function begin(self)
  check_nulls(self)
  local high = key_at(self, nil, 0, true)
  local low = high and key_at(self, nil, 0) or nil
  local names = {}
  for i, column in ipairs(self.relation.key) do names[i] = column.column end
  self.row = self.store:change(self.row, {
    key_columns = names, low = low or stores.NULL, high = high or stores.NULL,
    rows_estimated = high and estimate(self) or 0, batch_size = self.pace:size(),
  })
end

-- ---- a batch -------------------------------------------------------------------

--- What a batch's transaction begins with. A batch that would take twice its time is given up.
local function begin_sql(self, rows)
  local seconds = rows > 1 and self.row.seconds * 2 or ALONE_LIMIT
  return ("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = %d; "
    .. "SET LOCAL statement_timeout = %d; %s"):format(math.ceil(self.row.seconds * 1000),
    math.ceil(seconds * 1000), path_sql(self))
end

--- What the row says behind a batch.
local function progress(self, batch)
  return {
    cursor = batch.upto, rows_seen = self.row.rows_seen + batch.rows, batch_size = self.pace:size(),
    waiting = stores.NULL, error = stores.NULL, failed_key = stores.NULL,
  }
end

--- A batch does not wait for the disk: a crash of the server takes rows and cursor along, and the
-- row's last change, which says that it is done, does wait.
local LAZILY = "SET LOCAL synchronous_commit = off; "

--- One statement does it all. Its first part locks the row of the backfill: without that, no row of
-- the table is touched.
local function change_all(self, batch, condition, fields)
  local relation = self.relation
  fields.rows_done = stores.sql "rows_done OPERATOR(pg_catalog.+) (SELECT pg_catalog.count(*) "
  fields.rows_done.sql = fields.rows_done.sql .. "FROM pgmig_changed)"
  return self.store:send(begin_sql(self, batch.rows) .. LAZILY .. ([[
    WITH pgmig_ours AS (%s), pgmig_changed AS (UPDATE %s SET %s
      WHERE (SELECT pg_catalog.count(*) FROM pgmig_ours) OPERATOR(pg_catalog.=) 1 AND %s AND (%s
      ) RETURNING 1)
    %s; COMMIT; %s]]):format(self.store:lock_sql(self.row), relation.name, self.row.set_sql,
    condition, self.row.where_sql or "true",
    self.store:change_sql(self.row, fields), self.store:read_sql(self.row)))
end

local ENDED = "the function ended the batch's transaction"

--- The rows go to a function, which changes what it likes in the batch's transaction.
local function hand_out(self, _, condition, fields)
  local db, relation = self.db, self.relation
  db:ask_rows("-", begin_sql(self, 1))
  if not db:ask_rows("? mine:int", self.store:lock_sql(self.row))[1] then
    db:ask_rows("-", "ROLLBACK")
    return self.store:read(self.row)
  end
  local id = db:ask_row("1 id:text",
    "SELECT pg_catalog.txid_current()::pg_catalog.text AS id").id
  local rows = db:query(("SELECT * FROM %s WHERE %s AND (%s\n) %s FOR UPDATE"):format(relation.name,
    condition, self.row.where_sql or "true", relation:order()))
  if rows[1] then self.each(rows, db) end
  local status = db:transaction_status()
  if status == "failed" then
    errors.raise("sql", "the batch's transaction has failed: the error of a statement was caught")
  elseif status ~= "open" then
    errors.raise("usage", ENDED)
  end
  fields.rows_done = self.row.rows_done + #rows
  local guard = ("pg_catalog.txid_current() OPERATOR(pg_catalog.=) %s"):format(id)
  local after = self.store:send(self.store:change_sql(self.row, fields, guard) .. "; COMMIT; "
    .. self.store:read_sql(self.row))
  if after and after.revision == self.row.revision and after.lease_owner == self.owner then
    errors.raise("usage", ENDED)
  end
  return after
end

local function count(self, condition)
  return self.db:ask_row("1 n:int", ALONG .. ("SELECT pg_catalog.count(*) AS n FROM %s WHERE %s")
    :format(self.relation.name, condition)).n
end

--- Try a row again that was left out before: it is a batch of its own, and moves no cursor.
local function try_again(self, at)
  local row, keys, reasons = self.row, {}, {}
  for i, key in ipairs(row.skipped_keys) do
    if i ~= at then keys[#keys + 1], reasons[#reasons + 1] = key, row.skipped_errors[i] end
  end
  local fields = { skipped_keys = keys, skipped_errors = reasons, waiting = stores.NULL }
  local condition = self.relation:at(self.db, arrays.list(row.skipped_keys[at]))
  self.row = (self.each and hand_out or change_all)(self, { rows = 1 }, condition, fields)
end

--- Where the next batch ends.
-- @return { upto = the last key, rows = how many, at most }
local function next_batch(self)
  local row, size = self.row, self.pace:size()
  local condition = self.relation:between(self.db, row.cursor, row.high)
  local upto = key_at(self, condition, size - 1)
  if upto then return { upto = upto, rows = size } end
  return { upto = row.high, rows = count(self, condition), is_last = true }
end

-- ---- what goes wrong -------------------------------------------------------------

-- lock_not_available, deadlock_detected, serialization_failure, query_canceled (by a time-out)
local passing = { ["55P03"] = true, ["40P01"] = true, ["40001"] = true, ["57014"] = true }

-- Classes of errors that a row's values are the reason for (manual, appendix A); P0: raised by a
-- function, 44: WITH CHECK OPTION.
local of_rows = { ["21"] = true, ["22"] = true, ["23"] = true, ["44"] = true, P0 = true }

local function is_of_row(self, err)
  if self.each then return not errors.is(err, "usage") end
  return errors.is(err) and err.sqlstate ~= nil and of_rows[err.sqlstate:sub(1, 2)] == true
end

local function message_of(err) return errors.is(err) and err.message or tostring(err) end

--- Write down why it has stopped, as far as that is possible.
local function fail(self, err, batch)
  local key = batch and self.relation:shown(batch.upto)
  if not errors.is(err) then err = errors.new("lua", tostring(err), { cause = err }) end
  err.message = ("backfill of %s%s: %s"):format(self.row.target,
    key and " at the row with " .. key or "", err.message)
  err.hint = err.hint or "correct the cause, then `pgmig backfill retry`"
  self.failed = true
  pcall(function()
    self.row = self.store:change(self.row, {
      state = "failed", error = core.readable(err.message, "\\x"),
      failed_key = batch and batch.upto or stores.NULL, lease_until = stores.NULL,
      lease_owner = stores.NULL,
    })
  end)
  error(err, 0)
end

--- Leave a row out that cannot be changed, and write that down.
local function skip(self, err, batch)
  local keys, reasons = self.row.skipped_keys, self.row.skipped_errors
  keys[#keys + 1] = arrays.text(batch.upto)
  reasons[#reasons + 1] = core.readable(message_of(err), "\\x")
  local fields = progress(self, batch)
  fields.skipped_keys, fields.skipped_errors = keys, reasons
  self.row = self.store:change(self.row, fields)
  self.pace:took(1, 0)
  self:tell("skipped", ("the row with %s is left out: %s"):format(
    self.relation:shown(batch.upto), message_of(err)))
end

--- A row keeps the batch from its end.
local function isolate(self, err, batch)
  if self.pace:suspect(batch.rows) then return end
  if #self.row.skipped_keys < self.row.skip_limit then return skip(self, err, batch) end
  fail(self, err, batch)
end

--- Locks or time keep the batch, or what is asked besides, from its end.
local function yield(self, err, batch)
  local had_more = batch and self.pace:halve(batch.rows)
  self.tries = had_more and self.tries or self.tries + 1
  if self.tries > RETRIES then fail(self, err, batch) end
  self:tell("retry", ("%s; again with %d rows"):format(err.message, self.pace:size()))
  self:sleep(had_more and SHORT or recovery.delay_after(self.tries))
end

--- After an error: whatever became of the batch, the row tells.
local function recover(self, err, batch)
  local db = self.db
  if errors.is(err, "interrupted") then error(err, 0) end
  if recovery.is_loss(db, err) then
    self:tell("lost", err.message)
    recovery.reconnect(db, self.reconnect, err)
    return recovery.persist(db, self.reconnect, function()
      self.row = self.store:take(self.id, self.owner)
    end)
  end
  if db:is_lost() then error(err, 0) end
  if db:transaction_status() ~= "idle" then db:ask_rows("-", "ROLLBACK") end
  if errors.is(err) and passing[err.sqlstate] then return yield(self, err, batch) end
  if batch and is_of_row(self, err) then return isolate(self, err, batch) end
  fail(self, err)
end

--- Call a function that may lose the connection: the row tells what it has done.
-- @param batch that it is about; nil
-- @return whether it has come to its end
local function attempt(self, fn, batch)
  local ok, err = pcall(fn)
  if ok then return true end
  recover(self, err, batch)
  return false
end

local function step(self)
  local batch, before = nil, self.row
  if not attempt(self, function() batch = next_batch(self) end) then return end
  local began = core.now()
  local done = attempt(self, function()
    self.row = (self.each and hand_out or change_all)(self, batch,
      self.relation:between(self.db, before.cursor, batch.upto), progress(self, batch))
  end, batch)
  if not done then return end
  local took = core.now() - began
  self.tries = 0
  local is_ours = self.row and self.row.revision == before.revision + 1
  if is_ours and not batch.is_last then self.pace:took(batch.rows, took) end
  self:measure(before, took)
end

-- ---- what is told ------------------------------------------------------------------

--- Tell what has happened.
function job:tell(what, message)
  local row = self.row
  if not self.emit then return end
  self.emit {
    type = "backfill", phase = what, message = message,
    backfill = row and descriptions.of(row, self),
  }
end

local RECENT = 10 -- seconds that the rate is of

--- Keep the figures of a batch.
function job:measure(before, took)
  local row, now = self.row, core.now()
  if not row then return end
  self.took, self.batch_rows = took, row.rows_seen - before.rows_seen
  self.samples[#self.samples + 1] = { at = now, seen = row.rows_seen }
  while self.samples[2] and now - self.samples[1].at > RECENT do table.remove(self.samples, 1) end
  local first = self.samples[1]
  if now - first.at > 0.01 then
    self.rate = (row.rows_seen - first.seen) / (now - first.at)
  end
  self:tell "progress"
end

-- ---- waiting -----------------------------------------------------------------------

function job:sleep(seconds) self.db:sleep(seconds) end

--- A sign of life while it waits, which says what for. It is WAL, too: a replica that has caught up
-- says so when there is something new.
local function heartbeat(self, reason)
  local is_new = reason ~= self.row.waiting
  if not is_new and core.now() < (self.beat_at or 0) then return end
  self.beat_at = core.now() + HEARTBEAT
  attempt(self, function() self.row = self.store:change(self.row, { waiting = reason }) end)
  if is_new then self:tell("waiting", reason) end
end

--- Whether the row is still this job's.
local function is_ours(self)
  local row = self.row
  return row ~= nil and row.state == "ready" and row.lease_owner == self.owner
end

--- Wait until nothing stands in the way of the next batch.
local function make_way(self)
  while is_ours(self) and not self.stop() do
    local reason, pause
    local asked = attempt(self, function() reason, pause = self.throttle:look(self) end)
    if asked and not reason then
      if pause > 0 then self:sleep(pause) end
      return
    end
    if asked then
      heartbeat(self, reason)
      self:sleep(pause)
    end
  end
end

-- ---- the whole -------------------------------------------------------------------------

--- Take the row; where another one works on it, wait for it, or do not.
-- @return whether it is this job's now
local function take(self)
  while true do
    attempt(self, function() self.row = self.store:take(self.id, self.owner) end)
    if is_ours(self) then return true end
    if not self.row or self.row.state ~= "ready" then return false end
    if not self.wait or self.stop() then return false end
    self:tell("waiting", ("another process works on it (%s)"):format(self.row.host or "?"))
    self:sleep(POLL)
  end
end

local function is_at_end(row)
  return row.high == nil or row.cursor ~= nil
    and arrays.text(row.cursor) == arrays.text(row.high)
end

--- The planner's statistics of what was filled; a table that cannot be analyzed now is later, by
-- autovacuum.
local function analyze(self)
  if self.row.rows_done == 0 or self.analyze == false then return end
  local ok, err = pcall(function()
    self.db:ask_rows("-", ("SET lock_timeout = '1s'; ANALYZE %s"):format(self.relation.name))
  end)
  if not self.db:is_lost() then pcall(self.db.ask_rows, self.db, "-", "RESET lock_timeout") end
  if not ok then self:tell("warning", "ANALYZE failed: " .. message_of(err)) end
end

--- Call a function until it has come to its end, while the row is this job's.
local function insist(self, fn)
  local done
  repeat done = attempt(self, fn) until done or not is_ours(self)
end

local MUCH = 0.2 -- of the rows

local function finish(self)
  analyze(self)
  insist(self, function()
    self.row = self.store:change(self.row, {
      state = "done", finished_at = stores.NOW, lease_owner = stores.NULL,
      lease_until = stores.NULL, waiting = stores.NULL,
    }, "SET LOCAL synchronous_commit = on; ")
  end)
  local row = self.row
  if row and row.state == "done" then self:tell "done" end
  if row and row.rows_done > MUCH * math.max(row.rows_estimated or 0, 1) then
    self:tell("hint", ("%.0f rows of %s were written anew: VACUUM (ANALYZE) %s, when it is quiet, "
      .. "lets their old versions' space be used again"):format(row.rows_done, row.target,
      self.relation.name))
  end
end

--- Let the row go.
local function release(self)
  if not is_ours(self) or self.db:is_lost() then return end
  self.db:despite_signals(function()
    pcall(function()
      if self.db:transaction_status() ~= "idle" then self.db:ask_rows("-", "ROLLBACK") end
      self.row = self.store:change(self.row, {
        lease_owner = stores.NULL, lease_until = stores.NULL, waiting = stores.NULL,
      })
    end)
  end)
end

--- Try the rows again that were left out; those that fail again stay so.
local function mend(self)
  local at = 1
  while is_ours(self) and not self.stop() and self.row.skipped_keys[at] do
    local ok, err = pcall(try_again, self, at)
    if not ok and not (errors.is(err) and is_of_row(self, err)) then recover(self, err) end
    if not ok and not self.db:is_lost() and self.db:transaction_status() ~= "idle" then
      self.db:ask_rows("-", "ROLLBACK")
    end
    if not ok then at = at + 1 end
  end
end

--- How many rows a batch may lock: of all statements that others send by key, no more than one of a
-- hundred is to meet one.
local function share_of(row)
  local share = math.floor((row.rows_estimated or 0) / BATCHES)
  return math.max(share, row.first_batch, definitions.SMALLEST)
end

local function work(self)
  if not take(self) then return end
  insist(self, function() look(self) end)
  if not is_ours(self) then return end
  if not self.row.batch_size then insist(self, function() begin(self) end) end
  if not is_ours(self) then return end
  self.pace:limit(share_of(self.row))
  self.samples[1] = { at = core.now(), seen = self.row.rows_seen }
  self:tell "start"
  if self.row.finished_at then mend(self) end -- it is tried again
  while is_ours(self) and not is_at_end(self.row) do
    if self.stop() then return end
    make_way(self)
    if is_ours(self) and not self.stop() then step(self) end
  end
  if is_ours(self) and not self.stop() then finish(self) end
end

local function no() return false end

--- Run a backfill: to its end, or until something stops it.
-- @param db the connection, in no transaction
-- @param store of pgmig.backfill.store
-- @param row of the store
-- @param options { each = fn(rows, db) of one in Lua; emit = fn(event); stop = fn() returns whether
--   to end behind the batch under way; wait = true: for another process that works on it; limits =
--   of pgmig.backfill.throttle; analyze = false: not at the end; reconnect = seconds }
-- @return the row as it is then; nil: it is gone
-- @raise what makes it fail
function M.run(db, store, row, options)
  local throttle = throttles.new(options.limits or throttles.check {})
  local largest = throttle:largest(row.seconds) or definitions.LARGEST
  local self = setmetatable({
    db = db, store = store, row = row, id = { migration = row.migration, step = row.step },
    owner = core.token(), each = options.each,
    emit = options.emit, stop = options.stop or no, wait = options.wait, tries = 0, samples = {},
    throttle = throttle, analyze = options.analyze,
    reconnect = options.reconnect or RECONNECT,
    pace = paces.new(math.min(row.batch_size or row.first_batch, largest), row.seconds,
      definitions.SMALLEST, largest),
  }, job)
  local ok, err = pcall(work, self)
  release(self)
  if not ok then error(err, 0) end
  return self.row
end

return M
