--- Watches what the statements of a migrator do on a clone, in their own session: before and behind
-- each one it takes a reading, and makes a record of what has changed (pgmig.proof.effects).
local concurrent = require "pgmig.proof.concurrent"
local core = require "pgmig.core"
local effects = require "pgmig.proof.effects"
local errors = require "pgmig.errors"
local events = require "pgmig.proof.events"
local lua_calls = require "pgmig.proof.lua_calls"
local reading = require "pgmig.proof.reading"
local relations = require "pgmig.proof.relations"
local source = require "pgmig.files.source"

local M = {}
local observer = {}
observer.__index = observer

--- pgmig's own tables, as a set of `schema.name` without quotes.
local function own_tables(migrator)
  local set, qualified = {}, migrator.ledger.handle:qualified()
  local schema, name = (qualified or ""):match '^"(.*)"%."(.*)"$'
  if not schema then return set end
  local plain = (schema .. "." .. name):gsub('""', '"')
  for _, tail in ipairs { "", "_history", "_journal", "_backfill" } do set[plain .. tail] = true end
  return set
end

--- Watch the statements of a migrator.
-- @param migrator of pgmig.migrator, with a connection to a clone
-- @param on_effect fn(effect, db), called behind each statement, in its transaction where there is
--   one
-- @return the observer
function M.watch(migrator, on_effect)
  local self = setmetatable({ migrator = migrator, on_effect = on_effect }, observer)
  self.shared = migrator.has_hooks -- others use the connection, too
  self.reader = reading.new(migrator.db)
  self.has_events = events.create(migrator.db)
  migrator:on("before_each", function(ctx) self:open(ctx) end)
  migrator:on("before_statement", function(ctx) self:before(ctx) end)
  migrator:on("after_statement", function(ctx) self:after(ctx) end)
  return self
end

--- A migration begins.
function observer:open(ctx)
  self.relations = self.relations or relations.new(ctx.db, own_tables(self.migrator), self.reader)
  self.is_settled = false
  lua_calls.watch(self, ctx)
end

-- ---- a statement ---------------------------------------------------------------

--- Begin the record of a statement.
-- @param ctx of a hook
-- @param statement { index, kind, line, column }
-- @param sql its text
function observer:begin(ctx, statement, sql)
  local m = ctx.migration
  self.current = effects.new {
    migration = m.label, version = m.version, direction = ctx.direction,
    file = source.path(m, ctx.direction), line = statement.line, column = statement.column,
    statement = statement.index, kind = statement.kind, sql = sql,
    transaction = ctx.db:transaction_status() ~= "idle",
  }
end

local function settle(self, db)
  if self.is_settled and not self.shared then return end
  self.relations:settle(db)
  self.is_settled = true
end

--- Take the reading before it.
local function look_before(self, db)
  settle(self, db)
  self.current.held, self.current.settings = self.relations:held(), self.relations.settings
end

--- Take the reading behind it.
local function look_behind(self, db)
  local effect = self.current
  local seen = self.relations:compare(db, effect, effect.sql)
  events.add(seen, effect, function(oid) return self.relations:name_of(oid) end)
end

local function finish(self, db, seconds)
  local effect = self.current
  effect.duration, self.current = seconds, nil
  self.on_effect(effect, db)
end

--- Try a statement that has no transaction of its own in one, which is rolled back.
-- @param run fn() sends it
-- @return whether it can run in a transaction
function observer:rehearse(db, run)
  db:exec "BEGIN"
  self.is_settled = false
  look_before(self, db)
  local ok, err = pcall(run)
  if ok then look_behind(self, db) end
  db:exec "ROLLBACK"
  self.is_settled = false
  if not ok and not errors.is(err, "sql") then error(err, 0) end
  return ok
end

--- Run a statement that has no transaction of its own, and watch it.
-- @param db the connection
-- @param run fn() sends it, when it is tried
-- @return fn() to be called behind the statement itself
function observer:outside(db, run)
  local before = self.relations
  if self:rehearse(db, run) then
    return function() self.relations = before:renewed(db) end
  end
  self.relations = before:renewed(db)
  return function()
    local now = self.relations:renewed(db)
    concurrent.observe(self.current, self.relations, now)
    self.relations = now
  end
end

--- A statement is about to be sent.
function observer:before(ctx)
  local db = ctx.db
  self:begin(ctx, ctx.statement, ctx.sql)
  self.behind = nil
  if self.current.transaction then return look_before(self, db) end
  self.behind = self:outside(db, function()
    if ctx.statement.copy_data then return db:copy(ctx.sql, "") end
    db:exec(ctx.sql)
  end)
end

--- It has succeeded.
function observer:after(ctx)
  if self.behind then self.behind() else look_behind(self, ctx.db) end
  finish(self, ctx.db, ctx.duration)
end

--- Watch a call that runs a statement from Lua.
-- @param ctx of the migration's hook
-- @param statement { index, kind, line }
-- @param sql its text
-- @param run fn() runs it
-- @param try fn() the same, for one that is rolled back
-- @return what `run` returns, one value
function observer:call(ctx, statement, sql, run, try)
  local db = ctx.db
  self:begin(ctx, statement, sql)
  local behind
  if self.current.transaction then
    look_before(self, db)
  else
    behind = self:outside(db, try)
  end
  local began = core.now()
  local result = run()
  local seconds = core.now() - began
  if behind then behind() else look_behind(self, db) end
  finish(self, db, seconds)
  return result
end

--- The transaction has been begun or ended by the migration's own code.
function observer:turn() self.is_settled = false end

--- A run has failed: the record of the statement that it was at, if it was at one.
-- @param err its error
function observer:failed(err)
  local effect = self.current
  self.current = nil
  if not effect then return end
  effect.error = err
  self.on_effect(effect)
end

return M
