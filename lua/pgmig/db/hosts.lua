--- The hosts that a connection may go to, one by one. Names are looked up before libpq sees them:
-- it would wait for the answer, and it leaves a silent host only in calls that wait.
local core = require "pgmig.core"
local errors = require "pgmig.errors"

local M = {}

--- The parts of a list with commas; an empty one stands for the default.
local function split(list)
  local parts = {}
  for part in ((list or "") .. ","):gmatch "([^,]*)," do parts[#parts + 1] = part end
  return parts
end

local function is_socket(host) return host == "" or host:find "^[/@]" ~= nil end

local function is_address(host) return host:find "^[%d.]+$" or host:find ":" end

--- An address as libpq will tell it.
local function canonical(address)
  if not is_address(address) then return address end
  return (core.resolve(address) or { address })[1] -- asks nobody
end

--- The addresses of one host: what is given, what its name leads to, or none to be found.
-- @param failures noted there: { message, hint }
local function addresses(host, given, resolve, failures)
  if given ~= "" then return { canonical(given) } end
  if is_socket(host) then return { "" } end
  if is_address(host) then return { canonical(host) } end
  local list, why, hint = resolve(host)
  if list and list[1] then return list end
  failures[#failures + 1] = {
    message = ("could not look up host %s: %s"):format(host, why or "no address "
      .. "found"), hint = hint,
  }
  return {}
end

local function messages(failures)
  local list = {}
  for i, failure in ipairs(failures) do list[i] = failure.message end
  return table.concat(list, "; ")
end

--- Whether libpq refuses a list that goes with the hosts, and says so.
local function is_odd(list, hosts) return #list > 1 and #list ~= #hosts end

--- Every host with each of its addresses, in the order in which libpq tries them.
-- @param known what `core.hosts` returns, as a list
-- @param resolve fn(name) returns a list of addresses, or nil, why and a hint
-- @return a list of { host, hostaddr, port }, with shortened = whether hosts are left out; nil
--   where libpq refuses what is given, and says so
-- @return which hosts have no address, as a sentence; nil
-- @raise kind "connect" when none has one
function M.list(known, resolve)
  local given, ports = split(known[2]), split(known[3])
  local hosts = split(known[1] or (","):rep(#given - 1))
  if is_odd(ports, hosts) or is_odd(given, hosts) then return nil end
  local list, failures = {}, {}
  for i, one in ipairs(hosts) do
    for _, address in ipairs(addresses(one, given[i] or "", resolve, failures)) do
      list[#list + 1] = { host = one, hostaddr = address, port = ports[i] or ports[1] }
    end
  end
  if not list[1] then errors.raise("connect", messages(failures), { hint = failures[1].hint }) end
  list.shortened = failures[1] ~= nil
  return list, failures[1] and messages(failures)
end

--- libpq's lists with the hosts of a list in place of those that they name: copies.
-- @param list as of `list`; nil, or all of it a socket's folder: they are not changed
function M.with(keywords, values, list)
  local whole = list and #list == 1 and not list.shortened
  if not list or whole and list[1].hostaddr == "" then return keywords, values end
  -- libpq takes a blank value for none at all, and would go on with the whole list
  if #list == 1 and not whole then list = { list[1], list[1] } end
  local k, v = {}, {}
  for i, keyword in ipairs(keywords) do k[i], v[i] = keyword, values[i] end
  for _, field in ipairs { "host", "hostaddr", "port" } do
    local parts = {}
    for i, one in ipairs(list) do parts[i] = one[field] end
    k[#k + 1], v[#v + 1] = field, table.concat(parts, ",")
  end
  return k, v
end

--- Where a connection would go: hosts, ports, database, user and options, as a text.
-- @param keywords libpq's key words
-- @param values their values
-- @param environment variables for libpq alone: names and values in turn; nil
-- @raise kind "usage"
function M.place(keywords, values, environment)
  local parts = { core.hosts(keywords, values, environment) }
  for i = 1, 6 do parts[i] = parts[i] or "" end
  return table.concat(parts, "\0", 1, 6)
end

return M
