--- What the workers of one nginx share: a dictionary (`lua_shared_dict`). What is known is one
-- value in it, so that all of it changes at once; one worker, the migrator, writes it. It outlives
-- reloads, so it belongs to a place (pgmig.nginx.release): another database or folder has its own.
-- The dictionary may serve others too and lose everything at any moment: a worker that has seen the
-- schema ready remembers that itself, and the migrator writes again what has gone.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local log = require "pgmig.nginx.log"

local M = {}
local store = {}
store.__index = store

local TTL = 2 -- seconds that a migrator may be silent
local LIMITS = { 4000, 200 } -- bytes of a text; the second where there is little room

-- What the migrator does; it goes with the migrator.
local progress = { "phase", "running", "since", "done", "total", "holder", "worker" }

local numbers = {
  settled_at = true, since = true, done = true, total = true, worker = true, attempts = true,
  failed_at = true, retry_at = true, failed_clock = true, retry_clock = true,
}

--- Open the dictionary.
-- @param name of it
-- @param place which database and folder this is about
-- @raise kind "usage" when there is none
function M.open(name, place)
  local dict = ngx.shared[name]
  if not dict then
    errors.raise("usage", ("there is no shared dictionary %s"):format(name), {
      hint = ("add to the http block: lua_shared_dict %s 1m;"):format(name),
    })
  end
  return setmetatable({
    dict = dict, token = core.token(), known = {},
    state_key = ("pgmig:%s:state"):format(place), role_key = ("pgmig:%s:migrator"):format(place),
  }, store)
end

-- ---- the value -----------------------------------------------------------------

--- A text of at most so many bytes, without a broken character at its end.
local function cut(text, limit)
  if #text <= limit then return text end
  return (text:sub(1, limit):gsub("[\192-\255][\128-\191]*$", ""))
end

local function encode(state, limit)
  local fields = {}
  for key, value in pairs(state) do
    fields[key] = type(value) == "string" and cut(value, limit) or ("%.3f"):format(value)
  end
  return ngx.encode_args(fields)
end

local function decode(text)
  local state = ngx.decode_args(text, 0)
  for key, value in pairs(state) do
    if numbers[key] then state[key] = tonumber(value) end
  end
  return state
end

--- Note once that the dictionary does not do its part; each worker goes on by itself.
local function complain(self, why)
  if self.complained then return end
  self.complained = true
  log.write("error", ("the shared dictionary accepts no entries: %s; give pgmig one of its own: "
    .. "lua_shared_dict pgmig 1m;"):format(tostring(why)))
end

local function write(self)
  local why
  for _, limit in ipairs(LIMITS) do
    local ok
    ok, why = self.dict:set(self.state_key, encode(self.known, limit))
    if ok then return end
  end
  complain(self, why)
end

--- What the dictionary says, else what this worker knew last; a table of its own.
local function load(self)
  local text = self.dict:get(self.state_key)
  if type(text) == "string" then return decode(text) end
  local copy = {}
  for key, value in pairs(self.known) do copy[key] = value end
  return copy
end

-- ---- who migrates ------------------------------------------------------------

--- Become the one worker that works on the schema: true when it is this one.
function store:elect()
  local ok, why = self.dict:add(self.role_key, self.token, TTL)
  if not ok and why == "exists" then return false end
  if not ok then complain(self, why) end
  self.known = load(self)
  return true
end

local function is_mine(self)
  local owner = self.dict:get(self.role_key)
  return owner == nil or owner == self.token
end

--- Whether this worker is still the one: it may have slept for too long.
function store:leads() return is_mine(self) end

--- Stay it, and write again what the dictionary has lost.
function store:renew()
  if not is_mine(self) then return end
  self.dict:set(self.role_key, self.token, TTL)
  if not self.dict:get(self.state_key) then write(self) end
end

--- Let another worker be it.
function store:resign()
  if self.dict:get(self.role_key) == self.token then self.dict:delete(self.role_key) end
end

-- ---- what is known ---------------------------------------------------------------

--- Say something, as the migrator: fields of `read`; false: it is true no more.
function store:say(fields)
  for key, value in pairs(fields) do self.known[key] = value or nil end
  if is_mine(self) then write(self) end
end

--- Say what the migrator does: phase ("migrating", "waiting"), running = label, since = seconds,
-- done, total, holder; what is not given is true no more. `more`: other fields of `read`; nil.
function store:report(fields, more)
  local changes = {}
  for _, key in ipairs(progress) do changes[key] = fields[key] or false end
  for key, value in pairs(more or {}) do changes[key] = value end
  changes.worker = fields.phase and ngx.worker.pid() or false
  self:say(changes)
end

--- Remember what was read, in case that the dictionary loses it.
function store:remember(found) self.known = found end

--- What is known.
-- @return { version; settled = for which release the schema was found ready, with wanted = its
--   version and settled_at = when that look began; phase, running, since, done, total, holder,
--   worker = pid; message, migration, attempts, failed_at, retry_at of a failure, failed_clock and
--   retry_clock = the same by `core.now()`, seen = the folder then (pgmig.nginx.release) }
function store:read()
  local state = load(self)
  if self.dict:get(self.role_key) then return state end
  for _, key in ipairs(progress) do state[key] = nil end
  return state
end

return M
