rockspec_format = "3.0"
package = "pgmig"
version = "scm-1"

-- For `luarocks make` in a checkout: there is no release to download yet.
source = { url = "git+file://." }

description = {
  summary = "Versioned migrations for PostgreSQL",
  detailed = "Applies SQL and Lua migrations to PostgreSQL, from scripts, OpenResty and the shell.",
  license = "MIT",
}

dependencies = { "lua >= 5.1, < 5.5", "argparse >= 0.7", "dkjson >= 2.5" }

external_dependencies = {
  LIBPQ = { library = "pq" },
  CRYPTO = { library = "crypto" },
}

build = {
  type = "cmake",
  variables = {
    CMAKE_BUILD_TYPE = "RelWithDebInfo",
    PGMIG_ROCK_INCDIR = "$(LUA_INCDIR)",
    PGMIG_ROCK_LUADIR = "$(LUADIR)",
    PGMIG_ROCK_LIBDIR = "$(LIBDIR)",
    PGMIG_ROCK_BINDIR = "$(BINDIR)",
  },
}
