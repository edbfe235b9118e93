--- What an observed statement does to others: eight findings, decided from effects records
-- (pgmig.proof.effects) alone. What to do about each is said by pgmig.proof.advice.
local effects = require "pgmig.proof.effects"

local unpack = unpack or table.unpack

local M = {}

local SHARE = effects.strength "SHARE"

local tables = { ["table"] = true, ["partitioned table"] = true }
local stored = { ["table"] = true, ["partitioned table"] = true, ["materialized view"] = true }

-- Statements that lock one table after the other; others do so for what they change in one.
local has_parts = { DO = true, LOCK = true, SELECT = true, CALL = true, TRUNCATE = true }

local MANY_ROWS = 100000 -- written by one statement: long enough for a lock to be felt

--- Whether a lock keeps writes waiting, or all.
local function is_strong(mode) return effects.strength(mode) >= SHARE end

local function sorted(set)
  local names = {}
  for name in pairs(set or {}) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local function contains(list, name)
  for _, item in ipairs(list or {}) do
    if item == name then return true end
  end
  return false
end

-- ---- what a judge remembers ----------------------------------------------------

local judge = {}
judge.__index = judge

--- What is known of a relation; an empty table where nothing is.
function judge:relation(effect, name)
  return (effect.relations or {})[name] or self.relations[name] or {}
end

--- Whether a relation was there before the pending run, and may have users.
function judge:is_old(effect, name, kinds)
  local relation = self:relation(effect, name)
  return relation.existed and (kinds or tables)[relation.kind] or false
end

--- The lock that the transaction has on a relation while the statement runs, if it is a strong one.
local function lock_of(effect, name)
  local mode = effects.stronger((effect.held or {})[name], (effect.locks or {})[name])
  return is_strong(mode) and mode or nil
end

--- Whether a relation is so small that nobody waits for long.
function judge:is_small(name) return self.facts:is_small(name) end

--- Whether all of them are.
function judge:are_small(names)
  for _, name in ipairs(names) do
    if not self:is_small(name) then return false end
  end
  return true
end

