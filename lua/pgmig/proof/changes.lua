--- What a statement changes in the schema, in the words of the change: for rules and advice.
-- Each change is { what, existed = whether the object was there before the pending run, on_old =
-- whether its table was, and by `what`: table, column, name, type, from, to, ... }.
local M = {}

local kinds = {
  r = "table", p = "partitioned table", v = "view", m = "materialized view", i = "index",
  I = "index", S = "sequence", f = "foreign table", c = "composite type",
}

-- Each takes a row and returns the fields of its change.
local function column_fields(row)
  return {
    table = row.table, column = row.name, type = row.type, not_null = row.not_null,
    default = row.default, type_default = row.type_default,
    identity = row.identity ~= "" and row.identity or nil,
    generated = row.generated ~= "" and row.generated or nil,
  }
end

local function constraint_fields(row)
  return {
    table = row.table, name = row.name, type = row.type, def = row.def, domain = row.domain,
    columns = row.columns, target = row.target, validated = row.validated,
  }
end

local function relation_fields(row)
  return {
    table = row.name, name = row.name, bare = row.bare, kind = kinds[row.kind],
    columns = row.columns,
  }
end

local function index_fields(row)
  return {
    table = row.table, name = row.name, def = row.def, columns = row.columns, unique = row.unique,
    primary = row.primary, oid = row.oid,
  }
end

local function function_fields(row)
  return { name = row.name, definer = row.definer, config = row.config, result = row.result }
end

local function own_fields(row) return { name = row.name, table = row.table, type = row.type } end

local fields = {
  column = column_fields, constraint = constraint_fields, relation = relation_fields,
  index = index_fields, ["function"] = function_fields,
}

local added = {
  relation = "relation added", column = "column added", constraint = "constraint added",
  index = "index added", ["function"] = "function changed", label = "enum value added",
  policy = "policy added", schema = "schema added",
}

local dropped = {
  relation = "relation dropped", column = "column dropped", constraint = "constraint dropped",
  index = "index dropped", ["function"] = "function dropped", label = "enum value dropped",
  policy = "policy dropped", schema = "schema dropped",
}

--- Whether anybody may do something with an object: an entry without a role.
local function is_public(acl) return acl ~= nil and acl:find '[{,]"?=%a' ~= nil end

-- By kind: how two rows of one object differ. Each adds changes.
local compare = {}

function compare.relation(old, new, add)
  if old.name ~= new.name then
    add("relation renamed", { from = old.name, table = old.name, to = new.name })
  end
  if old.persistence ~= new.persistence then
    add("persistence changed", { from = old.persistence, to = new.persistence })
  end
  if old.tablespace ~= new.tablespace then add "tablespace changed" end
  if old.method ~= new.method then add "access method changed" end
  if new.partition and not old.partition then add("partition attached", { bound = new.bound }) end
  if old.partition and not new.partition then add "partition detached" end
  if new.populated and not old.populated then add "populated" end
  if new.secured and not old.secured then add "row security enabled" end
  if old.identity ~= new.identity then add("replica identity changed", { to = new.identity }) end
  if is_public(new.acl) and not is_public(old.acl) then
    add("granted to public", { acl = new.acl })
  end
end

function compare.column(old, new, add)
  if new.dropped then return add("column dropped", column_fields(old)) end
  if old.name ~= new.name then add("column renamed", { column = old.name, to = new.name }) end
  if old.type ~= new.type then add("type changed", { from = old.type, to = new.type }) end
  if new.not_null and not old.not_null then add "not null added" end
  if old.not_null and not new.not_null then add "not null removed" end
  if old.default ~= new.default then
    add("default changed", { from = old.default, to = new.default })
  end
  if old.identity ~= "" and new.identity == "" then add "identity removed" end
end

function compare.constraint(old, new, add)
  if new.validated and not old.validated then add "constraint validated" end
  if old.name ~= new.name then add("constraint renamed", { from = old.name }) end
end

function compare.index(old, new, add)
  if old.name ~= new.name then add("index renamed", { from = old.name }) end
end

compare["function"] = function(old, new, add)
  if old.name ~= new.name then add("function renamed", { from = old.name }) end
  add "function changed"
end

function compare.label(old, new, add)
  if old.name ~= new.name then add("enum value renamed", { from = old.name }) end
end

function compare.schema(old, new, add)
  if old.name ~= new.name then add("schema renamed", { from = old.name }) end
end

function compare.policy() end

local function fields_of(shape, kind, row)
  local made = (fields[kind] or own_fields)(row)
  made.existed = shape:existed(row)
  made.on_old = made.table ~= nil and shape:had_relation(row)
  return made
end

--- The changes of a step in words.
-- @param shape of pgmig.proof.shape, which has been stepped
-- @param steps of it
-- @return a list of changes
function M.of(shape, steps)
  local list = {}
  for _, step in ipairs(steps) do
    local function add(what, more)
      local change = fields_of(shape, step.kind, step.new or step.old)
      for key, value in pairs(more or {}) do change[key] = value end
      change.what = what
      list[#list + 1] = change
    end
    local has_gone = (step.old or step.new).dropped -- before this step
    if not step.old and not has_gone then
      add(added[step.kind])
    elseif not step.new then
      add(dropped[step.kind])
    elseif not has_gone then
      compare[step.kind](step.old, step.new, add)
    end
  end
  return list
end

return M
