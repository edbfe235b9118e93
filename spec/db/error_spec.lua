local pgmig = require "pgmig"
local support = require "spec.support"

describe("an error", function()
  local db, dir, migrator

  before_each(function()
    db = pgmig.connect(support.database())
    dir = support.tempdir()
    migrator = pgmig.migrator(db, dir)
  end)

  after_each(function() db:close() end)

  --- Run one file; return its error.
  local function run(text, method)
    support.write(dir, "003_create_orders.sql", text)
    local ok, err = pcall(method or migrator.migrate, migrator)
    assert.is_false(ok)
    return err
  end

  local function place(err) return ("%s:%s"):format(err.line, err.column) end

  it("names file, line and column, shows the line and a caret under it", function()
    local err = run("-- Migration: create_orders\n\n-- UP\nCREATE TABLE users (id int);\n\n" ..
      "CREATE VIEW v AS\n  SELECT id, t.user_idd FROM users t;\n")
    assert.equal("7:14", place(err))
    local lines = {}
    for line in tostring(err):gmatch "[^\n]+" do lines[#lines + 1] = line end
    assert.equal(dir .. "/003_create_orders.sql:7:14: column t.user_idd does not exist", lines[1])
    assert.equal("    7 |   SELECT id, t.user_idd FROM users t;", lines[2])
    assert.equal("                     ^", lines[3])
    assert.equal("42703", err.sqlstate)
    assert.matches("user_idd", err.statement)
    assert.is_true(pgmig.is_error(err, "sql"))
    assert.is_false(pgmig.is_error(err, "parse"))
    assert.is_false(pgmig.is_error "text")
  end)

  it("is placed after multi-byte characters", function()
    assert.equal("1:23", place(run "SELECT 'äöü€𝄞', '日本', nix;"))
    assert.equal("2:9", place(run "SELECT 'äöü€𝄞',\n '€€€', nix;"))
  end)

  it("is placed in a second statement of a line", function()
    assert.equal("1:18", place(run "SELECT 1; SELECT nix;"))
    assert.equal("2:24", place(run "/* ü\n */ SELECT 'é'; SELECT nix;"))
  end)

  it("is placed in a file with CRLF, and one with a BOM", function()
    assert.equal("3:8", place(run "SELECT 1;\r\n\r\nSELECT nix;\r\n"))
    assert.equal("1:8", place(run "\239\187\191SELECT nix;"))
    assert.equal("SELECT nix;", run("SELECT 1;\r\nSELECT nix;\r\n").text)
  end)

  it("is placed in a DOWN section", function()
    support.write(dir, "003_create_orders.sql",
      "-- UP\nSELECT 1;\n-- DOWN\nSELECT 1;\nDROP TABLE nix;\n")
    migrator:migrate()
    local ok, err = pcall(migrator.rollback, migrator)
    assert.is_false(ok)
    assert.equal(5, err.line)
    assert.equal("42P01", err.sqlstate)
  end)

  it("without a position points at its statement", function()
    assert.equal("3:3", place(run "SELECT 1;\n\n  SELECT 1/0;\n"))
  end)

  it("in a DO block points at its line there", function()
    assert.equal("4:3", place(run "SELECT 1;\nDO $$\nBEGIN\n  RAISE EXCEPTION 'no';\nEND $$;\n"))
    assert.equal("3:2", place(run "SELECT 1;\nDO $$ BEGIN\n PERFORM 1/0; END $$;\n"))
  end)

  it("in a function of the same file points at its line there", function()
    local err = run("-- UP\n" ..
      "CREATE FUNCTION app_fail(a int) RETURNS int LANGUAGE plpgsql AS $body$\n" ..
      "DECLARE\n  b int;\nBEGIN\n  b := 1 / a;\n  RETURN b;\nEND $body$;\n\nSELECT app_fail(0);\n")
    assert.equal("6:3", place(err))
    assert.matches("app_fail", err.context)
  end)

  it("in a function of before points at the statement", function()
    db:exec "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1/0; END $$"
    assert.equal("2:1", place(run "SELECT 1;\nSELECT f();\n"))
  end)

  it("in a body that does not compile points into it", function()
    assert.equal(4, run("CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$\nBEGIN\n" ..
      "  RETURN 1;\n  nonsense here;\nEND $$;").line)
  end)

  it("shows a window of a very long line", function()
    local err = run("SELECT " .. ("1, "):rep(5000) .. "nix;")
    assert.equal(15008, err.column)
    assert.is_true(#tostring(err) < 500)
    err = run("SELECT " .. ("1, "):rep(500) .. "nix;")
    local line, caret = tostring(err):match "\n([^\n]*nix;)\n( *)%^"
    assert.equal("nix", line:sub(#caret + 1, #caret + 3))
  end)

  it("keeps tabs, so that the caret stays under its column", function()
    local caret = tostring(run "\t\tSELECT nix;"):match "\n([^\n]*)%^"
    assert.equal((" "):rep(8) .. "\t\t" .. (" "):rep(7), caret)
  end)

  it("carries the server's detail, hint and context", function()
    local err = run("DO $$ BEGIN RAISE EXCEPTION 'oh' USING DETAIL = 'd', HINT = 'h', " ..
      "ERRCODE = 'P1234'; END $$;")
    assert.same({ "oh", "d", "h", "P1234" }, { err.message, err.detail, err.hint, err.sqlstate })
    assert.matches("DETAIL: d\nHINT: h", tostring(err))
  end)

  it("is the same table on its way through pcall and error", function()
    support.write(dir, "003_create_orders.sql", "SELECT nix;")
    local ok, err = pcall(function()
      local inner, again = pcall(migrator.migrate, migrator)
      assert.is_false(inner)
      error(again, 0)
    end)
    assert.is_false(ok)
    assert.equal("003_create_orders", err.migration)
  end)
end)
