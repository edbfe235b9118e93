--- One coroutine at a time uses a connection: what another one asks in the middle of a request, a
-- transaction or a run would become part of it.
local errors = require "pgmig.errors"

local unpack = unpack or table.unpack

local M = {}

local MAIN = {} -- the main thread, where Lua 5.1 has no name for it

local function running() return coroutine.running() or MAIN end

--- Whether the running coroutine is the owner, or was resumed by it, directly or not.
local function is_owner(owner)
  return owner == running() or owner == MAIN or coroutine.status(owner) == "normal"
end

local function pack(...) return { n = select("#", ...), ... } end

--- Call a function while the connection belongs to the running coroutine.
-- @param conn a connection of pgmig.db.connection
-- @param fn the function; ... its arguments
-- @return what it returns
-- @raise kind "usage" when the connection belongs to another one, and what `fn` raises
function M.hold(conn, fn, ...)
  if conn.owner and is_owner(conn.owner) then return fn(...) end
  if conn.owner then
    errors.raise("usage", "this connection is in use by another coroutine", {
      hint = "give each coroutine, such as each request of a web server, a connection of its own",
    })
  end
  conn.owner = running()
  local result = pack(pcall(fn, ...))
  conn.owner = nil
  if not result[1] then error(result[2], 0) end
  return unpack(result, 2, result.n)
end

return M
