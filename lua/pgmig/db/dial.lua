--- Connecting: to the first of several hosts that answers, each within its time, as libpq does in
-- the calls that wait.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local hosts = require "pgmig.db.hosts"
local loop = require "pgmig.db.loop"
local needed = require "pgmig.needed"

local connect_hint = needed "db.connect_hint"

local M = {}

local CONNECT_TIMEOUT = 15 -- seconds

local NO_ANSWER = "no answer in time"

--- The function that looks names up: a thread does, and the driver waits for it.
local function resolver(self, seconds)
  return self.options.resolve or function(name)
    local lookup, late = core.lookup(name), core.now() + seconds
    while not lookup:is_over() and core.now() < late do
      local signal = self.wait(lookup, "r", late)
      if signal then loop.raise_interrupted(signal) end
    end
    if lookup:is_over() then return lookup:addresses() end
    return nil, NO_ANSWER
  end
end

--- How many seconds each host has.
local function seconds_of(self, known)
  local seconds = self.connect_timeout or tonumber(known[7]) or 0
  return seconds > 0 and seconds or CONNECT_TIMEOUT
end

-- ---- one attempt -------------------------------------------------------------

local function peer(handle)
  local host, address, port = handle:peer()
  return { host = host, hostaddr = address, port = port }
end

--- Whether an entry of a list is the host that libpq is at.
local function is_same(entry, at)
  return (entry.port == at.port or entry.port == "") and entry.hostaddr == at.hostaddr
    and (entry.host == at.host or entry.hostaddr ~= "")
end

--- Begin to connect, and go on until that has succeeded or failed.
-- @param seconds for each host that libpq goes on to
-- @return whether it has
-- @return what failed
-- @return the host that libpq was at
local function attempt(self, keywords, values, environment, seconds, deadline)
  self.handle = core.open(keywords, values, environment)
  local limit, at = { at = 0 }, nil
  local function observe()
    local now_at = peer(self.handle)
    if at and is_same(at, now_at) then return end
    at = now_at
    limit.at = math.min(core.now() + seconds, deadline or math.huge)
  end
  self.connecting = true
  local ok, err = pcall(function()
    self:run(limit, observe)
    self:finish()
  end)
  self.connecting = false
  return ok, err, at
end

--- Leave a host out; false when it is not among those of a list, or the last one.
local function leave_out(list, host)
  local before = #list
  for i = #list, 1, -1 do
    if is_same(list[i], host) then table.remove(list, i) end
  end
  list.shortened = true
  return #list > 0 and #list < before
end

-- ---- all hosts -----------------------------------------------------------------

--- The server that was found, as libpq's parameters.
local function peer_parameters(self, known)
  local found = peer(self.handle)
  if found.hostaddr ~= "" then return found end
  found.hostaddr = nil
  return not known[2] and found or nil -- libpq takes a blank address for none
end

--- What else is to be said of a failure.
local function complete(err, notes)
  if not errors.is(err) then return err end
  if errors.is(err, "sql") then err.kind = "connect" end
  if err.kind ~= "connect" then return err end
  err.hint = err.hint or connect_hint.of(err.message)
  local lines = { err.detail }
  for _, note in ipairs(notes) do lines[#lines + 1] = note end
  err.detail = lines[1] and table.concat(lines, "\n")
  return err
end

local function name_of(host)
  local name = host.host ~= "" and host.host or host.hostaddr
  return ("%s, port %s"):format(name, host.port)
end

--- Connect a new handle and make it the connection's. libpq goes from host to host by itself, but
-- for one that is silent: it is left out, and the others are tried again.
-- @param self the connection
-- @param keywords libpq's key words
-- @param values their values
-- @param environment variables for libpq alone: names and values in turn; nil
-- @param deadline a time of `core.now()`; nil: each host has its time
-- @raise kinds "connect", "usage", "interrupted"
function M.open(self, keywords, values, environment, deadline)
  local known = { core.hosts(keywords, values, environment) }
  local seconds = seconds_of(self, known)
  local list, left_out = hosts.list(known, resolver(self, seconds))
  local notes = { left_out }
  while true do
    local k, v = hosts.with(keywords, values, list)
    local ok, err, host = attempt(self, k, v, environment, seconds, deadline)
    if ok then break end
    self.handle:close()
    local silent = errors.is(err) and err.code == loop.NO_ANSWER
    local others = silent and list and leave_out(list, host)
    if not others or core.now() >= (deadline or math.huge) then error(complete(err, notes), 0) end
    notes[#notes + 1] = ("%s: %s"):format(name_of(host), NO_ANSWER)
  end
  self.pid = self.handle:backend_pid() -- libpq forgets it with the connection
  self.tag = self.handle:session_tag()
  self.served = nil -- by another process: see pgmig.db.orphan
  self.peer = peer_parameters(self, known)
end

return M
