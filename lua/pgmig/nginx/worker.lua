--- What a worker does in the background until the schema is as its release wants it: one worker
-- of all is elected and works, the others stand by.
local connection = require "pgmig.connection"
local core = require "pgmig.core"
local driver = require "pgmig.nginx.driver"
local errors = require "pgmig.errors"
local log = require "pgmig.nginx.log"
local migrator = require "pgmig.migrator"
local releases = require "pgmig.nginx.release"

local M = {}
local PAUSE = 0.25 -- seconds between two looks
local FIRST_RETRY = 1 -- seconds
local LAST_RETRY = 60 -- seconds; a file that is wrong stays so until somebody deploys
local LAST_RETRY_SOON = 5 -- seconds, for what passes: no server, a busy lock, mode = "check"

-- ---- what happens ------------------------------------------------------------

--- Tell how far the schema has come; the wanted version waits for the end of the run.
local function note_version(self, id)
  local below = id and core.compare(id, self.release.wanted) < 0
  if below and not self.store:reached(id) then self.store:set("version", id) end
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
    if event.type == "applied" then note_version(self, event.migration.id) end
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
  local own = { wait = driver.waiter(leave), resolve = driver.resolve, breathe = driver.breathe }
  for key, value in pairs(options) do own[key] = value end
  return connection.connect(own)
end

-- ---- one attempt -------------------------------------------------------------

--- What ends the run is logged once, with what happens next.
local function log_of_run(level, message)
  if level ~= "error" then log.write(level, message) end
end

--- A worker that ends finishes the migration that is under way, and begins no other.
local function migrate(self, db)
  local release = self.release
  local options = { log = log_of_run }
  for key, value in pairs(release.options) do options[key] = value end
  local m = migrator.new(db, release.dir, options)
  local plan = m:plan { target = release.target }
  self.done, self.total = 0, #plan
  m:run(plan, {
    on_event = function(event) note(self, event) end, stop = ngx.worker.exiting,
    unattended = true,
  })
end

local function check_reached(self)
  if self.store:reached(self.release.wanted) then return end
  errors.raise("plan", ("the schema is at version %s, and %s is wanted"):format(
    self.store:get "version", self.release.wanted))
end

local function attempt(self, db)
  self.store:set("version", releases.version(db, self.release))
  if self.release.mode == "migrate" then
    migrate(self, db)
    self.store:set("version", releases.version(db, self.release))
    if ngx.worker.exiting() then return end -- perhaps not all of it is done
  end
  check_reached(self)
  self.store:set("settled", self.release.id)
  self.store:succeed()
  log.write("info", ("the schema is ready, at version %s"):format(self.store:get "version"))
end

--- A wait for the lock, or for a server that is gone, ends with the worker; a migration does not.
local function leave(self)
  return function() return not self.running and ngx.worker.exiting() end
end

local function connect_and_attempt(self)
  self.running = false
  local db = M.connect(self.release.database, leave(self))
  local ok, err = pcall(attempt, self, db)
  db:close()
  if not ok then error(err, 0) end
end

-- ---- failures ----------------------------------------------------------------

local function is_passing(self, err)
  return self.release.mode == "check" or errors.is(err, "connect") or errors.is(err, "lock")
end

--- The failure that counts: what was before this worker started, perhaps somebody has mended.
local function last_failure(self)
  local last = self.store:failure()
  return last and last.at >= self.started and last or nil
end

--- Remember a failure, and when to try again: later each time.
local function fail(self, err)
  local last = last_failure(self)
  local attempts = last and last.attempts + 1 or 1
  local longest = is_passing(self, err) and LAST_RETRY_SOON or LAST_RETRY
  local pause = math.min(FIRST_RETRY * 2 ^ (attempts - 1), longest) * (0.75 + core.random() / 2)
  self.store:fail {
    message = tostring(err), attempts = attempts,
    migration = errors.is(err) and err.migration or nil, at = ngx.now(),
    retry_at = ngx.now() + pause,
  }
  log.write(self.release.mode == "check" and "warn" or "error",
    ("%s\npgmig tries again in %.1f s"):format(tostring(err), pause))
end

local function is_due(self)
  local last = last_failure(self)
  return not last or ngx.now() >= last.retry_at
end

-- ---- the background ----------------------------------------------------------

--- Run a function while the others see that this worker lives. What naps keeps a worker that is
-- to end alive, which a thread's work does not.
local function elected(self, fn)
  local over = false
  ngx.thread.spawn(function()
    while not over do
      self.store:renew()
      ngx.sleep(PAUSE)
    end
  end)
  local ok, err = pcall(fn, self)
  over = true
  self.store:report {}
  if not ok and not errors.is(err, "interrupted") then fail(self, err) end
  self.store:resign()
end

local function is_settled(self) return self.store:get "settled" == self.release.id end

local function stand_by(self)
  while not is_settled(self) and not ngx.worker.exiting() do
    if is_due(self) and self.store:elect() then elected(self, connect_and_attempt) end
    ngx.sleep(PAUSE)
  end
end

--- Begin, in the background.
-- @param store of pgmig.nginx.store
-- @param release of pgmig.nginx.release
function M.start(store, release)
  local self = { store = store, release = release, started = ngx.now() }
  local ok, why = ngx.timer.at(0, function(premature)
    if not premature then log.guard(stand_by, self) end
  end)
  if not ok then log.write("error", "no timer: " .. tostring(why)) end
end

return M
