local pgmig = require "pgmig"
local support = require "spec.support"

local naming = pgmig.naming

local function labels(list)
  local result = {}
  for i, m in ipairs(list) do result[i] = tostring(m) end
  return result
end

describe("a naming rule", function()
  local db, dir

  before_each(function()
    db = pgmig.connect(support.database())
    dir = support.tempdir()
  end)

  after_each(function() db:close() end)

  local function fails(rule)
    local ok, err = pcall(function()
      return pgmig.migrator(db, dir, { naming = rule }):migrate()
    end)
    assert.is_false(ok)
    return err
  end

  local function exists(name)
    return db:query("SELECT to_regclass($1) IS NOT NULL AS there", name)[1].there
  end

  it("may be any pure function of the path", function()
    support.write(dir, "7.create-users.sql", "CREATE TABLE users ();")
    support.write(dir, "10.create-orders.sql", "CREATE TABLE orders ();")
    local rule = {
      parse = function(path)
        local version, name = path:match "^(%d+)%.(.+)%.sql$"
        return version and { version = version, name = name, label = version .. ": " .. name }
      end,
      format = function(version, name) return version .. "." .. name .. ".sql" end,
    }
    local migrator = pgmig.migrator(db, dir, { naming = rule })
    assert.same({ "7: create-users", "10: create-orders" }, labels(migrator:migrate()))
    assert.matches("/011%.next%.sql$", migrator:create "next")
  end)

  it("may take the order from a file of the folder", function()
    support.write(dir, "order.txt", "zebra\napple\n")
    support.write(dir, "apple.sql", "CREATE TABLE apple (LIKE zebra);")
    support.write(dir, "zebra.sql", "CREATE TABLE zebra (id int);")
    support.write(dir, "spare.sql", "CREATE TABLE spare ();")
    local function nothing() end
    local rule = {
      listed = "order.txt", parse = nothing, format = nothing,
      parser = function(paths, read)
        assert.same({ "apple.sql", "order.txt", "spare.sql", "zebra.sql" }, paths)
        local place, count = {}, 0
        local text, shown = read "order.txt"
        assert.equal(dir .. "/order.txt", shown)
        assert.is_nil((read "none.txt"))
        for name in text:gmatch "%S+" do
          count = count + 1
          place[name .. ".sql"] = { version = tostring(count), name = name, label = name }
        end
        return function(path) return place[path] end
      end,
    }
    local migrator = pgmig.migrator(db, dir, { naming = rule })
    assert.same({ "zebra", "apple" }, labels(migrator:migrate()))
    assert.same({ [dir .. "/spare.sql"] = "is not listed in order.txt" }, migrator:files().reasons)
  end)

  it("gives only names that the database can keep", function()
    db:exec [[CREATE DATABASE names_latin1 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'
      TEMPLATE template0]]
    local conn = pgmig.connect(support.server():url "names_latin1")
    support.write(dir, "001_a.sql", "CREATE TABLE a ();")
    support.write(dir, "002_caf\195\169.sql", "CREATE TABLE b ();")
    support.write(dir, "003_\226\130\172.sql", "CREATE TABLE c ();")
    for _, name in ipairs { "plan", "migrate" } do
      local migrator = pgmig.migrator(conn, dir)
      local ok, err = pcall(migrator[name], migrator)
      assert.is_false(ok)
      assert.same({ "naming", dir .. "/003_\226\130\172.sql" }, { err.kind, err.file })
      assert.matches("its encoding LATIN1", err.message, 1, true)
    end
    assert.is_false(conn:query("SELECT to_regclass('a') IS NOT NULL AS there")[1].there)
    assert.equal(2, #pgmig.migrator(conn, dir):migrate(2))
    assert.equal(3, #pgmig.migrator(db, dir):migrate())
    conn:close()
    db:exec "DROP DATABASE names_latin1"
  end)

  it("must be a rule", function()
    assert.equal("usage", fails({ parse = print }).kind)
  end)

  describe("of pgmig's own", function()
    before_each(function() support.write(dir, "001_a.sql", "CREATE TABLE a ();") end)

    for name, says in pairs {
      ["002_caf\233.sql"] = "the file name is not valid UTF%-8",
      [("9"):rep(39) .. "_x.sql"] = "more than 38 digits",
    } do
      it("refuses a name before anything runs: " .. says, function()
        support.write(dir, name, "SELECT 1;")
        local err = fails()
        assert.equal("naming", err.kind)
        assert.matches(says, err.message)
        assert.equal(dir .. "/" .. name:gsub("\233", "\\xe9"), err.file)
        assert.is_false(exists "a")
        assert.equal(err.file, pgmig.migrator(db, dir):status().problems[1].path)
      end)
    end

    it("names files that are SQL and do not run", function()
      local names = { "002_b.SQL", "003_c.sql.txt", "004_d.psql", "005_e.pgsql", "006_f.sql " }
      for _, name in ipairs(names) do support.write(dir, name, "SELECT 1;") end
      support.write(dir, "007_g.sql~", "SELECT 1;")
      local paths = {}
      for i, name in ipairs(names) do paths[i] = dir .. "/" .. name end
      assert.same(paths, pgmig.migrator(db, dir):plan().ignored)
    end)

    for _, name in ipairs {
      "002_a.down.sql", "2_a.Down.sql", "002_a.undo.sql", "002_a.rollback.sql", "002_a.revert.sql",
      "002_a_down.sql", "002_a_ROLLBACK.sql", "002_a-undo.sql", "R__a.down.sql",
      "002_a_downgrade.sql", "002_a.reverse.sql", "002_a.backout.sql",
    } do
      it("runs no way back as UP: " .. name, function()
        support.write(dir, name, "DROP TABLE a;")
        local err = fails()
        assert.equal("naming", err.kind)
        assert.equal(dir .. "/" .. name, err.file)
        assert.matches("--format", err.hint, 1, true)
        assert.matches("pgmig.naming.paired", err.hint, 1, true)
        assert.is_false(exists "a")
      end)
    end

    it("runs what only sounds like one, or says that it goes up", function()
      local names = {
        "downtime", "rollbacks", "down_pays", "undone", "a.up", "undo.it", "string_reverse",
      }
      for i, name in ipairs(names) do
        support.write(dir, ("%d_%s.sql"):format(i + 1, name), "SELECT 1;")
      end
      support.write(dir, "9_shut_down.sql", "-- UP\nSELECT 1;\n")
      assert.equal(9, #pgmig.migrator(db, dir):migrate())
    end)

    it("leaves alone what has run under such a name", function()
      support.write(dir, "002_shut_down.sql", "CREATE TABLE b ();")
      local migrator = pgmig.migrator(db, dir)
      migrator:baseline(2)
      assert.same({}, migrator:status().problems)
    end)

    for _, pair in ipairs {
      { "001_a.up.sql", "001_a.down.sql" }, { "001_b.sql", "001_b.down.sql" },
      { "001_c_up.sql", "1_c_down.sql" }, { "001_d.sql", "001_d.undo.sql" },
      { "001_d.sql", "001_e_rollback.sql" },
    } do
      it("does not tear a pair apart: " .. table.concat(pair, ", "), function()
        os.remove(dir .. "/001_a.sql")
        for _, name in ipairs(pair) do support.write(dir, name, "SELECT 1;") end
        local err = fails()
        assert.matches("two files have version 1", err.message, 1, true)
        assert.matches("--format", err.hint, 1, true)
        assert.is_nil(err.hint:find "another number")
      end)
    end
  end)

  it("of a tool without pairs runs no .down.sql as UP", function()
    support.write(dir, "001_a.down.sql", "CREATE TABLE a ();")
    for _, format in ipairs { "tern", "node-pg-migrate" } do
      local migrator = pgmig.migrator(db, dir, { format = format })
      local ok, err = pcall(migrator.migrate, migrator)
      assert.is_false(ok, format)
      assert.matches("golang-migrate reads pairs", err.hint, 1, true)
    end
  end)

  describe("for pairs of files", function()
    before_each(function()
      support.write(dir, "001_a.up.sql", "CREATE TABLE a ();")
      support.write(dir, "001_a.down.sql", "DROP TABLE a;")
      support.write(dir, "002_b.up.sql", "CREATE TABLE b ();")
    end)

    it("runs one up and the other down", function()
      local migrator = pgmig.migrator(db, dir, { naming = naming.paired })
      assert.same({ "001_a", "002_b" }, labels(migrator:migrate()))
      assert.equal("ready", migrator:status().applied[1].down)
      assert.equal("none", migrator:status().applied[2].down)
      support.write(dir, "002_b.down.sql", "DROP TABLE b;")
      assert.same({ "002_b", "001_a" }, labels(migrator:rollback(2)))
      assert.is_false(exists "a")
    end)

    it("points errors at the file that failed", function()
      support.write(dir, "002_b.down.sql", "SELECT 1;\nDROP TABLE nix;")
      local migrator = pgmig.migrator(db, dir, { naming = naming.paired })
      migrator:migrate()
      local ok, err = pcall(migrator.rollback, migrator)
      assert.is_false(ok)
      assert.matches("002_b.down.sql:2:1", tostring(err), 1, true)
      assert.is_true(exists "b")
    end)

    it("refuses markers in them, a down without up, and two of one direction", function()
      support.write(dir, "001_a.up.sql", "-- UP\nCREATE TABLE a ();")
      assert.equal("parse", fails(naming.paired).kind)
      support.write(dir, "001_a.up.sql", "CREATE TABLE a ();")
      support.write(dir, "003_c.down.sql", "SELECT 1;")
      assert.matches("003_c.down.sql", fails(naming.paired).file, 1, true)
      support.write(dir, "003_c.up.sql", "SELECT 1;")
      support.write(dir, "3_d.up.sql", "SELECT 1;")
      assert.equal("naming", fails(naming.paired).kind)
      os.remove(dir .. "/003_c.up.sql")
      assert.matches("rename one of them", fails(naming.paired).hint)
    end)

    it("refuses a way back in the file that goes up, before anything runs", function()
      support.write(dir, "002_b.up.sql", "CREATE TABLE b ();\n\n-- DOWN (rollback)\nDROP TABLE b;")
      local err = fails(naming.paired)
      assert.same({ "parse", dir .. "/002_b.up.sql", 3 }, { err.kind, err.file, err.line })
      assert.is_false(exists "a")
    end)

    it("creates both", function()
      local up, down = pgmig.migrator(nil, dir, { naming = naming.paired }):create "add c"
      assert.equal(dir .. "/003_add_c.up.sql", up)
      assert.equal(dir .. "/003_add_c.down.sql", down)
      assert.matches("Migration: add_c", support.read(down))
    end)
  end)

  describe("for a folder for each migration", function()
    it("sees paths, and creates the folder", function()
      local migrator = pgmig.migrator(db, dir, { naming = naming.folders })
      local up, down = migrator:create "first"
      assert.equal(dir .. "/001_first/up.sql", up)
      os.remove(up)
      os.remove(down)
      support.write(dir .. "/001_first", "up.sql", "CREATE TABLE a ();")
      support.write(dir .. "/001_first", "down.sql", "DROP TABLE a;")
      assert.same({ "001_first" }, labels(migrator:migrate()))
      assert.same({ "001_first" }, labels(migrator:rollback()))
    end)
  end)

  describe("with dotted versions", function()
    local rule = {
      dotted = true,
      parse = function(path)
        local version, name = path:match "^V([%d.]+)__(.+)%.sql$"
        return version and { version = version, name = name }
      end,
      format = function(version, name) return "V" .. version .. "__" .. name .. ".sql" end,
    }

    it("orders them by their numbers and shows them as they are", function()
      for _, version in ipairs { "1.10", "1.9", "1.9.2", "2", "1" } do
        support.write(dir, ("V%s__x.sql"):format(version), "SELECT 1;")
      end
      local migrator = pgmig.migrator(db, dir, { naming = rule })
      assert.same({ "1_x", "1.9_x", "1.9.2_x", "1.10_x", "2_x" }, labels(migrator:migrate()))
      assert.equal("1.10_x", tostring(migrator:applied()[4]))
      assert.same({ "2_x", "1.10_x" }, labels(migrator:plan_rollback(2)))
    end)

    it("creates with the rule's own next", function()
      local migrator = pgmig.migrator(nil, dir, { naming = rule })
      assert.equal("usage", select(2, pcall(migrator.create, migrator, "y")).kind)
      local counting = { dotted = true, parse = rule.parse, format = rule.format,
        next = function(newest) return newest and "1.1" or "1" end }
      migrator = pgmig.migrator(nil, dir, { naming = counting })
      assert.equal(dir .. "/V1__y.sql", migrator:create "y")
      assert.equal(dir .. "/V1.1__z.sql", migrator:create "z")
    end)

    it("refuses what has no place in the digits", function()
      for _, version in ipairs { "1.2.3.4.5", "1..2", ".1", "1.", "1.123456" } do
        assert.is_false(pcall(naming.dotted, version), version)
      end
      assert.equal("00001000100000200000", naming.dotted "1.010.2")
    end)
  end)

  it("may call files repeatable, by names of its own", function()
    support.write(dir, "001_a.sql", "CREATE TABLE a ();")
    support.write(dir, "views.always.sql", "CREATE OR REPLACE VIEW v AS SELECT 1 AS one;")
    local migrator = pgmig.migrator(db, dir, { naming = {
      parse = function(path)
        local name = path:match "^(.+)%.always%.sql$"
        if name then return { repeatable = true, name = name } end
        return naming.default.parse(path)
      end,
      format = naming.default.format,
    } })
    assert.same({ "001_a", "views" }, labels(migrator:migrate()))
    assert.same({ "views" }, labels(migrator:status().repeatable))
    assert.equal("applied", migrator:status().repeatable[1].state)
  end)
end)
