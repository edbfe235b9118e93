--- The page for people: what it shows is read here, at most once a second in each worker.
local core = require "pgmig.core"
local ledger = require "pgmig.state.ledger"
local lock = require "pgmig.run.lock"
local log = require "pgmig.nginx.log"
local migrator = require "pgmig.migrator"
local page = require "pgmig.nginx.page"
local reports = require "pgmig.nginx.report"
local worker = require "pgmig.nginx.worker"

local M = {}

local KEPT = 1 -- seconds that an answer of the database is good for
local TIMEOUT = 5 -- seconds for it to answer
local PAUSE = 0.05 -- seconds between two looks at what another request is reading
local READING = 30 -- seconds that reading may take
local HISTORY = 2000 -- events that are read

local kept, kept_at = nil, 0
local read_until = 0 -- when a request that reads, if it has not come back, reads no more

-- ---- reading -----------------------------------------------------------------

local function never() return false end

local function connect(database)
  local options = { connect_timeout = TIMEOUT, response_timeout = TIMEOUT }
  if type(database) ~= "table" then database = { url = database } end
  for key, value in pairs(database) do options[key] = value end
  options.application_name = "pgmig dashboard"
  return worker.connect(options, never)
end

--- How long each migration took, and the last failure.
local function read_history(m, found)
  found.durations = {}
  for _, event in ipairs(m:history(HISTORY)) do
    if event.event == "up" then found.durations[event.id or event.name] = event.duration end
    if event.event == "failed" then found.last_failure = event end
  end
end

--- Files and tables compared; a release without a folder knows the tables only.
local function read_status(db, release)
  if release.dir then
    local options = {}
    for _, key in ipairs { "table", "naming", "format", "placeholders", "templates",
      "environment", "render", "shared" } do
      options[key] = release.options[key]
    end
    local m = migrator.new(db, release.dir, options)
    local found = m:status()
    read_history(m, found)
    return found, m.ledger
  end
  local tracking = ledger.new(release.options.table or "schema_migrations")
  tracking:probe(db)
  local rows, applied = tracking:list(db), {}
  for i = 1, rows.count do
    applied[i] = {
      id = rows.id[i], name = rows.name[i], label = rows.id[i] .. "_" .. rows.name[i],
      applied_at = rows.applied_at[i], applied_at_epoch = rows.applied_at_epoch[i],
    }
  end
  return { applied = applied, pending = {}, problems = {}, durations = {} }, tracking
end

local function read_with(db, release)
  local found, tracking = read_status(db, release)
  found.holder = lock.holder(db, tracking.handle:qualified() or tracking.name)
  return found
end

local function read(release)
  local db = connect(release.database)
  local ok, result = pcall(read_with, db, release)
  db:close()
  if not ok then error(result, 0) end
  return result
end

--- What the database says, or said within the last second; or { unreachable = why }.
local function database(release)
  while core.now() < read_until do ngx.sleep(PAUSE) end
  if kept and core.now() - kept_at < KEPT then return kept end
  read_until = core.now() + READING
  local ok, result = pcall(read, release)
  read_until = 0
  if not ok then log.write("warn", "dashboard: " .. tostring(result)) end
  kept, kept_at = ok and result or { unreachable = tostring(result) }, core.now()
  return kept
end

-- ---- answering -----------------------------------------------------------------

--- Only this page's own style and script run, whatever is in its text.
local function set_headers(nonce)
  local header = ngx.header
  header["Content-Type"] = "text/html; charset=utf-8"
  header["Cache-Control"] = "no-store"
  header["Content-Security-Policy"] = ("default-src 'none'; style-src 'nonce-%s'; "
    .. "script-src 'nonce-%s'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    .. "frame-ancestors 'none'"):format(nonce, nonce)
  header["X-Content-Type-Options"] = "nosniff"
  header["Referrer-Policy"] = "no-referrer"
end

--- Serve the page; see pgmig.nginx.
function M.serve(watch, broken)
  local method = ngx.req.get_method()
  if method ~= "GET" and method ~= "HEAD" then
    ngx.header["Allow"] = "GET, HEAD"
    return ngx.exit(ngx.HTTP_NOT_ALLOWED)
  end
  local nonce = core.token()
  local status = reports.status(watch, broken)
  local found = broken and { unreachable = broken } or database(watch.release)
  set_headers(nonce)
  ngx.print(page.render(status, found, nonce))
end

return M
