--- Connecting: to the first of several hosts that answers, each within its time, as libpq does in
-- the calls that wait. Names are looked up before libpq sees them: it would wait for the answer,
-- and it leaves a silent host only in calls that wait.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local loop = require "pgmig.db.loop"

local M = {}

--- A URL or connection string with another database name: what comes last counts.
function M.with_database(url, name)
  if not url:find "^postgres%l*://" then return url .. " dbname=" .. name end
  return url .. (url:find("?", 1, true) and "&" or "?") .. "dbname=" .. name
end

local function percent_encode(s)
  return (s:gsub("[^%w%-._~]", function(c) return ("%%%02X"):format(c:byte()) end))
end

--- The same with a role that the session begins with, and comes back to.
function M.with_role(url, role)
  local option = "-c role=" .. role:gsub("[\\%s]", "\\%0")
  if not url:find "^postgres%l*://" then
    return ("%s options='%s'"):format(url, (option:gsub("[\\']", "\\%0")))
  end
  return ("%s%soptions=%s"):format(url, url:find("?", 1, true) and "&" or "?",
    percent_encode(option))
end

-- ---- what is given -------------------------------------------------------------

-- Options of `connect` that are not libpq's.
local own_options = {
  url = true, database = true, wait = true, connect_timeout = true, response_timeout = true,
  resolve = true, breathe = true, environment = true,
}

-- A machine or a network that is gone is noticed in half a minute, not in two hours. Seconds, and
-- a number.
local keepalives = { keepalives_idle = 10, keepalives_interval = 5, keepalives_count = 3 }

--- A parameter's or variable's value as libpq takes it.
local function text_of(name, value)
  local kind = type(value)
  if kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
    errors.raise("usage", ("connect: %s must be a string or a number, not a %s"):format(name, kind))
  end
  local text = tostring(value)
  if text:find "%z" then errors.raise("usage", ("connect: %s contains a NUL byte"):format(name)) end
  return text
end

