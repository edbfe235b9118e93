--- Every option, once: what it takes, what holds without it, and where it may be said. What checks
-- options, finds, shows and describes them reads this; a spec compares the documents with it.
-- Fields: `key`, its name in tables; `types`, what a table may have for it, as `type` says or a
-- value; `default`; `variable` of the environment and of `.env`; `flag` of the command line, with
-- `takes`, the name of its value, or a switch, and whether it `repeats`; `room`, whose commands
-- alone have the flag; `code` = true: it names a program, which `.env` must not; `help`, its
-- sentence there; `kind` of its value as a text: "policy" or "switch", where it is no time or
-- count; `migrator` = false: not an option of `pgmig.migrator`.
local core = require "pgmig.core"
local errors = require "pgmig.errors"

local M = {}

M.list = {
  {
    key = "database", types = "string", variable = "DATABASE_URL", migrator = false,
    flag = "--database", takes = "URL",
    help = "The database: a URL or a libpq connection string. Short: -d.",
  },
  {
    key = "dir", types = "string or table", variable = "PGMIG_DIR", default = "migrations",
    migrator = false, repeats = true, flag = "--dir", takes = "DIR",
    help = "The migrations folder (default: migrations).\n"
      .. "Repeat it for more folders; new files go to the first.",
  },
  {
    key = "format", types = "string or table", variable = "PGMIG_FORMAT", default = "pgmig",
    flag = "--format", takes = "NAME",
    help = "The migration file format: goose, dbmate, flyway,\n"
      .. "..., auto, or a .lua file (default: pgmig).",
  },
  {
    key = "table", types = "string", variable = "PGMIG_TABLE", default = "schema_migrations",
    flag = "--table", takes = "NAME",
    help = "The tracking table (default: schema_migrations, or\n"
      .. "pgmig_migrations if the format's tool uses that name).",
  },
  {
    key = "lock_timeout", types = "string", variable = "PGMIG_LOCK_TIMEOUT", default = "5s",
    flag = "--lock-timeout", takes = "TIME",
    help = "How long a statement waits for a lock, with a unit\n(default: 5s).",
  },
  {
    key = "lock_wait", types = "number or string", variable = "PGMIG_LOCK_WAIT", default = 300,
    flag = "--lock-wait", takes = "SECONDS",
    help = "How long to wait for another run (default: 300).",
  },
  {
    key = "retries", types = "number", variable = "PGMIG_RETRIES", default = 10,
    flag = "--retries", takes = "N",
    help = "How often to retry after a lock timeout or deadlock\n(default: 10).",
  },
  {
    key = "reconnect", types = "number or string", variable = "PGMIG_RECONNECT", default = 60,
    flag = "--reconnect", takes = "SECONDS",
    help = "How long to try to reconnect (default: 60).",
  },
  {
    key = "response_timeout", types = "number or string", variable = "PGMIG_RESPONSE_TIMEOUT",
    default = 15, migrator = false, flag = "--response-timeout", takes = "SECONDS",
    help = "How long to wait for a response from the server\n(default: 15).",
  },
  {
    key = "policy", types = "table", variable = "PGMIG_POLICY", kind = "policy",
    flag = "--policy", takes = "STATE=CHOICE",
    help = "How up treats edited, renamed, replaced, missing,\n"
      .. "renumbered, out_of_order and forgotten migrations,\n"
      .. "and ignored files: error, warn or allow.",
  },
  {
    key = "drift_check", types = "boolean", variable = "PGMIG_DRIFT_CHECK", default = true,
    kind = "switch", flag = "--no-drift-check",
    help = "Do not read the files of applied migrations to check\nwhether they were edited.",
  },
  {
    key = "syntax_check", types = "boolean", variable = "PGMIG_SYNTAX_CHECK", default = true,
    kind = "switch", flag = "--no-syntax-check",
    help = "Do not let the server parse all statements before the\nfirst migration runs.",
  },
  {
    key = "pipeline", types = "boolean", variable = "PGMIG_PIPELINE", default = true,
    kind = "switch", flag = "--no-pipeline",
    help = "Wait for the server's response to each statement.",
  },
  {
    key = "backfill", types = "string", variable = "PGMIG_BACKFILL", default = "now",
    flag = "--backfill", takes = "WHEN",
    help = "When up does the backfills of its migrations: now, or\nlater: `pgmig backfill run` "
      .. "(default: now).",
  },
  { key = "throttle", types = "table or function" },
  { key = "strict", types = "boolean", default = false },
  {
    key = "shared", types = "boolean", default = false, flag = "--shared",
    help = "Use the tracking table of the format's tool in place:\nboth can run.",
  },
  {
    key = "placeholders", types = "table or false", repeats = true,
    flag = "--set", takes = "NAME=VALUE",
    help = "The value of the placeholder ${NAME}; a value here\ncounts before pgmig.conf.lua's. "
      .. "Repeat it for more.",
  },
  {
    key = "local_time", types = "boolean", variable = "PGMIG_LOCAL_TIME", default = false,
    kind = "switch", migrator = false, room = "times", flag = "--local-time",
    help = "Show times in the local time zone (TZ), not in UTC.",
  },
  {
    key = "templates", types = "string", variable = "PGMIG_TEMPLATES", flag = "--templates",
    takes = "SYNTAX",
    help = "psql: placeholders are psql's variables, :name,\n:'name' and :\"name\", not ${name}.",
  },
  {
    key = "environment", types = "table", repeats = true, flag = "--env", takes = "NAME",
    help = "A variable of the environment that is the value of\nthe placeholder of its name. "
      .. "Repeat it for more.",
  },
  { key = "render", types = "function" },
  {
    key = "dump_to", types = "string", migrator = false, room = "run", flag = "--dump",
    takes = "FILE",
    help = "Then write the schema to FILE; without FILE, to\nschema.sql.",
  },
  {
    key = "pg_dump", types = "string", variable = "PGMIG_PG_DUMP", default = "pg_dump",
    flag = "--pg-dump", takes = "PROGRAM", code = true,
    help = "The pg_dump of dump and others (default: pg_dump).",
  },
  {
    key = "scratch", types = "string", variable = "PGMIG_SCRATCH", migrator = false,
    room = "proof", flag = "--scratch", takes = "URL",
    help = "Try the migrations on this server, where databases\nmay be created.",
  },
  {
    key = "scratch_bin", types = "string", variable = "PGMIG_SCRATCH_BIN", migrator = false,
    room = "proof", flag = "--scratch-bin", takes = "DIR", code = true,
    help = "Try them on a server of one's own, started with the\nprograms (initdb, postgres) in "
      .. "DIR.",
  },
  {
    key = "schema_from", types = "string", variable = "PGMIG_SCHEMA_FROM", migrator = false,
    room = "proof", flag = "--schema-from", takes = "URL|FILE",
    help = "Begin with this schema, a database's or a file's of\npg_dump -s, not with the applied "
      .. "files.",
  },
  {
    key = "applied_to", types = "number or string", variable = "PGMIG_APPLIED_TO",
    migrator = false, room = "proof", flag = "--applied-to", takes = "V",
    help = "Count those up to version V as applied, and ask no\ndatabase.",
  },
  {
    key = "seed", types = "string or function", migrator = false, room = "verify",
    flag = "--seed", takes = "FILE",
    help = "Put rows into the tables first, with the SQL in FILE.",
  },
  { key = "naming", types = "table" },
  { key = "hooks", types = "table" },
  { key = "rules", types = "table" },
  { key = "log", types = "function" },
}

