--- A throwaway PostgreSQL server: for specs, demos and trying things out.
--
--     local scratch = require "pgmig.scratch"
--     local server = scratch.start()
--     local db = pgmig.connect(server:url())
--
-- The server listens on a Unix socket in a temporary folder that only its own user (and root) can
-- enter; over TCP, if `listen_addresses` enables it, its `password` is required. It is stopped and
-- its folder removed when `stop` is called or the calling process ends, in whatever way: a shell
-- that watches it notices the end of a pipe. Requires no C module. PGMIG_TEST_BIN names the folder
-- of another version's initdb, pg_ctl and postgres.
-- @module pgmig.scratch
local shell = require "pgmig.shell"

local output, quote = shell.output, shell.quote

local M = {}
local server = {}
server.__index = server

local START_LIMIT = 120 -- seconds; the shell below gives up earlier
local FOLDER_LIMIT = 70 -- bytes; the path of a unix socket has at most 107
local LOG_SHOWN = 4000 -- bytes of the server's log in an error
local MEMORY = "/dev/shm" -- the folder that is memory, where the system has one
local MEMORY_ROOM = 1024 -- MB; a server with a few copies of a database needs a tenth

-- Speed, not safety: nothing here outlives the process. unix_socket_directories is the folder, and
-- shared memory is in it, too: what a killed server leaves goes with it.
local defaults = {
  dynamic_shared_memory_type = "mmap",
  fsync = "off",
  full_page_writes = "off",
  listen_addresses = "",
  port = 5432,
  synchronous_commit = "off",
}

