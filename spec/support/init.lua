--- What the specs share: a scratch server, databases, temporary folders, commands.
local scratch = require "pgmig.scratch"

local M = {}

local folders, watch -- the folder of all temporary folders, and the shell that removes it
local folder_count = 0
local database_count = 0
local databases = {} -- that were made by the spec file under way
local server

--- A string as one word of a shell command.
function M.quote(s)
  return "'" .. s:gsub("'", "'\\''") .. "'"
end

local function make_folders()
  local pipe = assert(io.popen "mktemp -d \"${TMPDIR:-/tmp}/pgmig-spec.XXXXXX\"")
  folders = assert(pipe:read "*l", "mktemp failed")
  pipe:close()
  watch = assert(io.popen("trap '' INT TERM; cat >/dev/null; rm -rf " .. M.quote(folders), "w"))
end

--- A new empty folder, removed at exit.
function M.tempdir()
  if not watch then make_folders() end
  folder_count = folder_count + 1
  local path = folders .. "/" .. folder_count
  assert(os.execute("mkdir " .. M.quote(path)))
  return path
end

--- Write a file; returns its path.
function M.write(dir, name, text)
  local path = dir .. "/" .. name
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  return path
end

--- The contents of a file.
function M.read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

--- Run a shell command; returns its exit status, standard output and standard error.
function M.run(command)
  local dir = M.tempdir()
  local pipe = assert(io.popen(("bash -c %s >%s/out 2>%s/err; echo $?"):format(
    M.quote(command), M.quote(dir), M.quote(dir))))
  local code = pipe:read "*n"
  pipe:close()
  return code, M.read(dir .. "/out"), M.read(dir .. "/err")
end

--- The shell command that runs Lua code in a new process, with this Lua and these modules.
function M.lua_command(code)
  local engine = rawget(_G, "jit") and "luajit" or "lua5.4"
  return ("LUA_PATH=%s LUA_CPATH=%s %s %s"):format(
    M.quote(package.path), M.quote(package.cpath), engine,
    M.quote(M.write(M.tempdir(), "code.lua", code)))
end

-- ---- waiting -----------------------------------------------------------------

local WAIT_LIMIT, FIRST_PAUSE, LAST_PAUSE = 60, 0.002, 0.03 -- seconds
local processor_count

local function processors()
  local pipe = assert(io.popen "nproc")
  local count = pipe:read "*n"
  pipe:close()
  return count
end

--- How many seconds something may take on this machine as it is now: as many times as long as there
-- are processes to a processor. For what ends a wait that is in vain, never for what is to be found
-- out.
function M.patience(seconds)
  processor_count = processor_count or processors()
  local load = tonumber(M.read("/proc/loadavg"):match "^%S+")
  return math.ceil(seconds * math.max(1, load / processor_count))
end

--- The words of a shell that end a command which never ends.
-- @param seconds as of `patience`
function M.timeout(seconds) return ("timeout --kill-after=5 %d "):format(M.patience(seconds)) end

--- Wait for something.
-- @param fn returns a value when it is there
-- @param why what is said when it does not come, or a function that returns that; nil
-- @return the value
-- @return how many seconds it took
function M.wait(fn, why)
  local core = require "pgmig.core"
  local began, pause = core.now(), FIRST_PAUSE
  repeat
    local result = fn()
    if result then return result, core.now() - began end
    core.poll({}, {}, pause)
    pause = math.min(pause * 2, LAST_PAUSE)
  until core.now() - began > M.patience(WAIT_LIMIT)
  if type(why) == "function" then why = why() end
  error("it did not come: " .. (why or "?"), 2)
end

--- A statement that lasts until `release`, for what is to be seen while it runs.
M.held = "DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM pg_class WHERE relname = 'released') LOOP "
  .. "PERFORM pg_sleep(0.02); END LOOP; END $$;"

--- End the `held` statements of a database, those to come as well.
function M.release(url) M.psql(url, "CREATE TABLE public.released ()") end

-- ---- databases -----------------------------------------------------------------

--- Run SQL with psql; returns what it prints, unaligned and without headers. Raises what fails.
function M.psql(url, sql)
  local code, out, err = M.run(("psql -XAtq -v ON_ERROR_STOP=1 -d %s -c %s"):format(
    M.quote(url), M.quote(sql)))
  if code ~= 0 then error(err, 2) end
  return (out:gsub("\n$", ""))
end

--- A TCP port of this machine that nobody has at this moment.
function M.free_port()
  local probe = assert(require "socket".bind("127.0.0.1", 0))
  local _, port = probe:getsockname()
  probe:close()
  return port
end

--- The scratch server that all specs of this process share.
function M.server()
  server = server or scratch.start()
  return server
end

local function server_version()
  return tonumber(M.psql(M.server():url(), "SHOW server_version_num"))
end

--- Leave the spec that runs pending where the server is too old for it.
-- @param pending busted's, of the spec
-- @param major the first version that has what it needs
-- @param what it needs
function M.needs(pending, major, what)
  if server_version() < major * 10000 then
    pending(("%s came with PostgreSQL %d"):format(what, major))
  end
end

--- Whether there is a pg_dump that is new enough for the server.
function M.has_pg_dump()
  local _, out = M.run "pg_dump --version"
  return (tonumber(out:match "%(PostgreSQL%) (%d+)") or 0) >= math.floor(server_version() / 10000)
end

--- The URL of a new empty database.
function M.database()
  database_count = database_count + 1
  local name = "spec_" .. database_count
  M.psql(M.server():url(), "CREATE DATABASE " .. name)
  databases[#databases + 1] = name
  return M.server():url(name)
end

--- Drop the databases that a spec file has made: all of them together would be gigabytes. One that
-- somebody is still connected to stays.
function M.drop_databases()
  if not databases[1] then return end
  local words = { "psql -X -q", M.quote(M.server():url()) }
  for _, name in ipairs(databases) do words[#words + 1] = "-c 'DROP DATABASE " .. name .. "'" end
  databases = {}
  M.run(table.concat(words, " "))
end

return M
