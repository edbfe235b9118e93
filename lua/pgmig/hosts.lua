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

--- The addresses of one host: what is given, what its name leads to, or none to be found.
-- @param failures noted there: { message, hint }
local function addresses(host, given, resolve, failures)
  if given ~= "" or not is_name(host) then return { given } end
  local list, why, hint = resolve(host)
  if list and list[1] then return list end
  failures[#failures + 1] = {
    message = ("cannot look up the host %s: %s"):format(host, why or "no address"), hint = hint,
  }
  return {}
end

--- Every host with each of its addresses: libpq tries them in this order.
-- @return three lists
local function expand(hosts, given, ports, resolve, failures)
  local all = { host = {}, hostaddr = {}, port = {} }
  for i, host in ipairs(hosts) do
    for _, one in ipairs(addresses(host, given[i] or "", resolve, failures)) do
      table.insert(all.host, host)
      table.insert(all.hostaddr, one)
      table.insert(all.port, ports[i] or ports[1])
    end
  end
  return all
end

--- Whether libpq refuses a list that goes with the hosts, and says so.
local function is_odd(list, hosts) return #list > 1 and #list ~= #hosts end

local function messages(failures)
  local list = {}
  for i, failure in ipairs(failures) do list[i] = failure.message end
  return table.concat(list, "; ")
end

--- Add the addresses of the hosts that a connection names; the names stay, for TLS. One that has
-- none is left out, where there are others.
-- @param keywords libpq's key words, added to
-- @param values their values
-- @param resolve fn(name) returns a list of addresses, or nil, why and a hint
-- @param environment variables for libpq alone: names and values in turn; nil
-- @return which hosts have no address, as a sentence; nil
-- @raise kind "connect" when none has one
function M.look_up(keywords, values, resolve, environment)
  local host, hostaddr, port = core.hosts(keywords, values, environment)
  local hosts, given, ports = split(host), split(hostaddr), split(port)
  if is_odd(ports, hosts) or is_odd(given, hosts) then return nil end
  local any, failures = false, {}
  for _, one in ipairs(hosts) do any = any or is_name(one) end
  if not any then return nil end
  local all = expand(hosts, given, ports, resolve, failures)
  if not all.host[1] then
    errors.raise("connect", messages(failures), { hint = failures[1].hint })
  end
  for keyword, list in pairs(all) do
    keywords[#keywords + 1] = keyword
    values[#values + 1] = table.concat(list, ",")
  end
  return failures[1] and messages(failures)
end

--- Where a connection would go: hosts, ports, database, user and options, as a text.
-- @param keywords libpq's key words
-- @param values their values
-- @param environment variables for libpq alone: names and values in turn; nil
-- @raise kind "usage"
function M.place(keywords, values, environment)
  local parts = { core.hosts(keywords, values, environment) }
  for i = 1, 6 do parts[i] = parts[i] or "" end
  return table.concat(parts, "\0")
end

return M
