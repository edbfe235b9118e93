--- Inside OpenResty and nginx: migrate without holding a worker up, and let no request through
-- before the schema is ready (docs/nginx.md).
--
--     init_worker_by_lua_block { require("pgmig.nginx").setup { dir = "migrations" } }
--     access_by_lua_block { require("pgmig.nginx").gate() }
--     exit_worker_by_lua_block { require("pgmig.nginx").on_exit() }
--
-- @module pgmig.nginx
local checking = require "pgmig.nginx.check"
local dashboards = require "pgmig.nginx.dashboard"
local driver = require "pgmig.nginx.driver"
local json = require "pgmig.nginx.json"
local log = require "pgmig.nginx.log"
local releases = require "pgmig.nginx.release"
local reports = require "pgmig.nginx.report"
local stores = require "pgmig.nginx.store"
local worker = require "pgmig.nginx.worker"

local M = {}

local store, release -- of this worker, after `setup`
local ready = false -- the schema has been seen to be as the release wants it
local broken = "setup was not called in this worker (lua_code_cache must be on)"

-- What says where the database is, when `database` does not; nginx hides all of it.
local environment = { "DATABASE_URL", "PGHOST", "PGHOSTADDR", "PGDATABASE", "PGSERVICE" }

-- ---- init_worker_by_lua --------------------------------------------------------

local function check_environment()
  for _, name in ipairs(environment) do
    if os.getenv(name) then return end
  end
  log.write("warn", "no database is named: give setup `database`, or let nginx keep the variable, "
    .. "outside of the http block: env DATABASE_URL;")
end

local function begin(options)
  release = releases.read(options)
  if release.database == nil then check_environment() end
  store = stores.open(options.shm or "pgmig")
  driver.use(options.pool or "pgmig")
  worker.start(store, release)
end

--- Begin, in init_worker_by_lua: one worker of all migrates in the background, or with
-- mode = "check" only looks until somebody else has migrated. Raises nothing: what is wrong is
-- logged, and the gate stays closed.
-- @param options { database = what `pgmig.connect` takes (nil: DATABASE_URL, ...); dir = folder or
--   list of them, relative ones below nginx's prefix; target = the version that this release wants
--   (nil: the folder's newest); mode = "migrate" or "check"; shm = "pgmig", the lua_shared_dict;
--   pool = "pgmig", the thread_pool; on_event = fn(event), see pgmig.migrator; and its options
--   table, hooks, naming, format (not "auto"), placeholders, shared, policy, strict, lock_timeout,
--   lock_wait, retries, reconnect, drift_check, pipeline }
function M.setup(options)
  if not broken then return log.write("error", "setup was called before in this worker") end
  local ok, err = log.guard(begin, options)
  broken = not ok and tostring(err) or nil
end

-- ---- requests ------------------------------------------------------------------

local function refuse()
  local failure = store and store:failure()
  local wait = failure and math.ceil(failure.retry_at - ngx.now()) or 1
  ngx.status = ngx.HTTP_SERVICE_UNAVAILABLE
  ngx.header["Retry-After"] = math.max(wait, 1)
  ngx.header["Content-Type"] = "application/json"
  ngx.header["Cache-Control"] = "no-store"
  ngx.say(reports.refusal(store, release))
  return ngx.exit(ngx.HTTP_SERVICE_UNAVAILABLE)
end

--- Let a request pass when the schema is at the wanted version or above, in access_by_lua; else
-- answer it with 503, Retry-After and a small JSON body.
function M.gate()
  if ready then return end
  ready = not broken and store:reached(release.wanted)
  if not ready then return refuse() end
end

--- Answer with where the schema stands, as JSON, in content_by_lua. Asks no database.
function M.status()
  ngx.header["Content-Type"] = "application/json"
  ngx.header["Cache-Control"] = "no-store"
  ngx.say(json.encode(reports.status(store, release, broken)))
end

--- Answer with a page for people, in content_by_lua. It shows names, messages and queries: restrict
-- who may see it.
function M.dashboard() return dashboards.serve(store, release, broken) end

-- ---- init_by_lua, exit_worker_by_lua ------------------------------------------------

--- Look, in init_by_lua, whether the schema is as wanted. Reads only; waits.
-- @param options as of `setup`; refuse = true: raise when it is not, so that nginx does not start
-- @return whether it is
-- @raise a text
function M.check(options) return checking.check(options) end

--- In exit_worker_by_lua: cancel what is under way, and let go of the lock. A worker that ends
-- gracefully has finished before.
function M.on_exit() log.guard(driver.abort) end

return M
