--- The relations of a clone: what is known of each, and what a statement has changed about them, as
-- two readings show it.
local effects = require "pgmig.proof.effects"

local M = {}
local relations = {}
relations.__index = relations

local kinds = {
  r = "table", i = "index", I = "partitioned index", v = "view", m = "materialized view",
  S = "sequence", p = "partitioned table", f = "foreign table", c = "composite type", t = "toast",
}

local nothing = { strength = 0, scans = 0, inserted = 0, updated = 0, deleted = 0 }

local function is_own(self, row)
  return self.own[row.schema .. "." .. row.bare] or self.own[row.indexed] or false
end

--- Take in what a relation is.
-- @param existed whether it was there before the pending migrations
local function learn(self, row, existed)
  self.newest = math.max(self.newest, row.oid)
  if is_own(self, row) then self.own[row.oid] = true end
  self.known[row.oid] = {
    oid = row.oid, name = row.name, bare = row.bare, shown = row.shown, file = row.file,
    kind = kinds[row.kind] or row.kind, indexed = row.indexed, tablespace = row.tablespace,
    existed = existed, hidden = row.schema == "pg_toast" or is_own(self, row), parent = row.parent,
  }
end

--- Begin: everything that there is counts as existing.
-- @param db a connection to the clone
-- @param own pgmig's own tables, as a set of `schema.name` without quotes
-- @param reader of pgmig.proof.reading
function M.new(db, own, reader)
  local self = setmetatable({
    own = own, reader = reader, known = {}, rows = {}, newest = 0,
  }, relations)
  local list = self.reader:details(db)
  for _, row in ipairs(list) do
    if is_own(self, row) then own[row.oid] = true end -- before its indexes
  end
  for _, row in ipairs(list) do learn(self, row, true) end
  return self
end

