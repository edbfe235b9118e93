--- The C module, `pgmig.core`; where it cannot be used, an error says what to do. The modules that
-- programs begin with load this first, so that none of the others fails on it.
local version = require "pgmig.version"

local engine = rawget(_G, "jit") and "LuaJIT" or _VERSION
local install = "install the Debian package lua-pgmig or the rock pgmig (docs/install.md)"

--- What to do, for an error of `require`; nil when it has another cause.
local function advice(problem)
  if problem:find("module 'pgmig.core' not found", 1, true) then
    return ("the C module pgmig.core is missing for %s: in a checkout, run script/build; elsewhere "
      .. "%s, and name its folder in %s"):format(engine, install,
        rawget(_G, "ngx") and "lua_package_cpath" or "LUA_CPATH")
  end
  local library = problem:match "(lib[%w+-]+%.so[%d.]*): cannot open shared object file"
  if library then
    return ("the C module pgmig.core needs %s: install libpq and OpenSSL, on Debian the packages "
      .. "libpq5 and libssl3"):format(library)
  end
end

local ok, core = pcall(require, "pgmig.core")
if not ok then error(advice(tostring(core)) or core, 0) end
if core.release ~= version then
  error(("the Lua files of pgmig are of version %s, the C module pgmig.core is of version %s: %s, "
    .. "both of one version"):format(version, core.release, install), 0)
end
return core
