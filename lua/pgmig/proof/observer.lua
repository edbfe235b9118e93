--- Sees what a statement does, in its own session, before its COMMIT.
local effects = require "pgmig.proof.effects"

local M = {}
local observer = {}
observer.__index = observer

local LOCKS = [[
  SELECT l.relation::pg_catalog.int8 AS oid,
    pg_catalog.format('%I.%I', n.nspname, c.relname)::pg_catalog.text AS name,
    l.mode::pg_catalog.text AS mode
  FROM pg_catalog.pg_locks l
  LEFT JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) l.relation
  LEFT JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
  WHERE l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()
    AND l.locktype OPERATOR(pg_catalog.=) 'relation'
    AND l.granted AND l.relation OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid]]

--- The strongest lock on each relation, by name.
local function locks_of(db)
  local locks = {}
  for _, row in ipairs(db:ask(LOCKS)) do
    if row.name then
      locks[row.name] = effects.stronger(locks[row.name], effects.mode_of(row.mode))
    end
  end
  return locks
end

--- Watch the statements of a migrator.
-- @param migrator of pgmig.migrator
-- @param on_effect fn(effect), called behind each statement, in its transaction
function M.watch(migrator, on_effect)
  local self = setmetatable({ on_effect = on_effect }, observer)
  migrator:on("before_statement", function(ctx) self:before(ctx) end)
  migrator:on("after_statement", function(ctx) self:after(ctx) end)
  return self
end

function observer:before(ctx) self.held = locks_of(ctx.db) end

function observer:after(ctx)
  local m, statement = ctx.migration, ctx.statement
  local effect = effects.new {
    migration = m.label, version = m.version, direction = ctx.direction, file = m.path,
    line = statement.line, column = statement.column, statement = statement.index,
    kind = statement.kind, sql = ctx.sql, duration = ctx.duration, held = self.held,
  }
  for name, mode in pairs(locks_of(ctx.db)) do
    if effects.strength(mode) > effects.strength(self.held[name]) then effect.locks[name] = mode end
  end
  self.on_effect(effect)
end

return M
