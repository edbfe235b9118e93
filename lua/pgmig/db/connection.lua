--- A connection to PostgreSQL, as returned by `pgmig.connect`.
-- Its loop (pgmig.db.loop) steps the core and waits; a driver does the waiting.
-- @module pgmig.db.connection
local core = require "pgmig.core"
local dial = require "pgmig.db.dial"
local drivers = require "pgmig.drivers"
local errors = require "pgmig.errors"
local loop = require "pgmig.db.loop"
local needed = require "pgmig.needed"
local known = require "pgmig.options"

local session = needed "db.session"

local unpack = unpack or table.unpack

local M = {}
local internal = {} -- methods for pgmig's own modules, which are no part of the interface
local connection = setmetatable({}, { __index = internal })
connection.__index = connection

local RESPONSE_TIMEOUT = known.default "response_timeout" -- seconds

-- ---- connecting ------------------------------------------------------------

local function check_options(source)
  if source == nil then return {} end
  if type(source) == "string" then return { url = source } end
  if type(source) == "table" then return source end
  errors.raise("usage", "connect takes a URL or a table of options, not a " .. type(source))
end

local function nothing() end

-- A driver whose result is checked: what is no signal must not be taken for one.
local function checked(driver)
  return function(...)
    local signal = driver(...)
    if signal == nil or type(signal) == "number" then return signal end
    errors.raise("usage", "a driver (wait) must return nothing or a signal number, not a "
      .. type(signal))
  end
end

--- Connect to a database.
-- @param source a URL or connection string; a table of libpq's parameters (`host`, `port`, `user`,
--   `password`, `dbname`, ...), with `url` or `database` in addition to or instead of them, `wait`
--   (a driver, see pgmig.drivers), `connect_timeout` in seconds, for each address of a host,
--   `response_timeout` (how many seconds to wait for the response to a request of pgmig's own;
--   15), `resolve = fn(name)`, which looks up a host name instead of a thread (returns a list of
--   addresses; or nil, why, hint), for drivers that yield `breathe = fn()`, called between two
--   files when many are read, and `environment`, libpq's variables (PGHOST, ...) by name, used if
--   the process does not have them and visible to libpq only (in one thread at a time); nil:
--   DATABASE_URL, otherwise libpq's own environment, password and service files
-- @return the connection
-- @raise kinds "connect", and "usage" for an invalid connection string
function M.connect(source)
  local options = check_options(source)
  local self = setmetatable({
    options = options,
    wait = options.wait and checked(options.wait) or drivers.blocking,
    breathe = options.breathe or nothing,
    connect_timeout = known.check("connect_timeout", options.connect_timeout),
    response_timeout = known.check("response_timeout", options.response_timeout)
      or RESPONSE_TIMEOUT,
    nominated = {}, -- see pgmig.db.session
    request_count = 0,
  }, connection)
  dial.open(self)
  return self
end

--- Where a connection would go, as a string: different strings may mean different databases.
-- @param source as of `connect`
-- @raise kind "usage" for an invalid connection string
function M.place(source)
  return dial.place(check_options(source))
end

--- Which database a connection would be to; nil: the one that is called as its user.
-- @param source as of `connect`
-- @raise kind "usage" for an invalid connection string
function M.target(source) return dial.target(check_options(source)) end

--- Reconnect with the same parameters after the connection was lost.
-- @param deadline a time of `core.now()`
-- @raise kind "connect"
function connection:reconnect(deadline)
  local before = self.address
  self.handle:close()
  dial.open(self, deadline)
  local now = self.address
  local has_moved = now.host ~= before.host or now.port ~= before.port
  if has_moved and self.move_handler then self.move_handler() end
end

--- Call `fn()` when another host has been connected to, after the connection was lost.
function internal:on_move(fn) self.move_handler = fn end

--- A second connection to the same server and database, which a signal closes at once.
-- @param application_name its name in pg_stat_activity
-- @param deadline a time of `core.now()`
-- @param wait its driver; nil: the same
-- @raise kind "connect"
function connection:beside(application_name, deadline, wait)
  local options = { application_name = application_name }
  for key, value in pairs(self.options) do options[key] = options[key] or value end
  local other = setmetatable({
    main = self, options = options, wait = wait or self.wait, auxiliary = true,
    connect_timeout = self.connect_timeout, response_timeout = self.response_timeout,
    request_count = 0,
  }, connection)
  dial.open(other, deadline)
  return other
end

