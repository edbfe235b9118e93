--- What a worker does in the background until the schema is as its release wants it: one worker
-- of all is elected and works, the others stand by.
local connection = require "pgmig.db.connection"
local core = require "pgmig.core"
local driver = require "pgmig.nginx.driver"
local errors = require "pgmig.errors"
local log = require "pgmig.nginx.log"
local migrator = require "pgmig.migrator"
local releases = require "pgmig.nginx.release"

local M = {}
local PAUSE = 0.25 -- seconds between two looks
local FOLDER_PAUSE = 1 -- seconds between two looks at the folder ...
local FOLDER_SHARE = 20 -- ... and at least so many times what one takes
local FIRST_RETRY = 1 -- seconds
local LAST_RETRY = 60 -- seconds; a file that is wrong stays so until somebody deploys
local LAST_RETRY_SOON = 5 -- seconds, for what passes: no server, a busy lock, mode = "check"

-- ---- what happens ------------------------------------------------------------

--- The version that the schema has come to; the wanted one waits for the end of the run.
local function version_below(self, id)
  local known = self.store.known.version
  local below = id and core.compare(id, self.release.wanted) < 0
  return below and not (known and core.compare(known, id) >= 0) and id or nil
end

--- Note an event of the migrator's, where all workers see it.
local function note(self, event)
  local now = ngx.now()
  if event.type == "start" then
    self.running = true
    self.store:report {
      phase = "migrating", running = event.migration.label, since = now, done = self.done,
      total = self.total,
    }
  elseif event.type == "applied" or event.type == "skipped" then
    self.running, self.done = false, self.done + 1
    local id = event.type == "applied" and event.migration.id
    self.store:say { done = self.done, version = version_below(self, id) }
  elseif event.type == "waiting" then
    self.store:report { phase = "waiting", since = now, holder = event.message, total = self.total }
  end
  if self.release.on_event then log.guard(self.release.on_event, event) end
end

--- Connect, as the options say, in a way that holds nobody up.
-- @param database what `pgmig.connect` takes
-- @param leave fn(): see pgmig.nginx.driver
function M.connect(database, leave)
  local options = type(database) == "table" and database or { url = database }
  local own = { wait = driver.waiter(leave), breathe = driver.breathe }
  for key, value in pairs(options) do own[key] = value end
  return connection.connect(own)
end

-- ---- one attempt -------------------------------------------------------------

--- What ends the run is logged once, with what happens next.
local function log_of_run(level, message)
  if level ~= "error" then log.write(level, message) end
end

--- The migrator. The gate does not wait for backfills: they are done behind the migrations.
local function new_migrator(self, db)
  local options = { log = log_of_run }
  for key, value in pairs(self.release.options) do options[key] = value end
  options.backfill = "later"
  return migrator.new(db, self.release.dir, options)
end

--- A worker that ends finishes the migration that is under way, and begins no other.
local function migrate(self, db)
  local release = self.release
  local m = new_migrator(self, db)
  local plan = m:plan { to = release.target, phase = release.phase }
  self.done, self.total = 0, #plan
  m:run(plan, {
    on_event = function(event) note(self, event) end, stop = ngx.worker.exiting,
    unattended = true,
  })
end

local function check_reached(self, version)
  local wanted = self.release.wanted
  if core.compare(version, wanted) >= 0 then return end
  errors.raise("plan", ("the schema is at version %s, but %s is required"):format(version, wanted))
end

local no_failure = {
  message = false, migration = false, attempts = false, failed_at = false, retry_at = false,
  failed_clock = false, retry_clock = false, seen = false,
}

--- Let all know that the schema is ready.
local function settle(self, version)
  local known = {
    version = version, wanted = self.release.wanted, settled = self.release.terms,
    settled_at = self.began,
  }
  for key, value in pairs(no_failure) do known[key] = value end
  self.ready = true
  self.store:report({}, known)
  log.write("info", "the schema is ready, at version " .. version)
end

--- Do what is left of backfills, unless somebody else is to. A worker that ends finishes its batch.
local function fill(self, db)
  if self.release.mode ~= "migrate" or self.release.options.backfill == "later" then return end
  local m = new_migrator(self, db)
  local ok, err = pcall(m.run_backfills, m, {
    stop = ngx.worker.exiting, on_event = self.release.on_event,
  })
  if not ok and not errors.is(err, "interrupted") then log.write("error", tostring(err)) end
end

local function attempt(self, db)
  local version, another = releases.version(db, self.release)
  self.store:say { version = version }
  if another then error(another, 0) end
  if self.release.mode == "migrate" then
    migrate(self, db)
    version = releases.version(db, self.release)
    -- perhaps not all of it is done
    if ngx.worker.exiting() then return self.store:report({}, { version = version }) end
  end
  check_reached(self, version)
  settle(self, version)
  fill(self, db)
