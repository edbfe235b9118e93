--- A server that lies (liar.c), before the specs' server.
local support = require "spec.support"

local M = {}


local compiled

local function program()
  if compiled then return compiled end
  compiled = support.tempdir() .. "/liar"
  local code, _, err = support.run(
    "cc -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -O1 spec/robustness/liar.c -o " .. compiled)
  assert(code == 0, err)
  return compiled
end

--- Start it.
-- @param seed of its lies
-- @return { url = fn(url, what) returns the connection string of a database through the liar, where
--   `what` says what it is to say (liar.c), if anything; stop = fn() returns how many lies it has
--   told }
function M.start(seed)
  local dir, server = support.tempdir(), support.server()
  local socket, told = dir .. "/.s.PGSQL.5432", dir .. "/told"
  local pipe = assert(io.popen(("exec %s %s %s/.s.PGSQL.%d %d >%s"):format(program(), socket,
    server.host, server.port, seed, told), "w"))
  support.wait(function() return os.rename(socket, socket) end, "the liar")
  return {
    url = function(url, what)
      local options = what and "&connect_timeout=1&options=-c%20pgmig.liar%3D" .. what or ""
      return ("postgresql:///%s?host=%s&user=postgres%s"):format(url:match "/([%w_]+)%?", dir,
        options)
    end,
    stop = function()
      pipe:close()
      return tonumber(support.read(told))
    end,
  }
end

return M