--- Those whose counters may go on from what they were: the server adds them up over transactions,
-- until it reports them.
local function counted(self)
  local oids = {}
  for oid, row in pairs(self.rows) do
    if row.scans + row.inserted + row.updated + row.deleted > 0 then oids[#oids + 1] = oid end
  end
  return oids
end

local function is_gone(row) return row.shown == tostring(row.oid) end

--- Ask what those are that are not known yet, or are no longer called what they were.
local function inquire(self, db, rows)
  local oids, found = {}, {}
  for oid, row in pairs(rows) do
    local known = self.known[oid]
    local changed = not known or known.shown ~= row.shown or known.file ~= row.file
    if changed and not is_gone(row) then oids[#oids + 1] = oid end
  end
  if not oids[1] then return found end
  for _, row in ipairs(self.reader:details(db, oids)) do found[row.oid] = row end
  return found
end

-- What a transaction has made itself, nobody else sees, and all of it is locked. There may be
-- thousands, so only those are looked at that a statement names.

--- A transaction begins, or somebody else has used its connection: take a reading of all that it
-- has locked.
function relations:settle(db)
  local taken = self.reader:take(db, counted(self), 0, 0)
  self.young, self.made = {}, {}
  for oid, row in pairs(inquire(self, db, taken.rows)) do
    local known = self.known[oid]
    learn(self, row, known ~= nil and known.existed)
  end
  self.rows, self.settings, self.before = taken.rows, taken.settings, self.newest
end

--- The strongest locks that are held, by name, on what the transaction has not made itself.
function relations:held()
  local held = {}
  for oid, row in pairs(self.rows) do
    local known = self.known[oid]
    if known and not known.hidden and row.strength > 0 and not self.made[oid] then
      held[known.name] = effects.modes[row.strength]
    end
  end
  return held
end

--- What the transaction has made and a statement names: tables with their indexes.
local function named(self, sql)
  local oids = {}
  local function add(word)
    for _, oid in ipairs(self.young[word] or {}) do oids[#oids + 1] = oid end
  end
  for word in sql:gmatch "[%w_$\128-\255]+" do
    add(word)
    if word ~= word:lower() then add(word:lower()) end
  end
  for word in sql:gmatch '"([^"]+)"' do add(word) end
  return oids
end

--- Note what the transaction has made, under the names by which statements may name it.
local function note_young(self, known)
  local table_of = known.indexed and self.known[known.indexed]
  self.made[known.oid] = true
  for _, one in ipairs { known, table_of } do
    self.young[one.bare] = self.young[one.bare] or {}
    table.insert(self.young[one.bare], known.oid)
  end
end

-- ---- what has changed ----------------------------------------------------------

local function lowest_first(set)
  local list = {}
  for _, item in pairs(set) do list[#list + 1] = item end
  table.sort(list, function(a, b) return a.oid < b.oid end)
  return list
end

--- Put the index that has come in the place of one that is gone: it has its file, or at least its
-- name.
local function successor(gone, new)
  for _, old in ipairs(gone) do
    local kept = old.file ~= 0 and old.file == new.file
    if old.kind == "index" and not old.replaced and (kept or old.name == new.name) then
      old.replaced = true
      return old, kept
    end
  end
end

--- How a relation is told of in a record.
local function describe(self, effect, known, sql)
  local index_of = known.indexed and self.known[known.indexed]
  effect.relations[known.name] = {
    oid = known.oid, kind = known.kind, table = index_of and index_of.name,
    existed = known.existed, named = effects.mentions(sql, known.bare),
  }
end

local function entry(self, known)
  local index_of = known.indexed and self.known[known.indexed]
  return { kind = known.kind, name = known.name, table = index_of and index_of.name }
end

--- What became of one that is new.
local function add_new(self, effect, new, gone)
  local of = entry(self, new)
  local old, kept
  if new.kind == "index" then old, kept = successor(gone, new) end
  if old then new.existed = old.existed end
  if kept then
    effect.kept[#effect.kept + 1] = new.name
  elseif old then
    effect.builds[#effect.builds + 1] = { index = new.name, table = of.table, rebuilt = true }
  else
    effect.created[#effect.created + 1] = of
    if new.kind == "index" then
      effect.builds[#effect.builds + 1] = { index = new.name, table = of.table, new = true }
    end
  end
end

--- What differs in the numbers of one.
local function add_numbers(effect, name, before, now)
  if now.scans > before.scans then effect.scans[name] = now.scans - before.scans end
  local inserted, updated = now.inserted - before.inserted, now.updated - before.updated
  local deleted = now.deleted - before.deleted
  if inserted > 0 or updated > 0 or deleted > 0 then
    effect.written[name] = { inserted = inserted, updated = updated, deleted = deleted }
  end
end

--- The file of one that was there has been replaced.
local function add_rewrite(self, effect, known, found)
  effect.rewrites[#effect.rewrites + 1] = known.name
  if known.kind == "index" then
    local table_of = self.known[known.indexed]
    effect.builds[#effect.builds + 1] = {
      index = known.name, table = table_of and table_of.name, rebuilt = true,
    }
  end
  if found.tablespace ~= known.tablespace then effect.reasons[known.name] = "tablespace" end
end

--- A table whose new file nothing was copied into: it was scanned for its indexes alone.
local function add_truncated(self, effect)
  local built = {}
  for _, build in ipairs(effect.builds) do
    if build.table then built[build.table] = (built[build.table] or 0) + 1 end
  end
  for _, name in ipairs(effect.rewrites) do
    local known = self.by_name[name]
    if known.kind == "table" and not effect.reasons[name]
      and (effect.scans[name] or 0) == (built[name] or 0) then
      effect.reasons[name] = "truncated"
    end
  end
end

--- What two readings show of one that is known.
local function add_known(self, effect, known, rows, found)
  local before, now = rows.before or nothing, rows.now
  if now.strength > before.strength then effect.locks[known.name] = effects.modes[now.strength] end
  add_numbers(effect, known.name, before, now)
  if found and known.file ~= 0 and now.file ~= 0 and known.file ~= now.file then
    add_rewrite(self, effect, known, found)
  end
end

--- Sort the rows of a reading: those that are gone, and those that are new.
local function sort_out(self, rows, found)
  local gone, new, there = {}, {}, {}
  for oid, row in pairs(rows) do
    local known = self.known[oid]
    if known and not known.hidden then
      there[oid] = known
      if is_gone(row) then gone[oid] = known end
    elseif not known and found[oid] then
      learn(self, found[oid], false)
      if not self.known[oid].hidden then new[oid] = self.known[oid] end
    end
  end
  return lowest_first(gone), lowest_first(new), lowest_first(there)
end

local function index_by_name(self)
  self.by_name = {}
  for _, known in pairs(self.known) do
    if not known.hidden then self.by_name[known.name] = known end
  end
end

--- Read all anew, where a statement without a transaction has changed it.
-- @return the relations as they are now
function relations:renewed(db)
  local now, oids = M.new(db, self.own, self.reader), {}
  index_by_name(self)
  for oid, known in pairs(now.known) do
    local old = self.known[oid] or (known.kind == "index" and self.by_name[known.name]) or nil
    known.existed = old ~= nil and old.existed
    oids[#oids + 1] = oid
  end
  -- so that no later statement is told to have scanned
  now.rows = self.reader:take(db, oids, 0, 0).rows
  return now
end

--- Put into a record what the catalogs show of a statement without a transaction.
-- @param now the relations behind it
-- @param effect the record
-- @return the partitions that were detached, as a set of names
function relations:difference(now, effect)
  local gone, new, detached = {}, {}, {}
  index_by_name(self)
  for oid, known in pairs(self.known) do
    local there = now.known[oid]
    if not known.hidden then
      if not there then gone[oid] = known end
      if there and there.file ~= known.file then add_rewrite(self, effect, known, there) end
      if there and known.parent and not there.parent then detached[known.name] = true end
    end
  end
  for oid, known in pairs(now.known) do
    if not self.known[oid] and not known.hidden then new[oid] = known end
  end
  gone = lowest_first(gone)
  for _, known in ipairs(lowest_first(new)) do
    add_new(self, effect, known, gone)
    describe(self, effect, known, effect.sql)
  end
  for _, known in ipairs(gone) do
    if not known.replaced then effect.dropped[#effect.dropped + 1] = entry(self, known) end
  end
  return detached
end

--- Tell in a record what a relation is that was there before.
function relations:describe(effect, name, sql) describe(self, effect, self.by_name[name], sql) end

--- From now on, that is how it is.
local function accept(self, taken, gone, new, found)
  for oid, row in pairs(found) do
    local known = self.known[oid]
    learn(self, row, known and known.existed)
  end
  for _, known in ipairs(gone) do self.known[known.oid] = nil end
  for oid, row in pairs(taken.rows) do self.rows[oid] = row end
  for _, known in ipairs(new) do
    if known.oid > self.before then note_young(self, known) end
  end
  self.settings = taken.settings
end

--- Take another reading behind a statement, and put into its record what is different.
-- @param db its connection
-- @param effect the record
-- @param sql the statement's text
-- @return what event triggers have seen (pgmig.proof.events)
function relations:compare(db, effect, sql)
  local taken = self.reader:take(db, named(self, sql), self.before, self.newest)
  local found = inquire(self, db, taken.rows)
  local gone, new, there = sort_out(self, taken.rows, found)
  self.by_name = {}
  for _, known in ipairs(there) do
    self.by_name[known.name] = known
    local rows = { before = self.rows[known.oid], now = taken.rows[known.oid] }
    add_known(self, effect, known, rows, found[known.oid])
  end
  for _, known in ipairs(new) do
    add_numbers(effect, known.name, nothing, taken.rows[known.oid])
    add_new(self, effect, known, gone)
  end
  for _, known in ipairs(gone) do
    if not known.replaced then effect.dropped[#effect.dropped + 1] = entry(self, known) end
  end
  add_truncated(self, effect)
  self:tell(effect, sql, new, there)
  accept(self, taken, gone, new, found)
  return taken.seen
end

--- Tell what each relation is that a record names.
function relations:tell(effect, sql, new, there)
  for _, list in ipairs { there, new } do
    for _, known in ipairs(list) do
      local name = known.name
      local is_told = effect.locks[name] or effect.scans[name] or effect.written[name]
      if is_told or list == new then describe(self, effect, known, sql) end
    end
  end
  for _, name in ipairs(effect.rewrites) do describe(self, effect, self.by_name[name], sql) end
end

--- The name of a relation that is known.
function relations:name_of(oid)
  local known = self.known[oid]
  return known and not known.hidden and known.name or nil
end

return M