end

--- A wait for the lock, or for a server that is gone, ends with the worker; a migration does not.
local function leave(self)
  return function() return not self.running and ngx.worker.exiting() end
end

local function connect_and_attempt(self)
  if self.outdated then self.release = releases.read(self.given) end
  self.outdated = false
  local db = M.connect(self.release.database, leave(self))
  local ok, err = pcall(attempt, self, db)
  db:close()
  if not ok then error(err, 0) end
end

-- ---- failures ----------------------------------------------------------------

local function is_passing(self, err)
  return self.release.mode == "check" or errors.is(err, "connect") or errors.is(err, "lock")
end

--- The failure that counts: of the folder as it is, and not before this worker started. Else
-- perhaps somebody has mended it.
local function last_failure(self)
  local last = self.store.known
  local counts = last.failed_clock and last.failed_clock >= self.started and last.seen == self.seen
  return counts and last or nil
end

--- Remember a failure, and when to try again: later each time.
local function fail(self, err)
  local last = last_failure(self)
  local attempts = last and last.attempts + 1 or 1
  local longest = is_passing(self, err) and LAST_RETRY_SOON or LAST_RETRY
  local pause = math.min(FIRST_RETRY * 2 ^ (attempts - 1), longest) * (0.75 + core.random() / 2)
  self.store:report({}, {
    message = tostring(err), migration = errors.is(err) and err.migration or false,
    attempts = attempts, failed_at = ngx.now(), retry_at = ngx.now() + pause,
    failed_clock = core.now(), retry_clock = core.now() + pause, seen = self.seen,
  })
  log.write(self.release.mode == "check" and "warn" or "error",
    ("%s\npgmig tries again in %.1f s"):format(tostring(err), pause))
end

--- See whether the folder has changed.
local function look_at_folder(self)
  local began = core.now()
  if self.look_at and began < self.look_at then return end
  local seen = releases.stamp(self.release, driver.breathe)
  self.outdated = self.outdated or self.seen ~= nil and seen ~= self.seen
  self.seen = seen
  self.look_at = core.now() + math.max(FOLDER_PAUSE, FOLDER_SHARE * (core.now() - began))
end

--- Whether an attempt is to be made: the first one, one whose time has come, or of other files.
local function is_due(self)
  look_at_folder(self)
  local last = last_failure(self)
  return not last or core.now() >= last.retry_clock
end

local function try(self)
  self.running, self.began = false, core.now()
  if not last_failure(self) then self.store:say(no_failure) end
  local ok, err = pcall(connect_and_attempt, self)
  if ok then return end
  if errors.is(err, "interrupted") then return self.store:report {} end
  fail(self, err)
end

-- ---- the background ----------------------------------------------------------

local function is_over(self) return self.ready or ngx.worker.exiting() end

--- Try until the schema is ready, while the others see that this worker lives. What naps keeps a
-- worker that is to end alive, which a thread's work does not.
local function work(self)
  local over = false
  ngx.thread.spawn(function()
    while not over do
      self.store:renew()
      ngx.sleep(PAUSE)
    end
  end)
  log.guard(function()
    while not is_over(self) and self.store:leads() do
      if is_due(self) then try(self) else ngx.sleep(PAUSE) end
    end
  end)
  over = true
  self.store:resign()
end

--- Take over that another worker has found the schema ready, in a look that began after this one
-- started: one from before a reload, which may follow on a change of the database, does not count.
local function take_over(self)
  local found = self.store:read()
  if found.settled ~= self.release.terms or found.settled_at < self.started then return end
  self.store:remember(found)
  self.release.wanted = found.wanted -- by the folder as it was then
  self.ready = true
end

local function stand_by(self)
  while not is_over(self) do
    take_over(self)
    if not self.ready and self.store:elect() then work(self) end
    if not is_over(self) then ngx.sleep(PAUSE) end
  end
end

--- Begin, in the background.
-- @param store of pgmig.nginx.store
-- @param release of pgmig.nginx.release
-- @param given the options that it was read from
-- @return the watch: { store, release, ready = whether this worker has seen the schema ready }
-- @raise a text
function M.start(store, release, given)
  local self = { store = store, release = release, given = given, started = core.now() }
  local ok, why = ngx.timer.at(0, function(premature)
    if not premature then log.guard(stand_by, self) end
  end)
  if not ok then error("could not create a timer: " .. tostring(why), 0) end
  return self
end

return M
