--- Host names, looked up before libpq sees them: it would wait for the answer.
local core = require "pgmig.core"
local errors = require "pgmig.errors"

local M = {}

--- The parts of a list with commas; an empty one stands for the default.
local function split(list)
  local parts = {}
  for part in ((list or "") .. ","):gmatch "([^,]*)," do parts[#parts + 1] = part end
  return parts
end

--- Whether it has to be looked up: it is neither a socket's folder nor an address.
local function is_name(host)
  return host ~= "" and not host:find "^[/@]" and not host:find "^[%d.]+$" and not host:find ":"
end

local function addresses(host, resolve)
  local list, why, hint = resolve(host)
  if list and list[1] then return list end
  errors.raise("connect", ("cannot look up the host %s: %s"):format(host, why or "no address"), {
    hint = hint,
  })
end

--- Every host with each of its addresses: libpq tries them in this order.
-- @return three lists
local function expand(hosts, given, ports, resolve)
  local all = { host = {}, hostaddr = {}, port = {} }
  for i, host in ipairs(hosts) do
    local address = given[i] or ""
    local list = address == "" and is_name(host) and addresses(host, resolve) or { address }
    for _, one in ipairs(list) do
      table.insert(all.host, host)
      table.insert(all.hostaddr, one)
      table.insert(all.port, ports[i] or ports[1])
    end
  end
  return all
end

--- Add the addresses of the hosts that a connection names; the names stay, for TLS.
-- @param keywords libpq's key words, added to
-- @param values their values
-- @param resolve fn(name) returns a list of addresses, or nil, why and a hint
-- @param environment variables for libpq alone: names and values in turn; nil
-- @raise kind "connect" for a name that has none
function M.look_up(keywords, values, resolve, environment)
  local host, hostaddr, port = core.hosts(keywords, values, environment)
  local hosts, ports = split(host), split(port)
  if #ports > 1 and #ports ~= #hosts then return end -- libpq says so
  local any = false
  for _, one in ipairs(hosts) do any = any or is_name(one) end
  if not any then return end
  for keyword, list in pairs(expand(hosts, split(hostaddr), ports, resolve)) do
    keywords[#keywords + 1] = keyword
    values[#values + 1] = table.concat(list, ",")
  end
end

--- Where a connection would go: hosts, ports, database, user and options, as a text.
-- @param keywords libpq's key words
-- @param values their values
-- @param environment variables for libpq alone: names and values in turn; nil
-- @raise kind "usage"
function M.place(keywords, values, environment)
  local parts = {}
  for i = 1, 6 do parts[i] = select(i, core.hosts(keywords, values, environment)) or "" end
  return table.concat(parts, "\0")
end

return M
