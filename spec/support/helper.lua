-- What busted runs before the specs (see .busted): it chooses the C module of this Lua, and loads
-- once what all spec files share. Busted forgets the modules that a spec file loads.
local engine = rawget(_G, "jit") and "luajit" or "lua5.4"
local build = os.getenv "PGMIG_BUILD" or "build"

package.cpath = ("./%s/%s/?.so;%s"):format(build, engine, package.cpath)
local support = require "spec.support"

require "busted".subscribe({ "file", "end" }, function()
  support.drop_databases()
  return nil, true
end)