--- Whether the connection is lost or closed.
function connection:is_lost() return self.handle:is_lost() end

--- Remember which server process serves it.
-- @param row of an answer with `core.served_columns`
function internal:note_server(row)
  local is_own = row.pid == self.pid -- else a pooler answers through any
  self.served = is_own and row or nil
end

--- A name that only this connection has.
function internal:session_tag() return self.handle:session_tag() end

--- The process that serves it now; 0 where that is not known, another one behind a pooler.
function internal:server_pid() return self.handle:server_pid() end

--- "idle", "open", "failed", or "none" without a connection.
function internal:transaction_status() return self.handle:transaction_status() end

--- Give up what is under way: no answer will come.
-- @param reason why; nil: none came in time
function internal:abandon(reason) self.handle:abandon(reason) end

--- Whether it has not been closed.
function internal:is_open() return self.handle:is_open() end

--- How many requests there were, a COPY among them.
function internal:requests() return self.request_count end

-- ---- the loop --------------------------------------------------------------

--- Step the current operation to its end; see `pgmig.db.loop`.
-- @param limit a time of `core.now()`, what `patience` returns, or nil: however long
-- @param observer called after each step; nil
function connection:run(limit, observer) loop.run(self, limit, observer) end

--- How long a request of pgmig's own may take: a limit for `run`; nil with a watch.
function connection:patience()
  if self.watch then return nil end
  return { patience = self.response_timeout }
end

--- Call a function with a watch over the requests (pgmig.db.watch), or without: each has a limit
-- then. The watch before comes back.
-- @return what `fn(...)` returns, one value
function connection:watched_by(watch, fn, ...)
  local outer = self.watch
  self.watch = watch
  local ok, result = pcall(fn, ...)
  self.watch = outer
  if ok then return result end
  error(result, 0)
end

--- Call a function as if no signal had come: it is remembered.
function connection:despite_signals(fn)
  local signal = self.signal
  self.give_up_at = nil
  fn()
  self.signal = signal
end

--- A signal has come while somebody else was waiting.
function internal:note_signal(signal) self.signal = self.signal or signal end

--- Let another driver wait for what a function asks; that is one request.
-- @return as of `pcall`
function internal:driven_by(wait, fn, ...)
  local own = self.wait
  self.wait = wait
  local ok, result = pcall(fn, self, ...)
  self.wait = own
  return ok, result
end

--- What a session is like that a migration begins with (pgmig.db.session).
-- @param noted what `session.note` has returned; nil: as it is
function internal:keep_session(noted) self.session = noted end

--- A migration without a transaction is under way, or no longer; see pgmig.db.watch.
function internal:spare_snapshots(spare)
  if self.watch then self.watch:spare_snapshots(spare) end
end

--- What was seen of the last request is over; see pgmig.db.watch.
function internal:forget_seen()
  if self.watch then self.watch:forget() end
end

--- Whether the lock's connection was seen to be broken.
function internal:has_lost_lock() return self.watch ~= nil and self.watch.lock_lost end

--- Who was seen in the way of the last request; nil: nobody.
function connection:seen_blockers() return self.watch and self.watch.blockers end

--- Wait for some time.
-- @param pause_seconds how long
-- @raise kind "interrupted"
function connection:sleep(pause_seconds)
  local deadline = core.now() + pause_seconds
  while core.now() < deadline do
    local signal = self.wait(nil, nil, deadline)
    if signal then
      self.signal = signal
      loop.raise_interrupted(signal)
    end
  end
end

--- Raise an interruption in place of the error that it caused on the server.
local function raise(self, err)
  if not (self.signal and errors.is(err)) then error(err, 0) end
  err.kind = "interrupted"
  err.message = loop.interruption(self.signal)
  err.signal = self.signal
  error(err, 0)
end

--- Hand out the notices that have come.
function internal:hear()
  for notice in self.handle.notice, self.handle do
    if self.notice_handler then self.notice_handler(notice) end
  end
end

--- End an operation.
-- @param operation the core's object that it is of, which raises its error; nil: a request
-- @param ... what its `finish` takes
-- @return what that returns
function connection:finish(operation, ...)
  local ending = operation or self.handle
  self:hear()
  local ok, result = pcall(ending.finish, ending, ...)
  if not ok then raise(self, result) end
  return result
end

--- Start migrations.
-- @param ledger the core's
-- @param jobs as of `core.apply`
-- @return the run, the core's
function connection:apply(ledger, jobs)
  self.applying = core.apply(self.handle, ledger, jobs)
  return self.applying
