--- Our own programs of the benchmark, which script/bench has built.
local shell = require "bench.shell"

local M = {}

M.root = assert(shell.output_of "pwd")

--- The path of a program; nil when it could not be built.
function M.path(name)
  local path = M.root .. "/build/bench/" .. name
  return shell.exists(path) and path or nil
end

return M
