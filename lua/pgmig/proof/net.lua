--- What a step does to a schema as a whole: for each row of the catalogs that is not what it was,
-- what it was and what it is. Two steps behind each other make one.
local M = {}

local function entry(effect, catalog, key)
  local id = catalog.name .. "\t" .. key
  local found = effect[id] or { catalog = catalog.name, key = key, old = false, new = false }
  effect[id] = found
  return found
end

local function without_equal(effect)
  for id, row in pairs(effect) do
    if row.old == row.new then effect[id] = nil end
  end
  return effect
end

--- The effect of changes.
-- @param changes of `fingerprint:changes`
-- @return by row { catalog, key, old, new }: texts, false where there is none
function M.of(changes)
  local effect = {}
  for _, change in ipairs(changes) do
    if change.old then entry(effect, change.catalog, change.old.key).old = change.old.row end
    if change.new then entry(effect, change.catalog, change.new.key).new = change.new.row end
  end
  return without_equal(effect)
end

--- The effect of one step behind another one.
function M.both(first, second)
  local effect = {}
  for id, row in pairs(first) do
    effect[id] = { catalog = row.catalog, key = row.key, old = row.old, new = row.new }
  end
  for id, row in pairs(second) do
    local before = effect[id]
    effect[id] = {
      catalog = row.catalog, key = row.key, old = (before or row).old, new = row.new,
    }
  end
  return without_equal(effect)
end

--- The effect that takes another one back.
function M.back(effect)
  local back = {}
  for id, row in pairs(effect) do
    back[id] = { catalog = row.catalog, key = row.key, old = row.new, new = row.old }
  end
  return back
end

--- Whether two effects are the same.
function M.equal(one, other)
  for id, row in pairs(one) do
    if not other[id] or other[id].new ~= row.new then return false end
  end
  for id in pairs(other) do
    if not one[id] then return false end
  end
  return true
end

--- A snapshot in which rows are as an effect has them afterwards, where another one has left them
-- otherwise.
-- @param snapshot of `fingerprint:take`, after the effect `had`
-- @param had the effect that was
-- @param wanted the effect that should have been
function M.expected(snapshot, had, wanted)
  local copy = { rows = {}, columns = snapshot.columns, origin = {} }
  for name, rows in pairs(snapshot.rows) do
    copy.rows[name] = {}
    for key, row in pairs(rows) do copy.rows[name][key] = row end
  end
  local function put(row, text)
    copy.rows[row.catalog][row.key] = text and { id = "", key = row.key, row = text } or nil
  end
  for id, row in pairs(had) do
    if not wanted[id] then put(row, row.old) end
  end
  for _, row in pairs(wanted) do put(row, row.new) end
  return copy
end

return M