end

--- How far the migration under way is, as the core's run says it; nothing without one.
function connection:progress()
  if self.applying then return self.applying:progress() end
end

--- Call `fn(notice)` for each notice that the server sends; nil: for none.
-- A notice has severity, message, detail, hint and sqlstate.
function connection:on_notice(fn)
  self.notice_handler = fn
end

--- Raise kind "interrupted" if a signal was received since the connection was made.
function connection:check_interrupted()
  if self.signal then loop.raise_interrupted(self.signal) end
end

-- ---- who uses it -------------------------------------------------------------
-- One coroutine at a time: what another one asks in the middle of a request, a transaction or a run
-- would become part of it.

local MAIN = {} -- the main thread, where Lua 5.1 has no name for it

local function running() return coroutine.running() or MAIN end

--- Whether the running coroutine is the owner, or was resumed by it, directly or not.
local function is_owner(owner)
  return owner == running() or owner == MAIN or coroutine.status(owner) == "normal"
end

local function pack(...) return { n = select("#", ...), ... } end

--- Call a function while the connection belongs to the running coroutine.
-- @param fn the function; ... its arguments
-- @return what it returns
-- @raise kind "usage" when the connection belongs to another one, and what `fn` raises
function internal:hold(fn, ...)
  if self.owner and is_owner(self.owner) then return fn(...) end
  if self.owner then
    errors.raise("usage", "this connection is in use by another coroutine", {
      hint = "give each coroutine, such as each request of a web server, a connection of its own",
    })
  end
  self.owner = running()
  local result = pack(pcall(fn, ...))
  self.owner = nil
  if not result[1] then error(result[2], 0) end
  return unpack(result, 2, result.n)
end

-- ---- SQL -------------------------------------------------------------------

--- End a COPY that was started by mistake, and others behind it: the connection stays usable.
local function refuse_copy(self)
  local handle = self.handle
  while handle:copying() do
    if handle:copying() == "in" then handle:copy_end "COPY needs db:copy" else handle:copy_get() end
    self:run()
  end
  pcall(handle.finish, handle)
  errors.raise("usage", "COPY with STDIN or STDOUT requires db:copy", {
    hint = "use db:copy(sql, data), or local data = db:copy(sql)",
  })
end

-- Send a request with a method of the handle, "send" or "ask", and its arguments, and wait for its
-- end: until a time of `core.now()`, or nil for however long.
local function request(self, method, deadline, ...)
  self.handle[method](self.handle, ...)
  self.request_count = self.request_count + 1
  self:run(deadline)
  if self.handle:copying() then refuse_copy(self) end
  self:finish()
end

local function query(self, method, deadline, ...)
  request(self, method, deadline, ...)
  return self.handle:rows()
end

--- Run one statement.
-- @param sql its text; `$1`, `$2`, ... stand for the parameters
-- @param ... strings, numbers, booleans or nil
-- @return a list of rows, tables by column name: booleans, floats and integers up to 2^53 are
--   Lua's, everything else is text, NULL is nil
-- @raise kinds "sql", and "usage" if another coroutine is using the connection
function connection:query(sql, ...)
  session.nominate(self.nominated, sql)
  return self:hold(query, self, "send", nil, sql, ...)
end

--- Like query, but the server must respond within the connection's response timeout.
-- @raise kinds "sql", and "connect" if it does not respond
function connection:ask(sql, ...)
  return self:hold(query, self, "send", self:patience(), sql, ...)
end

--- Like ask, but the response must have a given shape: for pgmig's own queries.
-- @param shape of the response (core/wire/answer.h): how many rows, and their columns
-- @param sql its text
-- @param ... as of `query`
-- @raise kind "connect" also if the response has another shape: then the connection is closed
function connection:ask_rows(shape, sql, ...)
  return self:hold(query, self, "ask", self:patience(), shape, sql, ...)
end

--- The first row of such a response; nil only if the shape allows no row.
-- @param shape as of `ask_rows`
-- @param sql its text
-- @param ... as of `query`
function connection:ask_row(shape, sql, ...) return self:ask_rows(shape, sql, ...)[1] end

local function exec(self, script)
  request(self, "send", nil, script)
  return self.handle:tag()
end

--- Run a script of any number of statements, without parameters.
-- @return the command tag of the last one, such as "INSERT 0 1"
-- @raise kind "sql"
function connection:exec(script)
  session.nominate(self.nominated, script)
  return self:hold(exec, self, script)
