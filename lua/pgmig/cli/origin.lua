--- The database's connection string as it may be shown, and where its parts come from.
local core = require "pgmig.core"

local M = {}

local HIDDEN, MASK = "(set, not shown)", "********"

--- What a string sets, by name: "shown" or "secret"; nil where libpq cannot read it, or not in the
-- one way that it was meant.
local function parameters(text)
  if text:find "^[%w_-]+$" then return { dbname = "shown" } end
  return text:find "[=:]" and core.connection_parameters(text) or nil
end

-- ---- as it may be shown ----------------------------------------------------
-- A string that was read before: so each part of it is what it seems to be.

local function decoded(text)
  return (text:gsub("%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end))
end

-- What is shown, where it looks so: a value of another word may be a password that was put there by
-- mistake, and so may one that does not look like what it should be.
local NAME, NUMBERS = "^[%w_./, -]*$", "^[%d,]*$"
local plain = {
  host = NAME, hostaddr = "^[%x.:,]*$", port = NUMBERS, dbname = NAME, user = NAME,
  application_name = NAME, connect_timeout = NUMBERS,
}
local known_values = {
  sslmode = " disable allow prefer require verify-ca verify-full ",
  target_session_attrs = " any read-write read-only primary standby prefer-standby ",
}

local function is_plain(name, value)
  if known_values[name] then return known_values[name]:find(" " .. value .. " ", 1, true) ~= nil end
  return plain[name] ~= nil and value:find(plain[name]) ~= nil
end

--- A value, or stars where nobody may see it.
-- @param meant the value as libpq reads it
local function shown(name, value, meant, given)
  return given[name] == "shown" and is_plain(name, meant) and value or MASK
end

--- A URL, each value that nobody may see masked.
local function mask_url(text, given)
  local scheme, rest = text:match "^(%w+://)(.*)$"
  local user, place = rest:match "^([^@/]*@)(.*)$"
  user = (user or ""):gsub("^([^:]*):.*@$", "%1:" .. MASK .. "@")
  local where, query = (place or rest):match "^([^?]*)(.*)$"
  query = query:gsub("([^?&=]+)=([^&]*)", function(name, value)
    if name == "ssl" then return nil end -- JDBC's word, of which libpq makes sslmode
    return name .. "=" .. shown(decoded(name), value, decoded(value), given)
  end)
  return scheme .. user .. where .. query
end

--- Where a value of key words ends: a backslash takes the next character along.
local function value_end(text, at)
  local is_quoted = text:sub(at, at) == "'"
  local stop, from = is_quoted and "[\\']" or "[\\%s]", is_quoted and at + 1 or at
  while true do
    local found = text:find(stop, from)
    if not found then return #text end
    if text:sub(found, found) ~= "\\" then return is_quoted and found or found - 1 end
    from = found + 2
  end
end

--- Key words and values, likewise.
local function mask_words(text, given)
  local words, at = {}, 1
  while true do
    local name, value_at = text:match("^%s*([^=%s]+)%s*=%s*()", at)
    if not name then return table.concat(words, " ") end
    at = value_end(text, value_at) + 1
    local value = text:sub(value_at, at - 1)
    local meant = value:match "^'(.*)'$" or value
    words[#words + 1] = name .. "=" .. shown(name, value, meant, given)
  end
end

--- A connection string as it may be shown; only `(set, not shown)` when in doubt.
function M.mask(text)
  local given = parameters(text)
  if not given then return HIDDEN end
  if text:find "^%w+://" then return mask_url(text, given) end
  return text:find "=" and mask_words(text, given) or text
end

-- ---- where it comes from ---------------------------------------------------

-- What libpq takes from a variable where the string does not say it; the first that is set counts.
local variables = {
  { field = "host", given = { "host", "hostaddr" }, names = { "PGHOST", "PGHOSTADDR" } },
  { field = "port", given = { "port" }, names = { "PGPORT" } },
  { field = "user", given = { "user" }, names = { "PGUSER" } },
  { field = "name", given = { "dbname" }, names = { "PGDATABASE" } },
}

--- The value of a variable, and where it is set.
local function look_up(environment, name)
  local value = os.getenv(name)
  if value and value ~= "" then return value, name end
  value = environment and environment[name]
  if value and value ~= "" then return value, ".env: " .. name end
end

local function has_item(list, item)
  return ("," .. list .. ","):find("," .. item .. ",", 1, true) ~= nil
end

--- The variable that a part of the place has come from; nil.
-- A service's file may have said it before: then it is another one.
local function variable_of(part, given, environment, place)
  for _, keyword in ipairs(part.given) do
    if given[keyword] then return nil end
  end
  for _, name in ipairs(part.names) do
    local value, source = look_up(environment, name)
    if value and has_item(value, tostring(place[part.field])) then return source end
  end
end

--- Where a connection's parameters come from: the string's source, and the variables that fill it
-- up.
-- @param settings of pgmig.cli.settings
-- @param place of the connection
-- @return a text, such as "DATABASE_URL, PGPORT"
function M.of(settings, place)
  local url, environment = settings.values.database, settings.environment
  local given, sources = url and parameters(url) or {}, { settings.sources.database }
  local _, service = look_up(environment, "PGSERVICE")
  if service and not given.service then sources[#sources + 1] = service end
  for _, part in ipairs(variables) do
    sources[#sources + 1] = variable_of(part, given, environment, place)
  end
  return sources[1] and table.concat(sources, ", ") or "libpq's defaults"
end

return M