-- The shell that watches. $1: the folder, $2: where the server's programs are, $3: the settings;
-- what follows, if anything, is the command that makes another user run a command. That user has a
-- folder in ours (`s`), where root writes nothing: a link there could lead anywhere.
-- It starts the server, tells the outcome, waits until its caller closes the pipe or is gone, and
-- cleans up; the order makes sure that it never cleans up half a start. Signals to a whole group
-- of processes, as from Ctrl-C, must not end it early.
local WATCH = [[
trap '' INT TERM HUP
PATH=$PATH:/usr/sbin:/sbin # runuser; `su` leaves root a PATH without
unset LD_PRELOAD # a sanitizer for the caller, say; initdb would hang in it
caller=$PPID folder=$1 bin=$2 settings=$3 data=$1/s/data
shift 3
cd "$folder" || exit

start() {
  mkdir -m 700 s && (umask 077; tr -dc a-z0-9 </dev/urandom | head -c 32 >password) || return
  if [ $# -gt 0 ]; then chmod 711 . && chown postgres s || return; fi
  "$@" sh -c 'umask 077; cat >"$1"' sh "$folder/s/password" <password || return
  local locale=C
  if locale -a | grep -qix 'C\.utf-\{0,1\}8'; then locale=C.UTF-8; fi
  timeout --kill-after=5 50 "$@" "$bin/initdb" --pgdata="$data" --username=postgres \
    --auth-local=trust --auth-host=scram-sha-256 --pwfile="$folder/s/password" \
    --encoding=UTF8 --locale=$locale --no-sync >/dev/null || return
  "$@" sh -c 'printf "%s\n" "$1" >>"$2"' sh "$settings" "$data/postgresql.conf" || return
  "$@" "$bin/pg_ctl" start --silent --wait --timeout=50 --pgdata="$data"
}

# A process that the caller started may hold the pipe open longer than the caller lives.
caller_is_gone() {
  local stat
  read -r -a stat </proc/$$/stat
  [ "${stat[3]}" != "$caller" ]
}

outcome=failed
if start "$@" </dev/null >>server.log 2>&1; then outcome=ready; fi
exec 3<>outcome
echo $outcome >&3
while read -r -t 0.5; [ $? -gt 128 ] && ! caller_is_gone; do :; done
"$@" "$bin/pg_ctl" stop --mode=immediate --pgdata="$data" >>server.log 2>&1
cd /
rm -rf "$folder"
]]

local function exists(path)
  local file = io.open(path, "rb")
  return file ~= nil and file:close() ~= nil
end

local function read_file(path)
  local file = io.open(path, "rb")
  if not file then return "" end
  local text = file:read "*a"
  file:close()
  return text
end

--- The folder of the programs of a server, and that of the same distribution for another version.
local function of_version(bin, major)
  local other = major and bin:gsub("/%d+/", ("/%d/"):format(major))
  return other and exists(other .. "/initdb") and other or bin
end

--- The folder of initdb, pg_ctl and postgres.
-- @param named by whom it is asked for; nil
-- @param major the version that is wanted, where there is a choice; nil
local function server_programs(named, major)
  local bin = named or os.getenv "PGMIG_TEST_BIN" or ""
  if bin ~= "" then
    if exists(bin .. "/initdb") then return bin end
    error(("no PostgreSQL server in %s%s"):format(bin, named and "" or ", named by PGMIG_TEST_BIN"),
      0)
  end
  bin = output "pg_config --bindir 2>/dev/null"
  if bin == "" then
    error("pg_config not found: apt-get install libpq-dev postgresql", 0)
  end
  if not exists(bin .. "/initdb") then
    error("no PostgreSQL server in " .. bin .. ": apt-get install postgresql", 0)
  end
  return of_version(bin, major)
end

--- Whether there is a folder in memory with room for a server, and memory behind the room.
local function memory_has_room()
  local kind, blocks, size = output("stat -f -c '%T %a %S' " .. MEMORY .. " 2>/dev/null")
    :match "^(%S+) (%d+) (%d+)$"
  local available = read_file "/proc/meminfo":match "MemAvailable: *(%d+) kB"
  return kind == "tmpfs" and available ~= nil
    and math.min(blocks * size / 2 ^ 20, available / 2 ^ 10) >= MEMORY_ROOM
end

--- Where temporary folders are made.
local function base_folder(in_memory)
  local named = os.getenv "TMPDIR" or ""
  if named ~= "" and #named <= FOLDER_LIMIT then return named end
  return in_memory and memory_has_room() and MEMORY or "/tmp"
end

local function make_folder(base)
  local folder = output(("folder=$(mktemp -d %s) && mkfifo \"$folder/outcome\" && echo \"$folder\"")
    :format(quote(base .. "/pgmig.XXXXXX")))
  if folder == "" then error("cannot create a temporary folder in " .. base, 0) end
  return folder
end

--- The lines of postgresql.conf.
local function settings_text(settings)
  local lines = {}
  for key, value in pairs(settings) do
    lines[#lines + 1] = ("%s = %s"):format(key, "'" .. tostring(value):gsub("'", "''") .. "'")
  end
  return table.concat(lines, "\n")
end

local function with_defaults(given, folder)
  local settings = { unix_socket_directories = folder .. "/s" }
  for key, value in pairs(defaults) do settings[key] = value end
  for key, value in pairs(given or {}) do settings[key] = value end
  return settings
end

--- Start the watching shell in a session of its own, with a pipe from us as its input.
local function watch(folder, bin, settings)
  local words = { "exec setsid -w bash -c", quote(WATCH), "pgmig-scratch" }
  for _, argument in ipairs { folder, bin, settings } do words[#words + 1] = quote(argument) end
  if output "id -u" == "0" then words[#words + 1] = "runuser -u postgres --" end -- root may not
  words[#words + 1] = ">/dev/null 2>&1"
  return assert(io.popen(table.concat(words, " "), "w"))
end

local function start_error(folder, outcome)
  local why = outcome == "" and (" within %d seconds"):format(START_LIMIT) or ""
  local log = read_file(folder .. "/server.log"):sub(-LOG_SHOWN)
  return ("the scratch PostgreSQL did not start%s; its log:\n%s"):format(why, log)
end

-- A collected pipe would end its server, so each is kept until stop, or the end of the process.
local running = {}

--- Start a server. Takes half a second.
-- @param options { settings = lines of postgresql.conf, by name; memory = true: its folder is in
--   memory, where TMPDIR names no other and there is room; nil: in TMPDIR, or /tmp; bin = the
--   folder of another server's programs; major = the version that is wanted, where several are
--   installed }
-- @return the server: `host` (folder of its socket), `port`, `password` of postgres for TCP, `log`
--   (path), and the methods `url` and `stop`
-- @raise a string: what is missing, or the log of a server that did not start
function M.start(options)
  options = options or {}
  local bin = server_programs(options.bin, options.major)
  local folder = make_folder(base_folder(options.memory))
  local settings = with_defaults(options.settings, folder)
  local pipe = watch(folder, bin, settings_text(settings))
  local outcome = output(("timeout %d head -n 1 %s/outcome"):format(START_LIMIT, quote(folder)))
  if outcome ~= "ready" then
    local message = start_error(folder, outcome)
    pipe:close()
    error(message, 0)
  end
  local self = setmetatable({
    host = folder .. "/s",
    password = read_file(folder .. "/password"),
    port = settings.port,
    log = folder .. "/server.log",
    pipe = pipe,
  }, server)
  running[self] = true
  return self
end

local function percent_encode(s)
  return (s:gsub("[^%w%-._~]", function(c) return ("%%%02X"):format(c:byte()) end))
end

--- The URL of a database of the server, for `pgmig.connect`, `psql -d` and anything else that
-- accepts a PostgreSQL URL.
-- @param dbname default "postgres"
-- @return the URL, as superuser postgres
function server:url(dbname)
  return ("postgresql:///%s?host=%s&port=%s&user=postgres"):format(
    percent_encode(dbname or "postgres"), percent_encode(self.host), self.port)
end

--- Stop the server and remove its folder; a second call does nothing.
function server:stop()
  if not running[self] then return end
  running[self] = nil
  self.pipe:close() -- waits for the shell
end

return M
