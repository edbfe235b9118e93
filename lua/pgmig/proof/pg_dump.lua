--- Runs pg_dump for a connection: on the server and database that it has found, with all that it
-- was made with. Passwords are in the program's environment only, not on a command line, nor in a
-- file.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local shell = require "pgmig.shell"
local texts = require "pgmig.texts"

local quote = shell.quote

local M = {}

local PAUSE = 0.02 -- seconds between two looks
local NOT_FOUND, NOT_EXECUTABLE = 127, 126 -- exit codes of a shell
local LOCK_WAIT = 5000 -- milliseconds
local CONNECT_TIMEOUT = 15 -- seconds

-- A network that is gone is noticed in half a minute (pgmig.db.dial).
local KEEPALIVES = "keepalives_idle=10 keepalives_interval=5 keepalives_count=3"

-- A shell reads this, which goes on while we wait by the connection's driver. What it finds is in
-- files of the folder; `code`, the last one, comes whole. %s: the folder; the program; the program,
-- its options.
local SCRIPT = [[
cd %s || exit
{
  %s --version >version 2>error && {
    %s %s >schema 2>error &
    echo $! >pid
    wait $!
  }
  echo $? >code.new
  mv code.new code
} </dev/null >/dev/null 2>&1 &
]]

local function read_file(path) return core.read_file(path) or "" end

--- The environment: of a list of hosts the one that was found. What would count before it is taken
-- away, and messages are in English.
local function exports_of(db)
  local variables = db.handle:variables()
  local host, address, port, user, database = db.handle:peer()
  variables.PGHOST, variables.PGHOSTADDR, variables.PGPORT = host, address, port
  variables.PGUSER, variables.PGDATABASE, variables.LC_ALL = user, database, "C"
  local seconds = db.connect_timeout or tonumber(variables.PGCONNECT_TIMEOUT) or CONNECT_TIMEOUT
  variables.PGCONNECT_TIMEOUT = tostring(math.max(1, math.floor(seconds)))
  local lines = { "unset PGSERVICE PGHOSTADDR" }
  for name, value in pairs(variables) do
    if value ~= "" then lines[#lines + 1] = ("export %s=%s"):format(name, quote(value)) end
  end
  return table.concat(lines, "\n") .. "\n"
end

local function words_of(options)
  local words = {
    options.data and "" or "--schema-only", "--no-password", "--encoding=UTF8",
    quote("--dbname=" .. KEEPALIVES),
    ("--lock-wait-timeout=%d"):format(options.lock_wait or LOCK_WAIT),
  }
  for _, name in ipairs(options.without or {}) do
    words[#words + 1] = quote("--exclude-table=" .. name)
  end
  return table.concat(words, " ")
end

local function make_folder()
  return shell.make_folder() or errors.raise("io", "cannot create a temporary folder")
end

--- Start it; its shell is told by way of its input what it is to do.
local function start(db, folder, program, options)
  local input = assert(io.popen("exec sh", "w"))
  input:write(exports_of(db), SCRIPT:format(quote(folder), quote(program), quote(program),
    words_of(options)))
  input:close()
end

local function wait(db, folder)
  local path = folder .. "/code"
  while not core.exists(path) do db:sleep(PAUSE) end
  return tonumber(read_file(path))
end

-- ---- what has failed -----------------------------------------------------------

local function major_of(folder)
  return tonumber(read_file(folder .. "/version"):match "%(PostgreSQL%) (%d+)")
end

local HINT = "or name its program: --pg-dump PROGRAM (PGMIG_PG_DUMP, key pg_dump)"

local function check_found(code, program, major)
  if code ~= NOT_FOUND and code ~= NOT_EXECUTABLE then return end
  errors.raise("usage", ("cannot run %s: no such program"):format(program), {
    hint = ("install PostgreSQL's client programs of version %d (Debian: postgresql-client-%d), %s")
      :format(major, major, HINT),
  })
end

local function check_version(folder, program, major)
  local own = major_of(folder)
  if not own or own >= major then return end
  errors.raise("usage", ("%s is of version %d and cannot dump a server of version %d"):format(
    program, own, major), {
    hint = ("install PostgreSQL's client programs of version %d (Debian: postgresql-client-%d), %s")
      :format(major, major, HINT),
  })
end

--- What pg_dump says: the first line, and the others.
local function refuse(folder, program)
  local said = texts.trim(read_file(folder .. "/error"))
  local first, rest = said:match "^([^\n]*)\n?(.*)$"
  first = first:gsub("^pg_dump: ", ""):gsub("^error: ", "")
  errors.raise("sql", ("%s failed: %s"):format(program, first ~= "" and first or "it does not say "
    .. "why"), { detail = rest ~= "" and rest or nil })
end

local function check(db, folder, program, code)
  if code == 0 then return end
  local major = math.floor(db:server_version() / 10000)
  check_found(code, program, major)
  check_version(folder, program, major)
  refuse(folder, program)
end

--- Take away what is left, also of a program that still runs.
local function clean_up(folder)
  local pid = not core.exists(folder .. "/code") and read_file(folder .. "/pid"):match "%d+"
  os.execute(("%srm -rf %s"):format(pid and ("kill %s 2>/dev/null; "):format(pid) or "",
    quote(folder)))
end

--- The schema of a connection's database, as pg_dump writes it.
-- @param db the connection, with any driver
-- @param options { program = the path or name of pg_dump, default "pg_dump"; lock_wait = how many
--   milliseconds it waits for a lock, default 5000; without = tables that are left out, quoted;
--   data = true: with all rows }
-- @return the text, in UTF-8
-- @raise kinds "usage" where pg_dump is missing or older than the server, "sql" for what it says,
--   "interrupted"
function M.schema(db, options)
  options = options or {}
  local program, folder = options.program or "pg_dump", make_folder()
  local ok, result = pcall(function()
    start(db, folder, program, options)
    check(db, folder, program, wait(db, folder))
    return read_file(folder .. "/schema")
  end)
  clean_up(folder)
  if ok then return result end
  error(result, 0)
end

return M
