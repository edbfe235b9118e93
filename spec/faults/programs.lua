--- PostgreSQL's own programs, run as a user that may: not as root.
local support = require "spec.support"

local M = {}

local function line(command)
  local _, out = support.run(command)
  return (out:gsub("%s+$", ""))
end

local is_root = line "id -u" == "0"

--- What stands before a command; "" where there is no need.
M.as_user = is_root and "runuser -u postgres -- " or ""

--- Where initdb, pg_ctl and pg_basebackup are.
M.bin = line "pg_config --bindir"

--- A new folder that this user may write into.
function M.folder()
  local dir = support.tempdir()
  if is_root then support.run(("chmod a+x %s/.. && chown postgres %s"):format(dir, dir)) end
  return dir
end

--- Run a command until stop is called, or this process is gone, whatever becomes of it.
-- @param start a shell command that starts it
-- @param stop a shell command that ends it
-- @return fn() that stops it and waits
function M.keep(start, stop)
  local text = ("cd /; %s; cat >/dev/null; %s"):format(start, stop)
  local pipe = assert(io.popen(("%ssh -c %s >/dev/null 2>&1"):format(M.as_user,
    support.quote(text)), "w"))
  return function() pipe:close() end
end

return M
