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

-- libpq and libcrypto are no external_dependencies: CMake finds them with pkg-config, wherever
-- they are. LuaRocks would look for them in folders that it guesses, also where a binary rock is
-- installed; without gcc it does not know that of Debian.
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
