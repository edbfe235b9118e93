--- What the workers of one nginx share: a dictionary (`lua_shared_dict`). It outlives reloads, so
-- it keeps the version that the schema has, not whether that is enough.
local core = require "pgmig.core"
local errors = require "pgmig.errors"

local M = {}
local store = {}
store.__index = store

local PREFIX = "pgmig:" -- the dictionary may serve others too
local TTL = 2 -- seconds that a migrator may be silent
local MESSAGE_LIMIT = 4000 -- bytes

--- Open the dictionary.
-- @raise kind "usage" when there is none
function M.open(name)
  local dict = ngx.shared[name]
  if dict then return setmetatable({ dict = dict }, store) end
  errors.raise("usage", ("there is no shared dictionary %s"):format(name), {
    hint = ("add to the http block: lua_shared_dict %s 1m;"):format(name),
  })
end

function store:get(key) return self.dict:get(PREFIX .. key) end

--- Set a value; nil removes it.
function store:set(key, value)
  if type(value) == "string" then value = value:sub(1, MESSAGE_LIMIT) end
  local ok, why = self.dict:set(PREFIX .. key, value)
  if not ok then
    ngx.log(ngx.ERR, "pgmig: the shared dictionary does not take ", key, ": ", why)
  end
end

--- Whether the schema has reached a version.
function store:reached(wanted)
  local version = self:get "version"
  return version ~= nil and core.compare(version, wanted) >= 0
end

-- ---- who migrates ------------------------------------------------------------

--- Become the one worker that works on the schema: true when it is this one.
function store:elect()
  return self.dict:add(PREFIX .. "migrator", ngx.worker.pid(), TTL) == true
end

--- Stay it.
function store:renew() self.dict:set(PREFIX .. "migrator", ngx.worker.pid(), TTL) end

--- Let another worker be it.
function store:resign()
  if self:get "migrator" == ngx.worker.pid() then self:set("migrator", nil) end
end

-- ---- what it does ------------------------------------------------------------

local progress = { "phase", "running", "since", "done", "total", "holder" }

--- Say what the migrator does: fields phase ("migrating", "waiting"), running = label, since =
-- seconds, done, total, holder; what is not given is forgotten.
function store:report(fields)
  for _, key in ipairs(progress) do self:set(key, fields[key]) end
end

--- Say how it failed.
-- @param failure { message, migration, at and retry_at in seconds, attempts }
function store:fail(failure)
  for key, value in pairs(failure) do self:set("failure." .. key, value) end
  self:set("failure.migration", failure.migration)
end

--- How it failed last, with these fields; nil.
function store:failure()
  if not self:get "failure.at" then return nil end
  local failure = {}
  for _, key in ipairs { "message", "migration", "at", "retry_at", "attempts" } do
    failure[key] = self:get("failure." .. key)
  end
  return failure
end

--- Forget how it failed.
function store:succeed() self:set("failure.at", nil) end

--- What is known, for people and programs.
-- @return { version, phase, running, since, done, total, holder, migrator = pid, failure }
function store:snapshot()
  local found = { version = self:get "version", migrator = self:get "migrator" }
  for _, key in ipairs(progress) do found[key] = found.migrator and self:get(key) or nil end
  found.failure = self:failure()
  return found
end

return M
