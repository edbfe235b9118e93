--- What the schema is like after the run, by name: what rules and advice ask about.
local M = {}
local catalog = {}
catalog.__index = catalog

local function by(rows, field)
  local index = {}
  for _, row in pairs(rows) do
    local key = row[field]
    if key ~= nil then
      index[key] = index[key] or {}
      table.insert(index[key], row)
    end
  end
  for _, list in pairs(index) do
    table.sort(list, function(a, b) return a.oid < b.oid end)
  end
  return index
end

--- Look at a shape (pgmig.proof.shape) as it is now.
function M.new(shape)
  local rows = shape.rows
  return setmetatable({
    relations = by(rows.relation, "name"), functions = by(rows["function"], "name"),
    columns = by(rows.column, "table"), constraints = by(rows.constraint, "table"),
    indexes = by(rows.index, "table"), index_names = by(rows.index, "name"),
    policies = by(rows.policy, "table"), published = shape.published,
  }, catalog)
end

--- Whether there is a relation, a function, a policy of a table.
function catalog:has_relation(name) return self.relations[name] ~= nil end

function catalog:has_function(name) return self.functions[name] ~= nil end

--- What a function returns.
function catalog:result_of(name)
  local list = self.functions[name]
  return list and list[1].result
end

function catalog:has_policy(name) return self.policies[name] ~= nil end

local function constraint_of(self, name, type)
  for _, row in ipairs(self.constraints[name] or {}) do
    if row.type == type then return row end
  end
end

--- Whether a table has a primary key.
function catalog:has_key(name) return constraint_of(self, name, "p") ~= nil end

--- The column that is a table's primary key; nil where there is none or it has several.
function catalog:key(name)
  local key = constraint_of(self, name, "p")
  return key and key.columns and not key.columns:find(", ", 1, true) and key.columns or nil
end

--- A column of a table, as shape has it; nil.
function catalog:column(name, column)
  for _, row in ipairs(self.columns[name] or {}) do
    if row.name == column and not row.dropped then return row end
  end
end

--- The names of the columns of a relation.
function catalog:columns_of(name)
  local names = {}
  for _, row in ipairs(self.columns[name] or {}) do
    if not row.dropped then names[#names + 1] = row.name end
  end
  return names
end

--- The type of a column; nil.
function catalog:type_of(name, column)
  local row = self:column(name, column)
  return row and row.type
end

--- Whether a table is published, and its rows cannot be told apart by those who subscribe.
function catalog:lacks_identity(name)
  local relation = self.published[name] and (self.relations[name] or {})[1]
  if not relation then return false end
  return relation.identity == "n" or relation.identity == "d" and not self:has_key(name)
end

--- Whether an index of a table begins with columns, in whatever order.
function catalog:has_index_on(name, columns)
  local wanted, count = {}, 0
  for column in columns:gmatch '[^,%s"]+' do wanted[column], count = true, count + 1 end
  for _, index in ipairs(self.indexes[name] or {}) do
    local n = 0
    for column in (index.columns or ""):gmatch "[^,]+" do
      if n == count or not wanted[(column:gsub('[%s"]', ""))] then break end
      n = n + 1
    end
    if n == count then return true end
  end
  return false
end

--- What an index does, without its name.
local function purpose(index)
  return (index.def or ""):gsub("^CREATE UNIQUE", "CREATE"):gsub("INDEX .- ON ", "INDEX ON ", 1)
end

--- Another index that does the same; nil.
-- @param index { oid, table, def }
function catalog:same_index(index)
  for _, other in ipairs(self.indexes[index.table] or {}) do
    if other.oid ~= index.oid and purpose(other) == purpose(index) then return other.name end
  end
end

--- The definition of an index; nil.
function catalog:index(name)
  local list = self.index_names[name]
  return list and list[1].def
end

local function kind_of(self, name)
  local list = self.relations[name]
  return list and list[1].kind
end

function catalog:is_partitioned(name) return kind_of(self, name) == "p" end

--- Whether a table is the partition for all that has no other one.
function catalog:is_default_partition(name)
  local list = self.relations[name]
  return list ~= nil and list[1].bound == "DEFAULT"
end

return M
