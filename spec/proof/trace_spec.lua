-- What trace sees of each statement, on clones.
local pgmig = require "pgmig"
local support = require "spec.support"

--- A folder of migrations, by name.
local function folder(files)
  local dir = support.tempdir()
  for name, text in pairs(files) do support.write(dir, name, text) end
  return dir
end

local TABLES = "CREATE TABLE a (id int PRIMARY KEY, v varchar(20)); CREATE INDEX a_v ON a (v);\n"
  .. "CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a);"

--- The records of what is pending behind these tables.
local function trace(files)
  files["1_tables.sql"] = TABLES
  local traced = pgmig.migrator(nil, folder(files)):trace { applied_to = 1 }
  return traced.effects, traced
end

describe("a trace", function()
  it("tells what a statement took, and what was held before it", function()
    local effects = trace {
      ["2_x.sql"] = "ALTER TABLE a ADD x int;\nCREATE INDEX i ON b (a);",
    }
    assert.equal(2, #effects)
    assert.same({ ["public.a"] = "ACCESS EXCLUSIVE" }, effects[1].locks)
    assert.same({}, effects[1].held)
    assert.same({ ["public.b"] = "SHARE" }, effects[2].locks)
    assert.same({ ["public.a"] = "ACCESS EXCLUSIVE" }, effects[2].held)
    assert.same({ { index = "public.i", table = "public.b", new = true } }, effects[2].builds)
    assert.same({ ["public.b"] = 1 }, effects[2].scans)
    assert.equal("5s", effects[2].settings.lock_timeout)
    assert.equal(2, effects[2].line)
    assert.is_true(effects[2].transaction)
  end)

  it("tells of the parent of a foreign key, which the statement does not name", function()
    local effect = trace { ["2_x.sql"] = "DROP TABLE b;" }[1]
    assert.equal("ACCESS EXCLUSIVE", effect.locks["public.a"])
    assert.is_false(effect.relations["public.a"].named)
    assert.is_true(effect.relations["public.a"].existed)
    assert.is_true(effect.relations["public.b"].named)
  end)

  it("sees the same in a block, in a function and in Lua", function()
    local change = "ALTER TABLE a ALTER id TYPE bigint"
    local seen = {}
    for i, file in ipairs {
      { "2_x.sql", change .. ";" },
      { "2_x.sql", "DO $$ BEGIN " .. change .. "; END $$;" },
      { "2_x.lua", "return { up = function(db) db:exec '" .. change .. "' end }" },
      { "2_x.lua", "return { up = function(db)\n db:query('" .. change .. "')\n end,\n"
        .. "transaction = false }" },
    } do
      local effect = trace { [file[1]] = file[2] }[1]
      seen[i] = {
        effect.locks, effect.scans, effect.rewrites, effect.builds, effect.reasons,
        effect.commands,
      }
      assert.same(seen[1], seen[i])
    end
    assert.same({ "public.a", "public.a_v" }, seen[1][3])
    assert.same({ index = "public.a_pkey", table = "public.a", rebuilt = true }, seen[1][4][2])
    assert.equal("type", seen[1][5]["public.a"])
    assert.same({ { tag = "ALTER TABLE", object = "public.a" } }, seen[1][6])
  end)

  it("names the line of a call in Lua", function()
    local effect = trace {
      ["2_x.lua"] = "return {\n  up = function(db)\n    db:exec 'LOCK TABLE a'\n  end,\n}",
    }[1]
    assert.same({ 3, "LOCK", "ACCESS EXCLUSIVE" },
      { effect.line, effect.kind, effect.locks["public.a"] })
  end)

  it("looks at a statement without a transaction in one that is rolled back", function()
    local effects = trace {
      ["2_x.sql"] = "-- pgmig: transaction=off\nCREATE INDEX i ON a (id);\n"
        .. "CREATE INDEX CONCURRENTLY j ON a (id);\nALTER TABLE a ADD y int;",
    }
    assert.same({ ["public.a"] = "SHARE" }, effects[1].locks)
    assert.is_nil(effects[1].source)
    assert.is_false(effects[1].transaction)
    assert.same({ ["public.a"] = "SHARE UPDATE EXCLUSIVE" }, effects[2].locks)
    assert.equal("table", effects[2].source)
    assert.same({ ["public.a"] = "ACCESS EXCLUSIVE" }, effects[3].locks)
    assert.same({}, effects[3].held)
  end)

  it("does not lay a scan of a statement without a transaction to the next migration", function()
    local effects = trace {
      ["2_x.sql"] = "-- pgmig: transaction=off\nCREATE UNIQUE INDEX CONCURRENTLY i ON b (a);\n"
        .. "UPDATE a SET v = '';",
      ["3_x.sql"] = "ALTER TABLE b ADD CONSTRAINT i UNIQUE USING INDEX i;\nLOCK TABLE a;",
    }
    assert.same({ ["public.a"] = 1 }, effects[2].scans)
    assert.same({}, effects[3].scans)
    assert.same({}, effects[4].scans)
  end)

  it("tells of the statement that fails, and what it was at", function()
    local effects, traced = trace { ["2_x.sql"] = "ALTER TABLE a ADD x int;\nDROP TABLE nope;" }
    assert.equal("42P01", traced.error.sqlstate)
    assert.equal(2, #effects)
    assert.equal(traced.error, effects[2].error)
  end)

  it("counts what is written, and what is created and dropped by name", function()
    local effects = trace {
      ["2_x.sql"] = "INSERT INTO a VALUES (1, 'x'), (2, 'y');\nUPDATE a SET v = 'z' WHERE id = 1;\n"
        .. "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';\nDROP FUNCTION f();\n"
        .. "TRUNCATE b;",
    }
    assert.same({ inserted = 2, updated = 0, deleted = 0 }, effects[1].written["public.a"])
    assert.same({ inserted = 0, updated = 1, deleted = 0 }, effects[2].written["public.a"])
    assert.same({ { kind = "function", name = "public.f()" } }, effects[3].created)
    assert.same({ { kind = "function", name = "public.f()" } }, effects[4].dropped)
    assert.equal("truncated", effects[5].reasons["public.b"])
  end)
end)
