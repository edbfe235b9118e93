--- The proxy between the program and the specs' server (proxy.c).
local support = require "spec.support"

local M = {}


local compiled

local function proxy_program()
  if compiled then return compiled end
  compiled = support.tempdir() .. "/proxy"
  local code, _, err = support.run(
    "cc -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -O1 spec/faults/proxy.c -o " .. compiled)
  assert(code == 0, err)
  return compiled
end

local function exists(path)
  return (os.rename(path, path))
end

--- The socket of the specs' server.
local function server_socket()
  local server = support.server()
  return ("%s/.s.PGSQL.%d"):format(server.host, server.port)
end

--- Start the proxy before the specs' server.
-- @param k the number of the message that meets the fault; or several, as a text with commas
-- @param upstream the socket of what stands before the server; nil: the server's own
-- @return { url = fn(database), pid_file, stop = fn() returning how many messages it has seen, and
--   the type of the one that met the fault, signal = fn(name): "STOP" silences it, until "CONT" }
function M.start(mode, k, upstream)
  local dir = support.tempdir()
  local socket, report, pid_file = dir .. "/.s.PGSQL.5432", dir .. "/report", dir .. "/pid"
  local own_pid = dir .. "/proxy.pid"
  local pipe = assert(io.popen(("echo $$ >%s; exec %s %s %s %s %s %s %s"):format(own_pid,
    proxy_program(), socket, upstream or server_socket(), mode, k, report, pid_file), "w"))
  support.wait(function() return exists(socket) end, "the proxy")
  return {
    pid_file = pid_file,
    signal = function(name)
      support.run(("kill -%s %s"):format(name, support.read(own_pid)))
    end,
    url = function(database) return ("postgresql://postgres@/%s?host=%s"):format(database, dir) end,
    stop = function()
      pipe:close()
      local count, kind = support.read(report):match "^(%d+) (.)"
      return tonumber(count), kind ~= "-" and kind or nil
    end,
  }
end

return M