M.by_key = {}
for _, option in ipairs(M.list) do M.by_key[option.key] = option end

--- The keys of the options that `pgmig.migrator` takes.
function M.of_migrator()
  local keys = {}
  for _, option in ipairs(M.list) do
    if option.migrator ~= false then keys[#keys + 1] = option.key end
  end
  return keys
end

--- Whether a value is of a type that an option takes.
function M.fits(option, value)
  if option.types:find(type(value), 1, true) then return true end
  return value == false and option.types:find("false", 1, true) ~= nil
end

--- What holds without it.
function M.default(key) return M.by_key[key].default end

-- ---- values that are times or counts ------------------------------------------
-- Checked before anything runs, wherever they come from.

--- How long a statement waits for a lock: a text for PostgreSQL, which takes a bare number for
-- milliseconds.
local function timeout(value)
  if type(value) ~= "string" then return nil, "must be a string of a number and a unit, such as "
    .. "5s" end
  local ms, problem = core.duration_setting(value)
  if not ms then return nil, problem end
  return value
end

--- A time of ours: a number of seconds, or a text, where a bare number counts seconds, too.
local function seconds(value)
  local number, problem = value, nil
  if type(value) == "string" then
    local ms, has_unit = core.duration(value)
    if not ms then problem = has_unit end
    number = ms and (has_unit and ms / 1000 or ms)
  end
  if type(number) == "number" and number >= 0 and number < math.huge then
    local whole = math.floor(number)
    return whole == number and whole or number
  end
  return nil, problem and problem:gsub("^must be a number", "must be a number of seconds, or a "
    .. "number")
    or "must be a number of seconds, or a string such as 5min"
end

local function seconds_above_0(value)
  local number, problem = seconds(value)
  if number == 0 then return nil, "must be more than 0 seconds" end
  return number, problem
end

local function count(value)
  local text = type(value) == "string" and value:match "^%d+$" or value
  local number = tonumber(text)
  if number and number >= 0 and number < math.huge and number == math.floor(number) then
    return number
  end
  return nil, "must be a whole number, 0 or greater"
end

--- When a run does the backfills of its migrations.
local function when(value)
  if value == "now" or value == "later" then return value end
  return nil, "must be now or later"
end

local kinds = {
  backfill = when,
  lock_timeout = timeout, lock_wait = seconds, reconnect = seconds, retries = count,
  response_timeout = seconds_above_0, connect_timeout = seconds, timeout = seconds_above_0,
}

--- Whether an option is one of these.
function M.is_limited(key) return kinds[key] ~= nil end

--- The value of a setting, seconds as a number; or nil and what it is to be, as the end of a
-- sentence.
function M.read(key, value) return kinds[key](value) end

--- A value as it may be shown: short, and in one line.
local function shown(value)
  local text = tostring(value):gsub("%c", "?")
  return #text > 40 and text:sub(1, 40) .. "..." or text
end

--- The value of a setting.
-- @param key its name
-- @param value what is given; nil stays nil
-- @param place what names it in a message; nil: the key
-- @raise kind "usage"
function M.check(key, value, place)
  if value == nil then return nil end
  local result, problem = M.read(key, value)
  if result ~= nil then return result end
  errors.raise("usage", ("%s %s, not %s"):format(place or key, problem, shown(value)))
end

--- What PostgreSQL makes of a timeout that has no unit; nil where it has one, or is 0.
function M.bare(value)
  local ms, has_unit = core.duration_setting(value)
  if not ms or has_unit or ms == 0 then return nil end
  return ("%.0fms"):format(ms)
end

return M
