-- A schema's fingerprint sees every change, and nothing but changes.
local catalogs = require "pgmig.proof.catalogs"
local fingerprint = require "pgmig.proof.fingerprint"
local generator = require "pgmig.proof.generator"
local pgmig = require "pgmig"
local support = require "spec.support"

-- What a single change needs beyond the server: a provider of labels, a function.
local not_here = { ["transform"] = true, ["security label"] = true }
-- It changes nothing: the fingerprint must not be one that always differs.
local control = "tablespace index default"
-- The first version that has what a change uses; the others came before 14.
local first_version = {
  ["sequence unlogged"] = 15, ["publication column list"] = 15, ["publication where"] = 15,
  ["publication schema"] = 15,
}

local function each_change()
  local list = {}
  for line in io.lines "spec/fixtures/fingerprint-mutations.txt" do
    local name, sql = line:match "^(.-)|(.*)$"
    list[#list + 1] = { name = name, sql = sql }
  end
  return list
end

local function connect(url)
  local db = pgmig.connect(url)
  finally(function() db:close() end)
  return db
end

--- Call a function with a database named as the changes want, with one object of each kind.
local function with_sink(fn)
  local admin = pgmig.connect(support.server():url())
  local db
  local function clean()
    if db then db:close() end
    admin:exec "DROP DATABASE IF EXISTS sink"
    admin:exec "DROP ROLE IF EXISTS r1; DROP ROLE IF EXISTS r2"
  end
  clean()
  finally(function()
    clean()
    admin:close()
  end)
  admin:exec "CREATE DATABASE sink"
  db = pgmig.connect(support.server():url "sink")
  db:exec(support.read "spec/fixtures/fingerprint-kitchen-sink.sql")
  fn(db)
end

--- What is wrong with how a change in a transaction is seen; nil.
local function fault(db, change, seen, whole, base)
  db:exec "BEGIN"
  local ok, err = pcall(db.exec, db, change.sql)
  if not ok then
    db:exec "ROLLBACK"
    return "failed: " .. tostring(err)
  end
  local changes, after = seen:changes(), whole:take().hash
  local is_seen = changes[1] ~= nil and after ~= base
  local differs = seen:snapshot().hash ~= after
  db:exec "ROLLBACK"
  if differs then return "the rows that are new are not all that changed" end
  if seen:take().hash ~= base then return "seen when it was undone" end
  if is_seen == (change.name == control) then return is_seen and "seen" or "not seen" end
end

--- Whether it is known what stands for a column.
local function is_settled(name, catalog, column)
  if catalogs.skipped[name] or column == "oid" or column == "indoption" then return true end
  return (catalogs.dropped[name] or {})[column] or catalog.targets[column]
    or (catalogs.instead[name] or {})[column] ~= nil
end

describe("a fingerprint", function()
  it("sees each change of any kind of object, and none that was undone", function()
    support.needs(pending, 14, "the kinds of objects")
    with_sink(function(db)
      local major = math.floor(db:server_version() / 10000)
      local seen = fingerprint.open(db, { large_objects = true })
      local whole = fingerprint.open(db, { large_objects = true })
      local base, count, faults = seen:take().hash, 0, {}
      for _, change in ipairs(each_change()) do
        if not not_here[change.name] and major >= (first_version[change.name] or 14) then
          local why = fault(db, change, seen, whole, base)
          if why then faults[#faults + 1] = change.name .. ": " .. why end
          count = count + 1
        end
      end
      assert.equal("", table.concat(faults, "\n"))
      assert.is_true(count >= 152, count)
    end)
  end)

  it("knows each column that holds an expression, an OID or the number of a column", function()
    local db = connect(support.database())
    local lost, trees = {}, 0
    for name, catalog in pairs(generator.describe(db)) do
      for column, type_name in pairs(catalog.types) do
        local is_tree = type_name == "pg_node_tree"
        local is_number = type_name:find "^oid" or type_name:find "^int2vector"
        if is_tree then trees = trees + 1 end
        if (is_tree or is_number) and not is_settled(name, catalog, column) then
          lost[#lost + 1] = name .. "." .. column
        end
      end
    end
    table.sort(lost)
    assert.equal("", table.concat(lost, " "))
    assert.is_true(trees <= 16, trees)
  end)

  it("leaves out only catalogs that there are", function()
    local db = connect(support.database())
    local version, described, unknown = db:server_version(), generator.describe(db), {}
    for name in pairs(catalogs.skipped) do
      local is_of_others = name == "pg_pltemplate" and version >= 130000
        or name == "pg_parameter_acl" and version < 150000
        or name == "pg_statistic_ext_data" and version < 120000
      if not described[name] and not is_of_others then unknown[#unknown + 1] = name end
    end
    assert.same({}, unknown)
  end)
end)
