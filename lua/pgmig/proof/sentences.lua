--- What a record of effects means, in sentences for people: who waits, and what the server does.
local effects = require "pgmig.proof.effects"

local M = {}

local function sorted(set)
  local names = {}
  for name in pairs(set) do names[#names + 1] = name end
  table.sort(names)
  return names
end

--- Names in a sentence.
local function listed(names)
  if #names < 2 then return names[1] or "" end
  return table.concat(names, ", ", 1, #names - 1) .. " and " .. names[#names]
end

local function times(n)
  if n == 1 then return "" end
  return n == 2 and " twice" or (" %d times"):format(n)
end

--- Whether others may use a relation: it was there before the pending migrations.
local function is_old(effect, name)
  local relation = effect.relations[name]
  return not relation or relation.existed
end

-- ---- who waits -----------------------------------------------------------------

-- By strength of the lock.
local waiting = {
  [4] = "other schema changes of %s wait %s, reads and writes go on",
  [5] = "writes to %s wait %s, reads go on",
  [6] = "writes to %s wait %s, reads go on",
  [7] = "writes to %s wait %s, reads go on",
  [8] = "reads and writes of %s wait %s",
}

--- Whether the lock of an index says nothing that its table's does not.
local function is_covered(effect, name, mode)
  local table_of = effect.relations[name] and effect.relations[name].table
  if not table_of then return false end
  local of_table = effects.stronger(effect.locks[table_of], effect.held[table_of])
  return effects.strength(of_table) >= math.min(effects.strength(mode), 5)
end

--- The locks that somebody has to wait for, by mode: names of what was there before.
local function blocking(effect)
  local by_mode = {}
  for _, name in ipairs(sorted(effect.locks)) do
    local mode = effect.locks[name]
    if waiting[effects.strength(mode)] and is_old(effect, name)
      and not is_covered(effect, name, mode) then
      by_mode[mode] = by_mode[mode] or {}
      table.insert(by_mode[mode], name)
    end
  end
  return by_mode
end

local function until_when(effect)
  if effect.transaction then return "until COMMIT" end
  return effect.waits and "as long as it works" or "while it runs"
end

--- Sentences about whom a statement keeps waiting.
-- @param effect the record
-- @return a list, the strongest lock first; empty: nobody has to wait
function M.waits(effect)
  local list, by_mode = {}, blocking(effect)
  for strength = 8, 4, -1 do
    local mode = effects.modes[strength]
    if by_mode[mode] then
      list[#list + 1] = waiting[strength]:format(listed(by_mode[mode]), until_when(effect))
        .. (" (%s)"):format(mode)
    end
  end
  return list
end

--- Relations that a strong lock is on although the statement does not name them.
local function victims(effect)
  local names = {}
  for _, name in ipairs(sorted(effect.locks)) do
    local relation = effect.relations[name]
    local is_table = relation and not relation.table and relation.kind ~= "sequence"
    if is_table and relation.existed and not relation.named
      and effects.strength(effect.locks[name]) >= 5 then
      names[#names + 1] = name
    end
  end
  return names
end

-- ---- what it does ----------------------------------------------------------------

local reasons = {
  persistence = "it becomes logged or unlogged", default = "each row gets a value of its own",
  type = "values of a column are stored in another way", ["access method"] = "its access method "
    .. "changes", tablespace = "its tablespace changes",
}

local function reason_of(effect, name)
  local word = effect.reasons[name]
  if not word then return "" end
  return ": " .. (reasons[word] or word)
end

local function builds_on(effect, name)
  local count = 0
  for _, build in ipairs(effect.builds) do
    if build.table == name and build.rebuilt then count = count + 1 end
  end
  return count
end

local function rewrite(effect, name)
  local relation = effect.relations[name] or {}
  if effect.reasons[name] == "truncated" then return ("empties %s"):format(name) end
  if relation.kind == "sequence" then return nil end
  if relation.kind == "materialized view" then return ("fills %s anew"):format(name) end
  local count = builds_on(effect, name)
  local indexes = count > 0 and (" and builds its %s anew"):format(count == 1 and "index"
    or count .. " indexes") or ""
  return ("copies all rows of %s%s%s"):format(name, indexes, reason_of(effect, name))
end

local function set_of(list)
  local set = {}
  for _, name in ipairs(list) do set[name] = true end
  return set
end

local function add(list, sentence)
  if sentence then list[#list + 1] = sentence end
end

local function add_rewrites(list, effect)
  for _, name in ipairs(effect.rewrites) do
    local relation = effect.relations[name]
    if not (relation and relation.table) then add(list, rewrite(effect, name)) end
  end
end

local function add_builds(list, effect)
  local rewritten = set_of(effect.rewrites)
  for _, build in ipairs(effect.builds) do
    if build.new then
      add(list, ("builds index %s on %s"):format(build.index, build.table or "?"))
    elseif not rewritten[build.table] then
      add(list, ("builds index %s anew"):format(build.index))
    end
  end
  if effect.kept[1] then add(list, "keeps the file of " .. listed(effect.kept)) end
end

local function add_scans(list, effect)
  local rewritten = set_of(effect.rewrites)
  for _, name in ipairs(sorted(effect.scans)) do
    local relation = effect.relations[name] or {}
    if relation.existed and relation.table then
      add(list, "looks rows up in index " .. name)
    elseif relation.existed and not rewritten[name] then
      add(list, ("reads all rows of %s%s"):format(name, times(effect.scans[name])))
    end
  end
end

local function add_written(list, effect)
  for _, name in ipairs(sorted(effect.written)) do
    local rows, parts = effect.written[name], {}
    for _, word in ipairs { "inserted", "updated", "deleted" } do
      if rows[word] > 0 then parts[#parts + 1] = ("%d %s"):format(rows[word], word) end
    end
    add(list, ("rows of %s on the clone: %s"):format(name, table.concat(parts, ", ")))
  end
end

--- What is created or dropped: an index that goes with its table, or was built, is not said again.
local function objects(list, said)
  local names = {}
  for _, object in ipairs(list) do said[object.name] = said[object.name] or false end
  for _, object in ipairs(list) do
    local goes_along = object.table and said[object.table] ~= nil
    if not said[object.name] and not goes_along then
      names[#names + 1] = object.kind .. " " .. object.name
    end
  end
  return names
end

local function add_objects(list, effect)
  local built = {}
  for _, build in ipairs(effect.builds) do built[build.index] = true end
  local created, dropped = objects(effect.created, built), objects(effect.dropped, {})
  if created[1] then add(list, "creates " .. listed(created)) end
  if dropped[1] then add(list, "drops " .. listed(dropped)) end
end

-- Statements whose text says what they do.
local plain_kind = { DO = true, SELECT = true, CALL = true, WITH = true, ["?"] = true }

local function add_commands(list, effect)
  if not plain_kind[effect.kind] or not effect.commands[1] then return end
  local names = {}
  for i, command in ipairs(effect.commands) do
    names[i] = command.tag .. (command.object and " " .. command.object or "")
  end
  add(list, "runs " .. listed(names))
end

--- Whether it works on rows, which takes time where there are many.
local function works(effect, is_table)
  if effect.rewrites[1] or next(effect.written) then return true end
  for name in pairs(effect.scans) do
    if is_table[name] then return true end
  end
  return false
end

--- The tables that earlier statements have locked, by who waits: "reads and writes" or "writes".
local function locked_before(effect, is_table)
  local by_whom, any = {}, false
  for _, name in ipairs(sorted(effect.held)) do
    local strength = effects.strength(effect.held[name])
    if strength >= 5 and is_table[name] and not effect.locks[name] then
      local whom = effects.blocked(effect.held[name])
      by_whom[whom] = by_whom[whom] or {}
      table.insert(by_whom[whom], name)
      any = true
    end
  end
  return by_whom, any
end

local function add_held(list, effect, is_table)
  if not works(effect, is_table) then return end
  local by_whom = locked_before(effect, is_table)
  for _, whom in ipairs { "reads and writes", "writes" } do
    if by_whom[whom] then
      add(list, ("meanwhile %s of %s still wait: an earlier statement has locked %s"):format(whom,
        listed(by_whom[whom]), by_whom[whom][2] and "them" or "it"))
    end
  end
end

--- What is said of a statement that nobody has to wait for.
-- @param effect the record
-- @param is_table of `tables`
function M.nobody(effect, is_table)
  local _, any = locked_before(effect, is_table)
  return any and "nobody else has to wait" or "nobody has to wait"
end

--- Sentences about what a statement does.
-- @param effect the record
-- @param is_table of `tables`
-- @return a list
function M.work(effect, is_table)
  local list = {}
  add_rewrites(list, effect)
  add_builds(list, effect)
  add_scans(list, effect)
  add_written(list, effect)
  add_commands(list, effect)
  add_objects(list, effect)
  local hidden = victims(effect)
  if hidden[1] then add(list, ("locks %s, which it does not name"):format(listed(hidden))) end
  if effect.waits then add(list, "waits itself for " .. effect.waits) end
  if effect.source == "catalog" then
    add(list, "has transactions of its own, so that its locks were not seen")
  end
  add_held(list, effect, is_table)
  return list
end

--- The tables that were there before the pending migrations.
-- @param list all records
-- @return a set of names
function M.tables(list)
  local is_table = {}
  for _, effect in ipairs(list) do
    for name, relation in pairs(effect.relations) do
      if relation.existed and not relation.table then is_table[name] = true end
    end
  end
  return is_table
end

return M
