--- Programs with AddressSanitizer and UBSan.
local support = require "spec.support"

local M = {}

--- The core and its binding, as words of a shell.
M.core = ("-DPGMIG_VERSION='\"%s\"' core/{base,text,wire,ledger,engine,binding}/*.c"):format(
  require "pgmig.version")

--- Compile a program.
-- @param source the C files, as words of a shell
-- @param output its path
-- @param flags further words
function M.compile(source, output, flags)
  local code, _, err = support.run(("cc -g -std=c11 -Wall -Wextra -Werror -D_GNU_SOURCE -Icore " ..
    "-fsanitize=address,undefined -fno-sanitize-recover=undefined %s -o %s %s"):format(
    source, output, flags))
  if code ~= 0 then error(err, 2) end
end

local lua

--- A Lua 5.4 that has the core and its binding in it, sanitized: the path of the program.
function M.lua()
  if lua then return lua end
  lua = support.tempdir() .. "/lua_host"
  M.compile("spec/fixtures/c/lua_host.c " .. M.core, lua,
    "-O1 $(pkg-config --cflags --libs lua5.4 libpq libcrypto) -lm -lpthread")
  return lua
end

return M
