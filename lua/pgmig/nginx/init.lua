--- Inside OpenResty and nginx: migrate without blocking a worker, and let no request pass before
-- the schema is ready (docs/nginx.md).
--
--     init_worker_by_lua_block { require("pgmig.nginx").setup { dir = "migrations" } }
--     access_by_lua_block { require("pgmig.nginx").gate() }
--     exit_worker_by_lua_block { require("pgmig.nginx").on_exit() }
--
-- @module pgmig.nginx
require "pgmig.c_module"
local checking = require "pgmig.nginx.check"
local dashboards = require "pgmig.nginx.dashboard"
local driver = require "pgmig.nginx.driver"
local json = require "pgmig.nginx.json"
local log = require "pgmig.nginx.log"
local phases = require "pgmig.nginx.phase"
local releases = require "pgmig.nginx.release"
local reports = require "pgmig.nginx.report"
local stores = require "pgmig.nginx.store"
local worker = require "pgmig.nginx.worker"

local M = {}

local watch -- of this worker, after `setup` (pgmig.nginx.worker)
local broken = "setup was not called in this worker (lua_code_cache must be on)"

-- What says where the database is, when `database` does not; nginx hides all of it.
local environment = { "DATABASE_URL", "PGHOST", "PGHOSTADDR", "PGDATABASE", "PGSERVICE" }

-- ---- init_worker_by_lua --------------------------------------------------------

local function check_environment()
  for _, name in ipairs(environment) do
    if os.getenv(name) then return end
  end
  log.write("warn", "no database is configured: pass `database` to setup, or let nginx keep the "
    .. "variable, outside the http block: env DATABASE_URL;")
end

local function begin(options)
  phases.check("setup", "init_worker", "timer")
  local release = releases.read(options)
  if release.database == nil then check_environment() end
  local store = stores.open(options.shm or "pgmig", release.place)
  driver.use(options.pool or "pgmig")
  watch = worker.start(store, release, options)
end

--- A gate that looks at one of two databases would let requests of the other through.
local function begin_again(options)
  phases.check("setup", "init_worker", "timer")
  if releases.read(options).place ~= watch.release.place then
    broken = "setup was called for two databases, tables or folders: one nginx can have only one"
  end
  error("setup was already called in this worker", 0)
end

--- Start, in init_worker_by_lua: one of the workers migrates in the background, or with
-- mode = "check" only waits until something else has migrated. Raises nothing: errors are
-- logged, and the gate stays closed.
-- @param options { database = what `pgmig.connect` takes (nil: DATABASE_URL, ...); dir = folder or
--   list of them, relative to nginx's prefix; to = the version that this release requires, also
--   written target (nil: the folder's newest); mode = "migrate" or "check"; shm = "pgmig", the
--   lua_shared_dict; pool = "pgmig", the thread_pool; on_event = fn(event), see pgmig.migrator; and
--   its options table, hooks, naming, format (not "auto"), placeholders, templates, environment,
--   render, shared, policy, strict, lock_timeout, lock_wait, retries, reconnect, drift_check,
--   syntax_check, pipeline, backfill, throttle }
function M.setup(options)
  if watch then return log.guard(begin_again, options) end
  local ok, err = log.guard(begin, options)
  broken = not ok and tostring(err) or nil
end

-- ---- requests ------------------------------------------------------------------

local function refuse()
  local found = watch and watch.store:read() or {}
  local wait = found.retry_at and math.ceil(found.retry_at - ngx.now()) or 1
  ngx.status = ngx.HTTP_SERVICE_UNAVAILABLE
  ngx.header["Retry-After"] = math.max(wait, 1)
  ngx.header["Content-Type"] = "application/json"
  ngx.header["Cache-Control"] = "no-store"
  ngx.say(reports.refusal(watch, found))
  return ngx.exit(ngx.HTTP_SERVICE_UNAVAILABLE)
end

--- Let a request pass if the schema is at the required version or above, in access_by_lua;
-- otherwise respond with 503, Retry-After and a small JSON body.
function M.gate()
  if watch and watch.ready and not broken then return end
  phases.check("gate", "access", "rewrite", "content")
  if broken or not reports.ready(watch) then return refuse() end
end

--- Respond with the state of the schema as JSON, in content_by_lua. Does not query the database.
function M.status()
  ngx.header["Content-Type"] = "application/json"
  ngx.header["Cache-Control"] = "no-store"
  ngx.say(json.encode(reports.status(watch, broken)))
end

--- Respond with an HTML page, in content_by_lua. It shows names, messages and queries: restrict
-- access to it.
function M.dashboard() return dashboards.serve(watch, broken) end

-- ---- init_by_lua, exit_worker_by_lua ------------------------------------------------

--- Check, in init_by_lua, whether the schema is at the required version. Only reads; blocks.
-- @param options as of `setup`; refuse = true: raise if it is not, so that nginx does not start
-- @return whether it is
-- @raise a string
function M.check(options) return checking.check(options) end

--- In exit_worker_by_lua: cancel what is running, and release the lock. A worker that ends
-- gracefully has finished before that.
function M.on_exit()
  log.guard(function()
    phases.check("on_exit", "exit_worker")
    driver.abort()
    if watch then watch.store:resign() end
  end)
end

return M
