--- A database that goes up and down through migrations, and what each step does to its schema.
local connection = require "pgmig.db.connection"
local errors = require "pgmig.errors"
local fingerprints = require "pgmig.proof.fingerprint"
local ledger = require "pgmig.state.ledger"
local net = require "pgmig.proof.net"
local verify_script = require "pgmig.proof.verify_script"

local M = {}
local walk = {}
walk.__index = walk

-- ---- rows of tables ------------------------------------------------------------

local TABLES = [[
  SELECT pg_catalog.format('%%I.%%I', n.nspname, c.relname) AS name FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
  WHERE c.relkind OPERATOR(pg_catalog.=) ANY ('{r,m}'::pg_catalog."char"[])
    AND c.oid OPERATOR(pg_catalog.>=) 16384 AND c.relispopulated
    AND n.nspname OPERATOR(pg_catalog.!~) '^pg_'
    AND c.oid OPERATOR(pg_catalog.<>) ALL (%s::pg_catalog.oid[])
  ORDER BY 1]]
local CONTENTS = [[SELECT pg_catalog.count(*) AS count,
  pg_catalog.md5(pg_catalog.string_agg(t::pg_catalog.text, '
' ORDER BY t::pg_catalog.text COLLATE pg_catalog."C")) AS digest FROM %s t]]

--- What is in each table: { count, digest } by name.
-- @param own an array of those that do not count
local function contents(db, own)
  local result = {}
  for _, row in ipairs(db:query(TABLES:format(db:quote_literal(own)))) do
    result[row.name] = db:query(CONTENTS:format(row.name))[1]
  end
  return result
end

-- ---- what is put into them -------------------------------------------------------

--- A connection for what comes beside the migrations.
local function hand_of(self)
  if not self.hand then self.hand = connection.connect(self.twin.db.options) end
  return self.hand
end

local function run_seed(self, version)
  local seed = self.context.seed
  if not seed or (version and type(seed) == "string") then return end
  local db = hand_of(self)
  local ok, err = pcall(function()
    if type(seed) == "function" then return seed(db, version) end
    db:exec(seed)
  end)
  if ok then return end
  errors.raise("usage", "the seed fails: " .. tostring(err), {
    file = self.context.seed_file, hint = "it runs before the first migration that is verified; "
      .. "as a Lua function also behind each, with its version",
  })
end

-- ---- the database -----------------------------------------------------------------

--- Note what a step has done, as soon as it is committed.
local function look(self, m, direction)
  local changes = self.eye:changes()
  local at = self.places[ledger.key(m)]
  if direction == "up" then
    run_seed(self, m.version)
    if self.context.rows then self.contents[at] = self:rows() end
  end
  if self.on_step then self.on_step(at, net.of(changes)) end
end

--- What a hook raises stops nothing by itself.
local function watch(self)
  self.twin:on("committed", function(ctx)
    if self.raised then return end
    local ok, err = pcall(look, self, ctx.migration, ctx.direction)
    if not ok then self.raised, self.stopped = err, true end
  end)
end

local function run(self, list, direction)
  local plan = { direction = direction, files = self.plan.files }
  for i, m in ipairs(list) do plan[i] = m end
  if not plan[1] then return nil end
  self.stopped = false
  local ok, err = pcall(self.twin.run, self.twin, plan, {
    stop = function() return self.stopped end,
  })
  if self.raised then error(self.raised, 0) end
  if ok then return nil end
  if errors.is(err, "interrupted") or errors.is(err, "connect") then error(err, 0) end
  return err
end

--- Call a function for each step from now on.
-- @param fn fn(at, effect): the place of the migration, and what it did (pgmig.proof.net); nil
local function tell(self, fn) self.on_step = fn end

--- The migrations of a range.
local function range(self, from, to)
  local list = {}
  for i = from, to, from <= to and 1 or -1 do list[#list + 1] = self.plan[i] end
  return list
end

--- Apply migrations.
-- @param from, to places in the plan
-- @param fn as of `tell`
-- @return the error of one that fails; nil
function walk:up(from, to, fn)
  tell(self, fn)
  return run(self, to >= from and range(self, from, to) or {}, "up")
end

--- Roll back migrations.
-- @param from, to places, from the highest to the lowest
-- @param fn as of `tell`
-- @return the error of one that fails; nil
function walk:down(from, to, fn)
  tell(self, fn)
  return run(self, to <= from and range(self, from, to) or {}, "down")
end

--- Run the verify script of a migration that has gone up.
-- @param at its place
-- @return as of `pgmig.proof.verify_script`
function walk:verify(at)
  local m = self.plan[at]
  return m.verify_path and verify_script.run(hand_of(self), m)
end

--- End it behind the step under way.
function walk:stop() self.stopped = true end

--- Read the whole schema again.
function walk:take() return self.eye:take() end

--- What is in the tables, by name.
function walk:rows() return contents(self.looking, self.eye:own_relations()) end

--- Remove the database.
function walk:close()
  if self.looking then self.looking:close() end
  if self.hand then self.hand:close() end
  self.context.clone:discard(self.twin)
end

--- Bring it to its place. What nobody looks at goes in one pipeline.
local function begin(self, count)
  local context = self.context
  self.twin.policy.out_of_order = "allow" -- one in the middle goes down and up by itself
  self.plan = self.twin:plan(context.target)
  for i, m in ipairs(self.plan) do
    self.places[ledger.key(m)], self.by_label[m.label] = i, i
  end
  run_seed(self)
  local is_watched = context.rows or type(context.seed) == "function"
  self.looking = connection.connect(self.twin.db.options)
  self.eye = fingerprints.open(self.looking, {
    own = true, without = fingerprints.tables(self.twin.ledger.name),
  })
  if context.rows then self.contents[0] = self:rows() end
  if is_watched then watch(self) end
  local err = self:up(1, count)
  if err then error(err, 0) end
  if not is_watched then watch(self) end
  self.start = self:take()
end

--- A fresh database with so many of the migrations applied.
-- @param context { clone, migrator, applied = what counts as applied (pgmig.proof.clone), target =
--   options of `migrator:plan`, seed = SQL or fn(db, version) or nil, seed_file, rows = whether
--   rows of tables count }
-- @param count how many
-- @return it: `plan`, `by_label` = places, `start` = the schema that it begins with, `contents` =
--   by place what is in the tables
-- @raise the error of a migration that fails
function M.open(context, count)
  local self = setmetatable({
    context = context, places = {}, by_label = {}, contents = {},
    twin = context.clone:twin(context.migrator, { applied = context.applied }),
  }, walk)
  local ok, err = pcall(begin, self, count)
  if ok then return self end
  self:close()
  error(err, 0)
end

return M
