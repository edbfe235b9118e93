--- Drops the databases of a clone on somebody's server, also when the process that made them is
-- killed: a program of its own waits for the end of a pipe.
local connection = require "pgmig.db.connection"
local core = require "pgmig.core"
local shell = require "pgmig.shell"

local quote = shell.quote

local M = {}

local DONE = "done"

local OF_PREFIX = [[
  SELECT d.datname::pg_catalog.text AS name FROM pg_catalog.pg_database d
  WHERE pg_catalog.starts_with(d.datname::pg_catalog.text, $1)]]

local END_SESSIONS = [[
  SELECT pg_catalog.pg_terminate_backend(a.pid) AS ended FROM pg_catalog.pg_stat_activity a
  WHERE a.datname OPERATOR(pg_catalog.=) $1::pg_catalog.name]]

local ATTEMPTS, PAUSE = 50, 0.1 -- a session that is told to end takes some time, seconds

--- Drop a database, and end the sessions in it.
-- @param admin a connection to its server
-- @return whether it is gone
function M.drop(admin, name)
  for _ = 1, ATTEMPTS do
    local ok = pcall(function()
      admin:ask_rows("* ended:bool", END_SESSIONS, name)
      admin:exec("DROP DATABASE IF EXISTS " .. admin:quote_ident(name))
    end)
    if ok then return true end
    if admin:is_lost() then return false end
    core.poll({}, {}, PAUSE)
  end
  return false
end

--- Drop all databases whose names begin so.
function M.drop_all(admin, prefix)
  for _, row in ipairs(admin:ask_rows("* name:text", OF_PREFIX, prefix)) do
    M.drop(admin, row.name)
  end
end

--- The words that run Lua with this program; nil where it is none that does.
local function interpreter()
  local path = shell.output "readlink /proc/$PPID/exe 2>/dev/null"
  if package.loaded["pgmig.single"] then return quote(path) .. " lua" end
  return path:match "/lua[^/]*$" and quote(path)
end

--- Start the program that looks after a clone's databases, where that is possible.
-- @param url of the server
-- @param prefix of the names of the databases
-- @return what `stop` takes, or nil
function M.start(url, prefix)
  local lua = interpreter()
  if not lua then return nil end
  local pipe = io.popen(("LUA_PATH=%s LUA_CPATH=%s exec setsid -w %s -e %s >/dev/null 2>&1"):format(
    quote(package.path), quote(package.cpath), lua,
    quote "require('pgmig.proof.sweeper').main()"), "w")
  pipe:write(url, "\n", prefix, "\n")
  pipe:flush()
  return pipe
end

--- All is dropped: let it end.
function M.stop(pipe)
  pipe:write(DONE)
  pipe:close()
end

--- The program: wait for the end of the pipe, then drop what is left.
function M.main()
  local url, prefix = io.read "*l", io.read "*l"
  if io.read "*a" == DONE then return end
  M.drop_all(connection.connect(url), prefix)
end

return M
