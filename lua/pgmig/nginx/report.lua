--- Where the schema stands, as the workers of this nginx know it; no database is asked.
local core = require "pgmig.core"

local M = {}

--- A time in seconds as ISO 8601.
local function time(seconds) return seconds and os.date("!%Y-%m-%dT%H:%M:%SZ", seconds) end

--- Whether the schema has what a worker's release wants: this worker has seen it, or another one
-- has, before or after a reload.
-- @param watch of pgmig.nginx.worker
-- @param found what the store says; nil: asked here
function M.ready(watch, found)
  if watch.ready then return true end
  local version = (found or watch.store:read()).version
  return version ~= nil and core.compare(version, watch.release.wanted) >= 0
end

--- The answer to a request that came too early; versions are digits.
-- @param watch of pgmig.nginx.worker; nil: nothing is set up
-- @param found what the store says
function M.refusal(watch, found)
  local function quoted(digits) return digits and ('"%s"'):format(digits) or "null" end
  return ('{"error":"the schema is not ready","version":%s,"wanted":%s}'):format(
    quoted(found.version), quoted(watch and watch.release.wanted))
end

local function state_of(found, ready, mode)
  if ready then return "ready" end
  if found.phase then return found.phase end
  if found.message then return mode == "check" and "waiting" or "failed" end
  return "starting"
end

local function running_of(found)
  if found.phase ~= "migrating" then return nil end
  return {
    migration = found.running, since = time(found.since), done = found.done, total = found.total,
    worker = found.worker,
  }
end

local function failure_of(found)
  return found.message and {
    message = found.message, migration = found.migration, attempts = found.attempts,
    at = time(found.failed_at), retry_at = time(found.retry_at),
  }
end

--- All that is known. The gate is open exactly when the state is "ready".
-- @param watch of pgmig.nginx.worker
-- @param broken why nothing is set up; nil
-- @return { ready, state ("starting", "waiting", "migrating", "ready", "failed", "broken"), mode,
--   version, wanted, running = { migration, since, done, total, worker }, waiting_for, failure =
--   { message, migration, attempts, at, retry_at }, message = why it is broken }
function M.status(watch, broken)
  if broken then return { ready = false, state = "broken", message = broken } end
  local found = watch.store:read()
  local ready = M.ready(watch, found)
  return {
    ready = ready, state = state_of(found, ready, watch.release.mode), mode = watch.release.mode,
    version = found.version, wanted = watch.release.wanted, running = running_of(found),
    waiting_for = found.holder, failure = failure_of(found),
  }
end

return M