end

local function transact(self, fn)
  if self:transaction_status() ~= "idle" then
    errors.raise("usage", "a transaction is already open on this connection")
  end
  self:exec "BEGIN"
  local result = pack(pcall(fn, self))
  if not result[1] then
    if self:is_open() and self:transaction_status() ~= "none" then
      self:exec "ROLLBACK"
    end
    error(result[2], 0)
  end
  if self:exec "COMMIT" ~= "COMMIT" then
    errors.raise("sql", "the transaction was rolled back because a statement in it had failed")
  end
  return unpack(result, 2, result.n)
end

--- Run `fn(db)` in a transaction: committed when it returns, rolled back when it raises. Until
-- then, no other coroutine may use the connection.
-- @return what fn returns
function connection:transaction(fn) return self:hold(transact, self, fn) end

-- ---- COPY ------------------------------------------------------------------

local function pieces(source)
  if type(source) == "function" then return source end
  local given = false
  return function()
    if given then return nil end
    given = true
    return source
  end
end

local function copy_in(self, source)
  local handle = self.handle
  if type(source) ~= "string" and type(source) ~= "function" then
    handle:copy_end "no data was supplied"
    self:run()
    pcall(handle.finish, handle)
    errors.raise("usage", "COPY ... FROM STDIN requires data", {
      hint = "pass a string, or a function that returns pieces",
    })
  end
  local ok, err = pcall(function()
    for piece in pieces(source) do
      handle:copy_put(piece)
      self:run()
      if handle:copying() ~= "in" then return end -- the end says why
    end
  end)
  if not handle:is_open() then error(err, 0) end
  if handle:copying() == "in" then
    handle:copy_end(not ok and "the data source failed" or nil)
    self:run()
  end
  if ok then return self:finish() end
  pcall(handle.finish, handle)
  error(err, 0)
end

local function copy_out(self, sink)
  local handle, kept = self.handle, {}
  sink = sink or function(piece) kept[#kept + 1] = piece end
  while handle:copying() == "out" do
    handle:copy_get()
    self:run()
    local piece = handle:copy_data()
    if piece ~= "" then sink(piece) end
  end
  self:finish()
  return table.concat(kept)
end

local function copy(self, sql, peer)
  local handle = self.handle
  handle:send(sql)
  self.request_count = self.request_count + 1
  self:run()
  local way = handle:copying()
  if way == "out" then return copy_out(self, peer) end
  if way == "in" then copy_in(self, peer) else self:finish() end
  if handle:copying() then refuse_copy(self) end
  return tonumber(handle:tag():match "^COPY (%d+)")
end

--- Run a COPY.
-- @param sql COPY ... FROM STDIN or COPY ... TO STDOUT
-- @param peer FROM STDIN: the data, a string or a function that returns pieces, then nil;
--   TO STDOUT: a function that takes pieces, or nil
-- @return FROM STDIN: the number of rows; TO STDOUT: the data, "" with a function
function connection:copy(sql, peer) return self:hold(copy, self, sql, peer) end

-- ---- backfills -----------------------------------------------------------------

--- Fill a table, batch after batch; see `pgmig.backfill.call`.
-- @param options as of `pgmig.backfill.call.run`
function connection:backfill(options)
  return self:hold(M.backfill, self, options, self.migrating)
end

--- A Lua migration runs on this connection; nil: it has ended.
-- @param context of `pgmig.backfill.call.run`
function internal:note_migration(context) self.migrating = context end

-- ---- the rest --------------------------------------------------------------

--- A string as an SQL literal, quotes included.
function connection:quote_literal(s) return self.handle:quote_literal(s) end

--- A string as an SQL identifier, quotes included.
function connection:quote_ident(s) return self.handle:quote_ident(s) end

--- Which database it is connected to, or was before it was lost.
-- @return { name = of the database, user, host = a name, an address or the folder of a socket,
--   port = a number }, as the connection has them and not as they were asked for
function connection:place()
  local at = self.address
  return { name = at.name, user = at.user, host = at.host, port = at.port }
end

--- The id of the server process of this connection, also after it was lost.
function connection:backend_pid() return self.pid end

--- The server's version as a number, 150004 for 15.4.
function connection:server_version() return self.handle:server_version() end

--- Close the connection; a second call does nothing.
function connection:close() self.handle:close() end

connection.__close = connection.close

--- Whether a value is a connection.
function M.is(value) return getmetatable(value) == connection end

return M
