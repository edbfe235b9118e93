--- What is known of the commands that cannot run in a transaction: their locks are gone when they
-- end, so nobody can look at them. Which relations they touch, the catalogs tell. A spec holds each
-- command at its waits and looks from outside.
local effects = require "pgmig.proof.effects"

local M = {}

local WRITERS = "transactions that have written to the table, and then all that began before"
local USERS = "transactions that use the table, readers too"

--- The locks that a command takes on tables, indexes and a partition, and for whom it waits without
-- letting others wait. PostgreSQL 11 to 18 agree.
M.locks = {
  ["CREATE INDEX CONCURRENTLY"] = { table = "SHARE UPDATE EXCLUSIVE", waits = WRITERS },
  ["DROP INDEX CONCURRENTLY"] = {
    table = "SHARE UPDATE EXCLUSIVE", index = "SHARE UPDATE EXCLUSIVE", waits = USERS,
  },
  ["REINDEX CONCURRENTLY"] = { -- PostgreSQL 12
    table = "SHARE UPDATE EXCLUSIVE", index = "SHARE UPDATE EXCLUSIVE", waits = WRITERS,
  },
  ["DETACH PARTITION CONCURRENTLY"] = { -- PostgreSQL 14
    table = "SHARE UPDATE EXCLUSIVE", partition = "ACCESS EXCLUSIVE", waits = USERS,
  },
  ["REINDEX"] = { table = "SHARE", index = "ACCESS EXCLUSIVE" }, -- of a schema, a database
  ["CLUSTER"] = { table = "ACCESS EXCLUSIVE", index = "ACCESS EXCLUSIVE" },
  ["VACUUM FULL"] = { table = "ACCESS EXCLUSIVE", index = "ACCESS EXCLUSIVE" },
  ["VACUUM"] = { table = "SHARE UPDATE EXCLUSIVE" },
}

--- Which command a statement is.
local function command_of(effect)
  local kind, concurrently = effect.kind, effects.mentions(effect.sql, "concurrently")
  if kind == "ALTER TABLE" and concurrently then return "DETACH PARTITION CONCURRENTLY" end
  if kind == "REINDEX" and concurrently then return "REINDEX CONCURRENTLY" end
  if kind == "VACUUM" and effects.mentions(effect.sql, "full") then return "VACUUM FULL" end
  return kind
end

--- The tables and indexes that it has worked on, as the catalogs show it.
local function touched(effect)
  local tables, indexes = {}, {}
  for _, build in ipairs(effect.builds) do
    if build.table then tables[build.table] = true end
    if build.rebuilt then indexes[build.index] = true end
  end
  for _, object in ipairs(effect.dropped) do
    if object.table then tables[object.table], indexes[object.name] = true, true end
  end
  for _, name in ipairs(effect.rewrites) do
    if not indexes[name] then tables[name] = true end
  end
  return tables, indexes
end

local is_table = { table = true, ["materialized view"] = true, ["partitioned table"] = true }

--- The tables that it names, where it has changed nothing; of VACUUM without a name, all.
local function named(effect, before)
  local all, some = {}, {}
  for _, known in pairs(before.known) do
    if is_table[known.kind] and not known.hidden then
      all[known.name] = true
      if effects.mentions(effect.sql, known.bare) then some[known.name] = true end
    end
  end
  return (next(some) or effect.kind ~= "VACUUM") and some or all
end

local function lock_all(effect, before, names, mode)
  for name in pairs(mode and names or {}) do
    effect.locks[name] = mode
    before:describe(effect, name, effect.sql)
  end
end

--- Put into a record what the catalogs show, and the locks that its command is known to take.
-- @param effect the record
-- @param before the relations before the statement (pgmig.proof.relations)
-- @param now those behind it
function M.observe(effect, before, now)
  local detached = before:difference(now, effect)
  local known = M.locks[command_of(effect)]
  effect.source = known and "table" or "catalog"
  if not known then return end
  local tables, indexes = touched(effect)
  if not next(tables) then tables = named(effect, before) end
  for name in pairs(detached) do tables[name] = nil end
  lock_all(effect, before, tables, known.table)
  lock_all(effect, before, indexes, known.index)
  lock_all(effect, before, detached, known.partition)
  effect.waits = known.waits
end

return M