function judge:add(effect, id, severity, relation, detail)
  local finding = detail or {}
  finding.id, finding.severity, finding.relation, finding.effect = id, severity, relation, effect
  finding.lock = finding.lock or relation and lock_of(effect, relation)
  finding.blocks = finding.lock and effects.blocked(finding.lock)
  self.found[#self.found + 1] = finding
  if severity ~= "note" and relation then self.told[relation] = true end
end

--- Add a finding about long work, which a small table does not have.
function judge:add_work(effect, id, severity, relation, detail)
  detail = detail or {}
  detail.small = self:is_small(detail.work or relation)
  self:add(effect, id, detail.small and "note" or severity, relation, detail)
  self.told[relation] = true -- more of it would say the same
end

-- ---- the findings ------------------------------------------------------------------

--- The file of an existing table was replaced while nobody could use it.
function judge:rewrite(effect)
  for _, name in ipairs(effect.rewrites or {}) do
    local lock = lock_of(effect, name)
    if lock and self:is_old(effect, name, stored) and effect.kind ~= "TRUNCATE" then
      self:add_work(effect, "rewrite", "error", name, {
        reason = (effect.reasons or {})[name], indexes = self:indexes_of(effect, name),
      })
    end
  end
end

--- The indexes of a table that a statement has replaced.
function judge:indexes_of(effect, name)
  local list = {}
  for _, index in ipairs(effect.rewrites or {}) do
    if self:relation(effect, index).table == name then list[#list + 1] = index end
  end
  return list
end

--- The tables whose indexes a statement has built, with the indexes.
local function built(effect, relation_of)
  local by_table = {}
  local function add(name, index)
    by_table[name] = by_table[name] or {}
    if not contains(by_table[name], index) then table.insert(by_table[name], index) end
  end
  for _, build in ipairs(effect.builds or {}) do
    if build.table then add(build.table, build.index) end
  end
  for _, name in ipairs(effect.rewrites or {}) do
    local relation = relation_of(name)
    if relation.kind == "index" and relation.table then add(relation.table, name) end
  end
  return by_table
end

--- An index is built while writes of its table wait.
function judge:index_build(effect)
  local by_table = built(effect, function(name) return self:relation(effect, name) end)
  for _, name in ipairs(sorted(by_table)) do
    local lock = lock_of(effect, name)
    if lock and self:is_old(effect, name, stored) and not self.told[name]
      and effect.kind ~= "TRUNCATE" then
      self:add_work(effect, "index-build-blocks", "error", name, { indexes = by_table[name] })
    end
  end
end

--- An existing table is read from its first to its last row under a strong lock.
function judge:scan(effect)
  for _, name in ipairs(sorted(effect.scans)) do
    local lock = lock_of(effect, name)
    if lock and self:is_old(effect, name) and not self.told[name] then
      self:add_work(effect, "scan-under-lock", "error", name, {
        earlier = is_strong((effect.held or {})[name]) and self:taken(name) or nil,
      })
    end
  end
end

--- The relation that a statement works long at; nil.
function judge:long_work(effect)
  for _, name in ipairs(sorted(effect.scans)) do
    if self:is_old(effect, name, stored) and not self:is_small(name) then return name, "scanned" end
  end
  for _, build in ipairs(effect.builds or {}) do
    if build.table and self:is_old(effect, build.table, stored)
      and not self:is_small(build.table) then
      return build.table, "indexed"
    end
  end
  for _, name in ipairs(sorted(effect.written)) do
    local written = effect.written[name]
    local rows = (written.inserted or 0) + (written.updated or 0) + (written.deleted or 0)
    if rows >= MANY_ROWS then return name, "written" end
  end
end

--- Who waits for a lock of before, while a statement works at something else.
function judge:held(effect)
  local work, how = self:long_work(effect)
  if not work then return end
  local names = {}
  for _, name in ipairs(sorted(effect.held)) do
    local waits = is_strong(effect.held[name]) and name ~= work and self:is_old(effect, name)
    if waits and not self.told[name] then names[#names + 1] = name end
  end
  if not names[1] then return end
  self:add_work(effect, "held", "warning", names[1], {
    lock = effect.held[names[1]], work = work, how = how, earlier = self:taken(names[1]),
    others = names,
  })
end

--- Where the transaction has taken its strong lock on a relation.
function judge:taken(name) return self.locked[name] end

--- Whether a lock on a table is one for the statement's own purpose: the other table of a foreign
-- key is locked, too, but in a weaker way.
function judge:claims(effect, name)
  local mode = (effect.locks or {})[name]
  return effects.strength(mode) >= effects.strength "EXCLUSIVE" and self:is_old(effect, name)
    and self:relation(effect, name).named
end

--- The tables that are locked before a table, for their own sake, too.
-- @param own those that the statement has locked before it
function judge:others(effect, own)
  local others = {}
  for _, other in ipairs(sorted(self.locked)) do
    local is_part = ((effect.relations or {})[other] or {}).named or (effect.locks or {})[other]
    if self.locked[other].claimed and not is_part then others[#others + 1] = other end
  end
  for _, other in ipairs(own) do others[#others + 1] = other end
  return others
end

--- A second table is locked for others, which an application may use in another order.
function judge:many_tables(effect)
  local own = {}
  for _, name in ipairs(sorted(effect.locks)) do
    if self:claims(effect, name) and not self.locked[name] then
      local others = self:others(effect, own)
      if others[1] then
        local all = { name, unpack(others) }
        self:add(effect, "many-tables", self:are_small(all) and "note" or "warning", name, {
          others = others,
        })
      end
      own[#own + 1] = has_parts[effect.kind] and name or nil
    end
  end
end

--- A lock on a table that the statement does not name.
function judge:hidden(effect)
  for _, name in ipairs(sorted(effect.locks)) do
    local relation = self:relation(effect, name)
    if is_strong(effect.locks[name]) and self:is_old(effect, name) and not relation.named
      and not self.told[name] then
      self:add(effect, "hidden-lock", "note", name)
      self.told[name] = true
    end
  end
end

local function has_no_limit(settings)
  local limit = settings and tostring(settings.lock_timeout or "")
  return limit ~= nil and limit:match "^0%a*$" ~= nil
end

--- A lock for which a statement waits, and all others behind it.
function judge:queue(effect)
  for _, name in ipairs(sorted(effect.locks)) do
    if is_strong(effect.locks[name]) and self:is_old(effect, name) then
      local endless = has_no_limit(effect.settings) and not effect.waits -- so does such a command
      if endless or not self.told[name] then
        self:add(effect, "queue", endless and "warning" or "note", name, { endless = endless })
      end
    end
  end
end

-- ---- all of them ---------------------------------------------------------------------

local order = {
  "rewrite", "index_build", "scan", "held", "many_tables", "hidden", "queue",
}

--- Remember what a transaction has locked.
function judge:remember(effect)
  for name, relation in pairs(effect.relations or {}) do self.relations[name] = relation end
  for _, name in ipairs(sorted(effect.locks)) do
    if is_strong(effect.locks[name]) and self:is_old(effect, name) and not self.locked[name] then
      self.locked[name] = { line = effect.line, claimed = self:claims(effect, name) }
    end
  end
end

--- Judge the statements of a run.
-- @param records a list of effects records, in the order in which they ran
-- @param facts of production (pgmig.proof.facts)
-- @return a list of { id, severity, relation, effect, lock = its mode, blocks = what waits, in
--   words, small = whether it is a note for the table's size only; and by id: indexes, reason,
--   others = tables, work = a table, how, earlier = { line } of what took the lock, endless }
function M.judge(records, facts)
  local self = setmetatable({ facts = facts, found = {}, relations = {}, locked = {} }, judge)
  local migration
  for _, effect in ipairs(records) do
    if effect.migration ~= migration or not effect.transaction then self.locked = {} end
    migration = effect.migration
    self.told = {}
    for _, name in ipairs(order) do self[name](self, effect) end
    self:remember(effect)
  end
  return self.found
end

return M
