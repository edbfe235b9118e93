--- What `--version` says: pgmig, how it is built, and the libraries that are there.
local core = require "pgmig.core"

local M = {}

-- What stands for the forms of an executable: cmake/single.cmake.
local forms = {
  static = "static executable", mostly = "mostly static executable",
  dynamic = "dynamic executable", script = "script",
}

--- The engine's release: LuaJIT and Lua's library have a text each.
local function engine(ident)
  local jit = rawget(_G, "jit")
  if jit then return jit.version end
  return ident and ident:match "Lua %d[%d.]*" or _VERSION
end

--- From 150018 to 15.18.
local function of_libpq(number)
  return ("%d.%d"):format(math.floor(number / 10000), number % 10000)
end

local function all()
  local known, single = core.versions(), package.loaded["pgmig.single"]
  return {
    pgmig = require "pgmig.version", form = single and single.form or "script",
    libpq = of_libpq(known.libpq), openssl = known.openssl:gsub("^OpenSSL ", ""),
    lua = engine(known.lua),
  }
end

local LINES = "pgmig %s\nform:    %s\nlibpq:   %s\nOpenSSL: %s\nLua:     %s"

--- The versions, for people or as JSON. Of a library it is the one that is loaded.
function M.text(is_json)
  local v = all()
  if is_json then
    return require "dkjson".encode(v, { keyorder = { "pgmig", "form", "libpq", "openssl", "lua" } })
  end
  return LINES:format(v.pgmig, forms[v.form], v.libpq, v.openssl, v.lua)
end

return M
