--- A real pgbouncer in transaction mode before the specs' server.
local pgmig = require "pgmig"
local programs = require "spec.faults.programs"
local support = require "spec.support"

local M = {}

local function listens(url)
  local ok, db = pcall(pgmig.connect, url)
  if ok then db:close() end
  return ok
end

--- Start it.
-- @param pool_size connections to the server, per database
-- @param options { connect_query = what each of them begins with, pool_mode = "session" }; nil
-- @return { url = fn(database), socket = its path, stop = fn() }
function M.start(pool_size, options)
  options = options or {}
  local server, dir = support.server(), programs.folder()
  local ini = support.write(dir, "pgbouncer.ini", ([[
[databases]
* = host=%s port=%d user=postgres %s
[pgbouncer]
listen_addr =
unix_socket_dir = %s
listen_port = 6432
auth_type = any
admin_users = postgres
pool_mode = %s
default_pool_size = %d
max_client_conn = 200
server_reset_query =
logfile = %s/log
]]):format(server.host, server.port,
    options.connect_query and ("connect_query='%s'"):format(options.connect_query) or "", dir,
    options.pool_mode or "transaction", pool_size, dir))
  local stop = programs.keep(("/usr/sbin/pgbouncer -q %s & p=$!"):format(ini), "kill $p; wait $p")
  local function url(database)
    return ("postgresql://postgres@/%s?host=%s&port=6432"):format(database, dir)
  end
  support.wait(function() return listens(url "postgres") end, "pgbouncer")
  return { url = url, socket = dir .. "/.s.PGSQL.6432", stop = stop }
end

return M
