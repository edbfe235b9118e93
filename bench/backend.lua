--- How much memory the server's processes take for a database.
local server = require "bench.server"
local shell = require "bench.shell"

local M = {}

--- The private memory of the largest process that serves a database now, in kB; 0: there is none.
function M.private_memory(database)
  local most = 0
  for _, pid in ipairs(server.backends(database)) do
    local status = shell.read(("/proc/%d/status"):format(pid)) or ""
    most = math.max(most, tonumber(status:match "RssAnon:%s*(%d+)") or 0)
  end
  return most
end

return M
