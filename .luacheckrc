-- Shipped code runs on Lua 5.4 and on LuaJIT: only what all Lua versions share is known there.
std = "min"
max_line_length = 100
exclude_files = { "build*/" }
read_globals = {
  "unpack", -- of the 5.1 ABI; table.unpack is 5.4's
  table = { fields = { "unpack", "maxn" } },
}

-- Nothing else knows nginx.
files["lua/pgmig/nginx"] = {
  read_globals = {
    ngx = {
      other_fields = true,
      fields = {
        status = { read_only = false },
        header = { read_only = false, other_fields = true },
      },
    },
  },
}
files["spec"] = { std = "min+busted" }
files["lua/pgmig/cli/script.lua"] = { read_globals = { "loadstring" } }
files["core/single"] = {
  read_globals = { "arg", "loadstring" },
  globals = { package = { fields = { "searchpath", "searchers", "loaders" } } },
}
files["bin/pgmig"] = { globals = { "_" }, read_globals = { "arg" } } -- its beginning is for sh
files["packaging"] = { std = "lua54" } -- it runs on lua5.4 only
