--- Where the schema stands, as the workers of this nginx know it; no database is asked.
local M = {}

--- A time in seconds as ISO 8601.
function M.time(seconds) return seconds and os.date("!%Y-%m-%dT%H:%M:%SZ", seconds) end

--- The answer to a request that came too early; versions are digits.
function M.refusal(store, release)
  local version = store and store:get "version"
  local function quoted(digits) return digits and ('"%s"'):format(digits) or "null" end
  return ('{"error":"the schema is not ready","version":%s,"wanted":%s}'):format(
    quoted(version), quoted(release and release.wanted))
end

local function state_of(found, ready, mode)
  if found.phase then return found.phase end
  if ready then return "ready" end
  if found.failure then return mode == "check" and "waiting" or "failed" end
  return "starting"
end

local function running_of(found)
  if found.phase ~= "migrating" then return nil end
  return {
    migration = found.running, since = M.time(found.since), done = found.done, total = found.total,
    worker = found.migrator,
  }
end

local function failure_of(found)
  local failure = found.failure
  return failure and {
    message = failure.message, migration = failure.migration, attempts = failure.attempts,
    at = M.time(failure.at), retry_at = M.time(failure.retry_at),
  }
end

--- All that the shared dictionary says.
-- @param broken why `setup` failed; nil
-- @return { ready, state ("starting", "waiting", "migrating", "ready", "failed", "broken"), mode,
--   version, wanted, running = { migration, since, done, total, worker }, waiting_for, failure =
--   { message, migration, attempts, at, retry_at }, message = why it is broken }
function M.status(store, release, broken)
  if broken then return { ready = false, state = "broken", message = broken } end
  local found, ready = store:snapshot(), store:reached(release.wanted)
  return {
    ready = ready, state = state_of(found, ready, release.mode), mode = release.mode,
    version = found.version, wanted = release.wanted, running = running_of(found),
    waiting_for = found.holder, failure = failure_of(found),
  }
end

return M