--- Variables for libpq alone as the core takes them: names and values in turn; nil for none.
local function variables(options)
  if not options.environment then return nil end
  local list = {}
  for name, value in pairs(options.environment) do
    list[#list + 1] = name
    list[#list + 1] = text_of(name, value)
  end
  return list
end

--- Two lists for the core: libpq's key words and their values.
-- @param peer those of the server that is meant, where another connection has found it; nil
local function parameters(options, peer)
  local keywords, values = {}, {}
  local function add(keyword, value)
    keywords[#keywords + 1] = keyword
    values[#values + 1] = text_of(keyword, value)
  end
  for keyword, value in pairs(keepalives) do add(keyword, value) end -- the first: others override
  local database = options.url or options.database or options.dbname or os.getenv "DATABASE_URL"
  if database and database ~= "" then add("dbname", database) end
  for keyword, value in pairs(options) do
    if type(keyword) ~= "string" then
      errors.raise("usage", "connect: a table of options must have named fields, as in { url = ... "
        .. "}")
    end
    if not own_options[keyword] and keyword ~= "dbname" then add(keyword, value) end
  end
  if options.dbname and options.dbname ~= database then add("dbname", options.dbname) end
  add("fallback_application_name", "pgmig")
  add("client_encoding", "UTF8")
  for keyword, value in pairs(peer or {}) do add(keyword, value) end
  return keywords, values
end

-- ---- the hosts -----------------------------------------------------------------

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
function M.hosts(known, resolve)
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
-- @param list as of `hosts`; nil, or all of it a socket's folder: they are not changed
function M.with_hosts(keywords, values, list)
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
-- @param options of `connect`
-- @raise kind "usage"
function M.place(options)
  local keywords, values = parameters(options)
  local parts = { core.hosts(keywords, values, variables(options)) }
  for i = 1, 6 do parts[i] = parts[i] or "" end
  return table.concat(parts, "\0", 1, 6)
end

--- Which database a connection would be to; nil: the one that is called as its user.
-- @param options of `connect`
-- @raise kind "usage"
function M.target(options)
  local keywords, values = parameters(options)
  local known = { core.hosts(keywords, values, variables(options)) }
  return known[4] or known[5]
end

-- ---- refusals ------------------------------------------------------------------

local POOLER = "a pooler in between does not pass %s on (options in the connection string, "
  .. "PGOPTIONS): set it on the server with ALTER ROLE ... SET or ALTER DATABASE ... SET, connect "
  .. "directly to the server, or let pgbouncer ignore it: ignore_startup_parameters = %s"

-- By an error's code.
local of_codes = {
  no_password = "supply it in ~/.pgpass (PGPASSFILE), PGPASSWORD, or the connection string",
  wrong_password = "it is taken from the connection string, else from PGPASSWORD, else from "
    .. "~/.pgpass (PGPASSFILE)",
  no_database = "create it (pgmig database create, createdb, CREATE DATABASE), or correct its "
    .. "name in the connection string or PGDATABASE; where none is given it is the user's name",
}

-- By what an error says, in English.
local remedies = {
  { "unsupported startup parameter in options: ([%w_.]+)", function(name)
    return POOLER:format(name, "options")
  end },
  { "unsupported startup parameter: ([%w_.]+)", function(name)
    return POOLER:format(name, name)
  end },
  { "server does not support SSL, but SSL was required", function()
    return "it is required by sslmode in the connection string, PGSSLMODE, or a service file"
  end },
  { "local user [with ]*ID %d+", function()
    return "give the user's name for the database in the connection string "
      .. "(postgresql://USER@HOST/DATABASE, or user=) or PGUSER: the system's name of this user is "
      .. "taken otherwise, and it has none here"
  end },
  { "GSSAPI encryption required but was impossible", function()
    local single = package.loaded["pgmig.single"]
    return single and single.form ~= "dynamic"
      and "this executable has no GSSAPI (Kerberos): use the dynamic form" or nil
  end },
  { "no such database", function()
    return "the pooler in between knows none of this name: add it there (pgbouncer.ini, "
      .. "[databases]), or correct its name in the connection string or PGDATABASE"
  end },
  { 'role ".*" does not exist', function()
    return "create it (createuser, CREATE ROLE), or correct its name in the connection string or "
      .. "PGUSER; where none is given it is the system user's name"
  end },
  { "Peer authentication failed", function()
    return "on this socket the server admits only the system user of that name: run as that user, "
      .. "or connect over TCP (host=localhost) with a password"
  end },
  { "no pg_hba.conf entry", function()
    return "pg_hba.conf on the server has to admit this host, user and database, with or without "
      .. "encryption as the message says"
  end },
}

local NO_HOST = "no host is set, so this machine's own server was looked for: name the server in "
  .. "the connection string (DATABASE_URL, --database) or PGHOST"

--- What helps when a connection is refused. Names are not repeated: they may be pieces of a
-- password in the wrong place. What pgbouncer says has no code, but it knows no other language; nor
-- have libpq's own words, which have no hint where the host program has them translated, and what a
-- server says of roles.
-- @param known what `core.hosts` returns, as a list
-- @return a hint; nil
local function hint_of(err, known)
  for _, remedy in ipairs(remedies) do
    local found = err.message:match(remedy[1])
    if found then return remedy[2](found) end
  end
  if of_codes[err.code] then return of_codes[err.code] end
  local nowhere = not known[1] and not known[2]
  return nowhere and err.message:find "on socket .* failed: No such file" and NO_HOST or nil
end

--- Whether an error says that there is no connection left for now: the server by its SQLSTATE,
-- pgbouncer, whose own errors all have the same one, in English only.
function M.is_full(err)
  return err.code == "too_many_connections"
    or err.message:find("no more connections allowed", 1, true) ~= nil
end

-- ---- their time ----------------------------------------------------------------

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

--- What a handle is connected to, and as whom.
local function address_of(handle)
  local host, _, port, user, database = handle:peer()
  return { name = database, user = user, host = host, port = tonumber(port) }
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
local function complete(err, notes, known)
  if not errors.is(err) then return err end
  if errors.is(err, "sql") then err.kind = "connect" end
  if err.kind ~= "connect" then return err end
  err.hint = err.hint or hint_of(err, known)
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
-- @param self the connection; an auxiliary one goes to the server that its `main` has found
-- @param deadline a time of `core.now()`; nil: each host has its time
-- @raise kinds "connect", "usage", "interrupted"
function M.open(self, deadline)
  local keywords, values = parameters(self.options, self.main and self.main.peer)
  local environment = variables(self.options)
  local known = { core.hosts(keywords, values, environment) }
  local seconds = seconds_of(self, known)
  local list, left_out = M.hosts(known, resolver(self, seconds))
  local notes = { left_out }
  while true do
    local k, v = M.with_hosts(keywords, values, list)
    local ok, err, host = attempt(self, k, v, environment, seconds, deadline)
    if ok then break end
    self.handle:close()
    local silent = errors.is(err) and err.code == loop.NO_ANSWER
    local others = silent and list and leave_out(list, host)
    if not others or core.now() >= (deadline or math.huge) then
      error(complete(err, notes, known), 0)
    end
    notes[#notes + 1] = ("%s: %s"):format(name_of(host), NO_ANSWER)
  end
  self.pid = self.handle:backend_pid() -- libpq forgets it with the connection
  self.tag = self.handle:session_tag()
  self.served = nil -- by another process: see pgmig.db.orphan
  self.peer = peer_parameters(self, known)
  self.address = address_of(self.handle)
end

return M
