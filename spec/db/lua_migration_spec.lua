local core = require "pgmig.core"
local pgmig = require "pgmig"
local support = require "spec.support"

describe("a Lua migration", function()
  local url, db, dir, migrator

  before_each(function()
    url = support.database()
    db = pgmig.connect(url)
    dir = support.tempdir()
    migrator = pgmig.migrator(db, dir)
  end)

  after_each(function() db:close() end)

  local function fails(method)
    local ok, err = pcall(method or migrator.migrate, migrator)
    assert.is_false(ok)
    assert.is_true(pgmig.is_error(err), tostring(err))
    return err
  end

  local function exists(name)
    return db:query("SELECT to_regclass($1) IS NOT NULL AS there", name)[1].there
  end

  it("runs up and down on the migration's connection, with its bookkeeping", function()
    support.write(dir, "001_sql.sql", "CREATE TABLE a (n int);")
    support.write(dir, "002_lua.lua", [[
      return {
        up = function(db)
          for i = 1, 3 do db:query("INSERT INTO a VALUES ($1)", i) end
          db:exec "CREATE TABLE by_lua ()"
        end,
        down = function(db) db:exec "DROP TABLE by_lua; DELETE FROM a" end,
      }]])
    assert.equal("002_lua", tostring(migrator:migrate()[2]))
    assert.equal(3, db:query("SELECT count(*) AS n FROM a")[1].n)
    assert.equal(2, #migrator:applied())
    assert.equal("ready", migrator:status().applied[2].down)
    assert.equal("002_lua", tostring(migrator:rollback()[1]))
    assert.is_false(exists "by_lua")
    assert.equal(1, #migrator:applied())
  end)

  it("commits together with its tracking row, or not at all", function()
    support.write(dir, "001_lua.lua", [[
return {
  up = function(db)
    db:exec "CREATE TABLE t ()"
    error("changed my mind")
  end,
}]])
    local err = fails()
    assert.equal("lua", err.kind)
    assert.same({ dir .. "/001_lua.lua", 4, "001_lua" }, { err.file, err.line, err.migration })
    assert.equal("changed my mind", err.message)
    assert.matches("001_lua.lua:4", err.traceback, 1, true)
    assert.is_false(exists "t")
    assert.equal(0, #migrator:applied())
  end)

  it("that lets a database error through has its line in the Lua file", function()
    support.write(dir, "001_lua.lua", "return {\n  up = function(db)\n" ..
      "    db:exec 'CREATE TABLE t ()'\n    db:query 'SELECT nix'\n  end,\n}")
    local err = fails()
    assert.same({ "sql", "42703", 4 }, { err.kind, err.sqlstate, err.line })
    assert.matches("001_lua.lua:4", tostring(err), 1, true)
    assert.is_false(exists "t")
  end)

  it("may run outside a transaction", function()
    support.write(dir, "001_lua.lua", [[
      return {
        transaction = false,
        up = function(db)
          db:exec "CREATE TABLE t (a int)"
          db:exec "CREATE INDEX CONCURRENTLY i ON t (a)"
          db:transaction(function(tx) tx:exec "INSERT INTO t VALUES (1)" end)
        end,
      }]])
    assert.equal(1, #migrator:migrate())
    assert.is_true(exists "i")
  end)

  it("without a way back says so", function()
    support.write(dir, "001_lua.lua", "return { up = function() end }")
    migrator:migrate()
    assert.equal("none", migrator:status().applied[1].down)
    assert.matches("001_lua", fails(migrator.rollback).message)
  end)

  it("is checked before anything runs", function()
    support.write(dir, "001_sql.sql", "CREATE TABLE a ();")
    for text, line in pairs {
      ["return {\n up = function(\n}"] = 3, ["return {}"] = false, ["return 1"] = false,
      ["\nerror 'at once'"] = 2, ["return { up = 1 }"] = false,
      ["return { up = function() end, down = 1 }"] = false,
    } do
      support.write(dir, "002_lua.lua", text)
      local err = fails()
      assert.equal("parse", err.kind)
      assert.equal(dir .. "/002_lua.lua", err.file)
      assert.equal(line or nil, err.line)
      assert.is_false(exists "a")
    end
  end)

  it("does not run for who only looks", function()
    support.write(dir, "001_sql.sql", "CREATE TABLE a ();")
    support.write(dir, "002_lua.lua", ([[
      local log = io.open(%q, "a")
      log:write "ran\n"
      log:close()
      return { up = function() end, down = function() end, transaction = false }
    ]]):format(dir .. "/ran"))
    local function ran() return core.exists(dir .. "/ran") end
    local plan = migrator:plan()
    assert.same({ 2, 2 }, { #plan, #migrator:pending() })
    assert.same({ false, {} }, {
      migrator:describe(plan[2], "up").transaction, migrator:describe(plan[2], "up").statements,
    })
    assert.equal("ready", migrator:status().pending[2].down)
    migrator:doctor()
    migrator:baseline(2)
    assert.same({ 2, "ready" }, { #migrator:applied(), migrator:status().applied[2].down })
    assert.is_nil(migrator:describe(migrator:plan_rollback(1)[1], "down").problem)
    migrator:history()
    migrator:repair()
    migrator:doctor()
    assert.is_false(ran())
    migrator:rollback()
    assert.is_true(ran())
  end)

  it("shows what its text says of the way back", function()
    local texts = {
      ready = {
        "return { up = function() end, down = function() end }",
        "local M = {} function M.up() end function M.down() end return M",
        "return { up = f, ['down'] = f, [ \"x\" ] = 1 }",
      },
      none = {
        "#!/usr/bin/lua\nreturn { up = function() end } -- no down",
        "return { --[==[ down = 1 ]] ]==] up = function(db) db:exec [[DROP down]] end }",
        "return { up = function(db) db:exec 'x \\' down' end, breakdown = 1, down_to = 2 }",
      },
      unknown = { "return require 'elsewhere'", "return dofile 'down'" },
    }
    for state, list in pairs(texts) do
      for _, text in ipairs(list) do
        support.write(dir, "001_lua.lua", text)
        local found = migrator:status()
        assert.same({}, found.problems)
        assert.equal(state, found.pending[1].down or "unknown", text)
      end
    end
    support.write(dir, "001_lua.lua", "return {")
    assert.same({ "parse", dir .. "/001_lua.lua" },
      { migrator:status().problems[1].kind, migrator:status().problems[1].path })
    support.write(dir, "001_lua.lua", string.dump(function() return {} end))
    assert.equal("parse", fails().kind)
  end)

  it("leaves no trace in the session", function()
    support.write(dir, "001_lua.lua",
      "return { up = function(db) db:exec \"SET work_mem = '99MB'\" end }")
    migrator:migrate()
    assert.not_equal("99MB", db:query("SHOW work_mem")[1].work_mem)
  end)

  it("goes through hooks like any other", function()
    support.write(dir, "001_lua.lua",
      "return { up = function(db) db:exec 'CREATE TABLE t ()' end }")
    local seen = {}
    for _, event in ipairs { "before_each", "before_statement", "after_each", "committed" } do
      migrator:on(event, function() seen[#seen + 1] = event .. tostring(exists "t") end)
    end
    migrator:migrate()
    assert.same({ "before_eachfalse", "after_eachtrue", "committedtrue" }, seen)
  end)
end)

describe("baseline", function()
  it("records migrations without running them", function()
    local db, dir = pgmig.connect(support.database()), support.tempdir()
    support.write(dir, "001_a.sql", "CREATE TABLE a ();")
    support.write(dir, "002_b.sql", "SELECT 'broken")
    support.write(dir, "003_c.sql", "CREATE TABLE c ();")
    local migrator = pgmig.migrator(db, dir)
    migrator:on("before_each", function() error "is not asked" end)
    assert.equal(2, #migrator:baseline(2))
    assert.equal(2, #migrator:applied())
    assert.equal("003_c", tostring(migrator:pending()[1]))
    assert.is_nil(db:query("SELECT to_regclass('a')::text AS t")[1].t)
    assert.same({}, migrator:baseline(2))
    assert.equal("plan", select(2, pcall(migrator.baseline, migrator, 9)).kind)
    assert.equal("usage", select(2, pcall(migrator.baseline, migrator)).kind)
    db:close()
  end)
end)
