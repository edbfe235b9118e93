--- A link with latency before the server (delay.c).
local core = require "pgmig.core"
local programs = require "bench.programs"
local shell = require "bench.shell"

local M = {}

local START_LIMIT = 5 -- seconds for the proxy to listen
local count = 0

--- Start a link.
-- @param server { host =, port = }
-- @param milliseconds how long each way takes
-- @return { host =, port =, stop = fn() returning how many connections and round trips there were }
function M.start(server, milliseconds)
  count = count + 1
  local folder = shell.folder("delay" .. count)
  local socket, report = folder .. "/.s.PGSQL.5432", folder .. "/report"
  local upstream = ("%s/.s.PGSQL.%d"):format(server.host, server.port)
  local pipe = assert(io.popen(shell.join { programs.path "delay", socket, upstream, milliseconds,
    report }, "w"))
  local limit = core.now() + START_LIMIT
  while not shell.exists(socket) do
    assert(core.now() < limit, "the delaying proxy does not listen")
    core.poll({}, {}, 0.002)
  end
  return {
    host = folder,
    port = 5432,
    stop = function()
      pipe:close()
      local connections, round_trips = shell.read(report):match "^(%d+) (%d+)"
      return tonumber(connections), tonumber(round_trips)
    end,
  }
end

return M
