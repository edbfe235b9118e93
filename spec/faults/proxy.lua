--- The proxy between the program and the specs' server (proxy.c).
local core = require "pgmig.core"
local support = require "spec.support"

local M = {}

local START_LIMIT = 5 -- seconds for the proxy to listen

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

--- Start the proxy before the specs' server.
-- @return { url = fn(database), pid_file, stop = fn() returning how many messages it has seen, and
--   the type of the one that met the fault }
function M.start(mode, k)
  local dir = support.tempdir()
  local socket, report, pid_file = dir .. "/.s.PGSQL.5432", dir .. "/report", dir .. "/pid"
  local server = support.server()
  local upstream = ("%s/.s.PGSQL.%d"):format(server.host, server.port)
  local pipe = assert(io.popen(("%s %s %s %s %d %s %s"):format(proxy_program(), socket, upstream,
    mode, k, report, pid_file), "w"))
  local limit = core.now() + START_LIMIT
  while not exists(socket) do
    assert(core.now() < limit, "the proxy does not listen")
    core.poll({}, {}, 0.002)
  end
  return {
    pid_file = pid_file,
    url = function(database) return ("postgresql://postgres@/%s?host=%s"):format(database, dir) end,
    stop = function()
      pipe:close()
      local count, kind = support.read(report):match "^(%d+) (.)"
      return tonumber(count), kind ~= "-" and kind or nil
    end,
  }
end

return M
