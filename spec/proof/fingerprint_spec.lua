-- A schema's fingerprint sees every change, and nothing but changes.
local catalogs = require "pgmig.proof.catalogs"
local difference = require "pgmig.proof.difference"
local fingerprint = require "pgmig.proof.fingerprint"
local generator = require "pgmig.proof.generator"
local pgmig = require "pgmig"
local random_schema = require "spec.support.random_schema"
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

describe("a role that may not read every catalog", function()
  it("has the same fingerprint of what it may read", function()
    local url = support.database()
    local db = connect(url)
    db:exec "CREATE TABLE a (id int PRIMARY KEY); CREATE ROLE pgmig_low LOGIN"
    local low = pgmig.connect((url:gsub("user=postgres", "user=pgmig_low")))
    local fp = fingerprint.open(low)
    local seen = fp:take()
    local whole = fingerprint.open(db, { unreadable = fp.unreadable }):take()
    db:exec "DROP TABLE a"
    assert.is_true(#fp:step() > 2)
    low:close()
    db:exec "DROP ROLE pgmig_low"
    assert.is_true(fp.unreadable["pg_subscription.subconninfo"])
    assert.equal(db:server_version() < 140000, fp.unreadable.pg_subscription == true)
    assert.same({}, difference.of(seen, whole))
  end)
end)

-- By pg_dump and psql: objects come in another order, with other OIDs.
describe("a schema that is made anew", function()
  local COUNT = tonumber(os.getenv "PGMIG_SCHEMAS") or 24

  local function hash_of(url)
    local db = pgmig.connect(url)
    local fp = fingerprint.open(db)
    local snapshot = fp:take()
    return snapshot, db, fp
  end

  local function copy(from, to)
    local code, _, err = support.run(("set -o pipefail; pg_dump -s -d %s | "
      .. "psql -X -q -v ON_ERROR_STOP=1 -d %s"):format(support.quote(from), support.quote(to)))
    assert.equal(0, code, err)
  end

  -- The server shows what it has read of a dump in other words than before.
  local respelled = [[
    CREATE TABLE t (v varchar(20) CHECK (v IN ('a,]', 'it''s "b" (c')) DEFAULT 'a',
      n numeric(10,2) CHECK (n <> ALL (ARRAY[1, 2]::numeric(10,2)[]) AND n IN (3, 4)),
      c char(3) CHECK (c IN ('x', 'y')), a int[], CHECK (v = ANY (ARRAY['p', lower(v)])));
    CREATE INDEX i ON t (v) WHERE v NOT IN ('q', 'r');
    CREATE VIEW w AS SELECT * FROM t WHERE v IN ('s', 't') AND n = ANY (ARRAY[a[1], 2]);
    CREATE DOMAIN d AS varchar CHECK (VALUE IN ('u', 'v'))]]

  it("has the same fingerprint where its expressions are written in other words", function()
    if not support.has_pg_dump() then return pending "pg_dump is older than the server" end
    local one, other = support.database(), support.database()
    connect(one):exec(respelled)
    local before = hash_of(one)
    copy(one, other)
    local after = hash_of(other)
    assert.same({}, difference.lines(difference.of(before, after)))
    assert.equal(before.hash, after.hash)
  end)

  it("has the same fingerprint, and with one change another one", function()
    local admin = connect(support.server():url())
    if not support.has_pg_dump() then return pending "pg_dump is older than the server" end
    admin:exec("DROP ROLE IF EXISTS " .. random_schema.role)
    admin:exec("CREATE ROLE " .. random_schema.role)
    for seed = 1, COUNT do
      local sql, change = random_schema.make(seed)
      local one, other = support.database(), support.database()
      local made = pgmig.connect(one)
      made:exec(sql)
      made:close()
      copy(one, other)
      local before, db, fp = hash_of(one)
      local after, copied = hash_of(other)
      copied:close()
      if before.hash ~= after.hash then
        error(("seed %d: %s"):format(seed, table.concat(difference.lines(
          difference.of(before, after)), "\n")))
      end
      db:exec(change)
      assert.is_true(fp:step()[1] ~= nil, change)
      assert.are_not.equal(after.hash, fp:snapshot().hash, change)
      db:close()
      support.drop_databases()
    end
    admin:exec("DROP ROLE " .. random_schema.role)
  end)
end)
