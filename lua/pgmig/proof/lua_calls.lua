--- The calls with which a migration in Lua runs its statements: each is observed like a statement
-- of a file.
local core = require "pgmig.core"
local effects = require "pgmig.proof.effects"
local source = require "pgmig.files.source"

local unpack = unpack or table.unpack

local M = {}

-- The methods of a connection that run what a migration asks for.
local methods = { "query", "exec", "copy", "ask" }

local control = {
  BEGIN = true, START = true, COMMIT = true, END = true, ROLLBACK = true, ABORT = true,
}

--- What kind of statement a text is: the first one's.
local function kind_of(sql)
  local ok, statements = pcall(function()
    return core.parse_script("-- pgmig: transaction=off\n" .. sql, "(Lua)"):describe().up.statements
  end)
  return ok and statements[1] and statements[1].kind or "?"
end

--- The line of a file that has called.
local function line_in(path)
  local level = 3
  while true do
    local info = debug.getinfo(level, "Sl")
    if not info then return 1 end
    if info.source == "@" .. path then return info.currentline end
    level = level + 1
  end
end

--- The same call for a try, which is rolled back: data that comes piece by piece comes only once.
local function trial(method, sql, arguments)
  if method ~= "copy" then return arguments end
  return { n = 1, effects.mentions(sql, "stdin") and "" or nil }
end

--- Let a connection's calls be observed.
local function attach(observer, ctx)
  local db, count = ctx.db, 0
  local class = getmetatable(db)
  for _, method in ipairs(methods) do
    db[method] = function(self, sql, ...)
      local arguments = { n = select("#", ...), ... }
      local function run(given) return class[method](self, sql, unpack(given, 1, given.n)) end
      if type(sql) ~= "string" then return run(arguments) end
      if control[(sql:match "^%s*(%a+)" or ""):upper()] then
        observer:turn()
        return run(arguments)
      end
      count = count + 1
      local statement = {
        index = count, kind = kind_of(sql), line = line_in(ctx.migration.path), column = 1,
      }
      return observer:call(ctx, statement, sql, function() return run(arguments) end, function()
        return run(trial(method, sql, arguments))
      end)
    end
  end
end

local function detach(db)
  for _, method in ipairs(methods) do db[method] = nil end
end

--- Observe the calls of a migration in Lua, while its function runs; those of an attempt that has
-- failed are no longer observed.
-- @param observer of pgmig.proof.observer
-- @param ctx of the hook before_each
function M.watch(observer, ctx)
  detach(ctx.db)
  local functions = source.read(ctx.migration).functions
  local fn = functions and functions[ctx.direction]
  if not fn then return end
  functions[ctx.direction] = function(db)
    attach(observer, ctx)
    fn(db)
    detach(db)
  end
end

return M
