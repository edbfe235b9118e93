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

  --- A function that fails in the second line of its body.
  local function failing(signature, body)
    return ("CREATE FUNCTION %s RETURNS int LANGUAGE plpgsql AS $$\nBEGIN %s; END $$;\n"):format(
      signature, body)
  end

  it("is placed in the data of the file's COPY, not of one that a trigger runs", function()
    local err = run(([[
CREATE TABLE other (n int);
CREATE TABLE t (n int);
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  COPY other FROM PROGRAM 'seq 1 50; echo bad';
  RETURN NEW;
END $$;
CREATE TRIGGER f BEFORE INSERT ON t FOR EACH ROW EXECUTE PROCEDURE f();
COPY t FROM STDIN;
1
2
\.
]] .. ("SELECT 1;\n"):rep(90)))
    assert.matches("^COPY other, line 51", err.context)
    assert.equal("10:1", place(err))
  end)

  it("finds a routine by its schema, in quotes, and among others of its name", function()
    local setup = "CREATE SCHEMA app; CREATE SCHEMA other;\n"
    assert.equal("3:1", place(run(setup .. failing("app.f()", "RETURN 1/0") .. "SELECT app.f();")))
    assert.equal("3:1", place(run(setup .. failing('"My ""F"""()', "RETURN 1/0")
      .. 'SELECT "My ""F"""();')))
    assert.equal("3:1", place(run(setup .. failing("app.f()", "RETURN 1/0")
      .. failing("other.f()", "RETURN 1") .. "SELECT app.f();")))
    assert.equal("3:1", place(run(setup .. failing("F(a int, b text)", "RETURN 1/0")
      .. failing("f(a int)", "RETURN 1") .. "SELECT f(1, '');")))
    assert.equal("5:1", place(run(setup .. failing("f()", "RETURN 1")
      .. failing("f()", "RETURN 1/0"):gsub("CREATE", "CREATE OR REPLACE") .. "SELECT f();")))
  end)

  it("tells overloaded routines apart by their arguments' types", function()
    support.needs(pending, 11, "procedures")
    local fails, works = "RETURN 1/0", "RETURN 1"
    local setup = "CREATE SCHEMA s1; CREATE SCHEMA s2;\n"
    assert.equal("5:1", place(run(setup .. failing("s1.f(i int)", works)
      .. failing("s2.f(i int4)", fails) .. failing("s2.f(t text)", works) .. "SELECT s2.f(3);")))
    assert.equal("2:1", place(run(failing("f(timestamptz, VARIADIC b float[])", fails)
      .. failing("f(a timestamp(3), VARIADIC b float[])", works) .. "SELECT f(now(), 1, 2);")))
    assert.equal("2:1", place(run(failing('f(IN OUT a int, b "char" = \'a\')',
      "a := 1/0") .. failing("f(a int, b char(3))", works) .. "SELECT f(1, 'a'::\"char\");")))
    assert.equal("2:1", place(run((failing("p(a varchar(9), INOUT b int)", "b := 1/0")
      .. failing("p(a text, b int)", "b := 1/0")):gsub("FUNCTION", "PROCEDURE")
      :gsub("RETURNS int", "") .. "CALL p('a'::varchar, 1);")))
    assert.equal("3:1", place(run("CREATE TYPE \"Ä\" AS ENUM ('a');\n" .. failing(
      'f(a public."Ä"[])', fails) .. failing('f(a "Ä")', works) .. "SELECT f('{a}'::\"Ä\"[]);")))
  end)

  it("takes a replaced routine as it was at the call", function()
    local replaced = failing("f(a integer DEFAULT 0)", "RETURN 1/0"):gsub("CREATE",
      "CREATE OR REPLACE")
    assert.equal("4:1", place(run(failing("f(a int)", "RETURN 1") .. replaced .. "SELECT f();\n"
      .. replaced)))
  end)

  it("finds a routine by the schema that it is made in", function()
    local f = failing("f()", "RETURN 1/0")
    assert.equal("2:1", place(run(f:gsub("AS", "SET search_path = '' AS") .. "SELECT f();")))
    assert.equal("3:1", place(run("CREATE SCHEMA app; SET search_path TO app, public;\n"
      .. f .. "SELECT f();")))
    assert.equal("3:1", place(run("CREATE SCHEMA app; SET search_path = app;\n" .. f:gsub("AS",
      "SET search_path = '' AS") .. "SET search_path = '';\n" .. failing("public.f()", "RETURN 1")
      .. "SELECT app.f();")))
    assert.equal("2:1", place(run(failing("pg_temp.f()", "RETURN 1/0") .. "SELECT pg_temp.f();")))
  end)

  it("points into a body in plain quotes", function()
    assert.equal("2:1", place(run(failing("f()", "RETURN 1/0"):gsub("%$%$", "'")
      :gsub("plpgsql", "'plpgsql'") .. "SELECT f();")))
    assert.equal("2:1", place(run "DO LANGUAGE 'plpgsql' '\nBEGIN PERFORM 1/0; END';"))
    assert.equal("1:1", place(run "DO E'\\nBEGIN\n PERFORM 1/0; END';"))
  end)

  it("points into a body in SQL, at its statement or character", function()
    local f = "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$\n SELECT 1;\n  %s;\n$$;\n"
    assert.equal("3:3", place(run(f:format "SELECT 1/(SELECT 0)" .. "SELECT f();")))
    assert.equal("4:10", place(run("SET check_function_bodies = off;\n"
      .. f:format "SELECT nosuch" .. "SELECT f();")))
    assert.equal("11:1", place(run("CREATE SCHEMA app;\n" .. f:format "SELECT 1/(SELECT 0)"
      .. f:format "SELECT 1":gsub("f%(", "app.f(") .. "\nSELECT f();")))
  end)

  it("points into a body that does not compile when it is called", function()
    assert.equal("4:10", place(run("SET check_function_bodies = off;\n" .. failing("f()",
      "IF true TEHN\n RETURN 1; END IF") .. "SELECT f();")))
  end)

  it("points at the call where several routines could be meant", function()
    db:exec(failing("f(a int)", "RETURN 1/0"))
    assert.equal("4:1", place(run("\n" .. failing("f(a text)", "RETURN 1") .. "SELECT f(1);")))
    db:exec "DROP FUNCTION f(int)"
    db:exec(failing("f()", "RETURN 1/0"):gsub("f%(%)", "public.f()"))
    assert.equal("5:1", place(run("CREATE SCHEMA app;\n" .. failing("app.f()", "RETURN 1")
      .. "\nSELECT public.f();")))
    local columns = "CREATE TABLE t (a int, b text);\n"
    assert.equal("6:1", place(run(columns .. failing("g(x t.a%TYPE)", "RETURN 1/0")
      .. failing("g(x t.b%TYPE)", "RETURN 1") .. "SELECT g(1);")))
  end)

  it("in a block that a block runs points to the outer one", function()
    assert.equal("3:3", place(run("DO $$\nBEGIN\n  EXECUTE 'DO $i$ BEGIN\n\n\n"
      .. "PERFORM 1/0; END $i$';\nEND $$;")))
  end)

  it("shows what a block has built and run, with a caret of its own", function()
    local err = run("DO $$ BEGIN\n  EXECUTE format('CREATE TABLE %I (a int, b no_%s)', 'u', "
      .. "'such');\nEND $$;")
    assert.equal("2:3", place(err))
    assert.equal("CREATE TABLE u (a int, b no_such)", err.query)
    assert.equal(26, err.query_at)
    assert.matches("\nQUERY: CREATE TABLE u %(a int, b no_such%)\n" .. (" "):rep(32) .. "%^\n",
      tostring(err))
    err = run "DO $$ BEGIN EXECUTE E'CREATE TABLE u (a int,\\n  b no_such)'; END $$;"
    assert.matches("\nQUERY line 2:   b no_such%)\n" .. (" "):rep(18) .. "%^\n", tostring(err))
  end)

  for bytes, name in pairs {
    ["\239\187\191"] = "byte order mark", ["\194\160"] = "no%-break space",
    ["\226\128\139"] = "zero width space",
  } do
    it("names what cannot be seen: " .. name, function()
      local hint = run("SELECT 1;\n" .. bytes .. "SELECT 2;").hint
      assert.matches("this word contains a " .. name, hint)
      assert.matches("this word contains a " .. name, run("SELECT nix" .. bytes .. ";").hint)
    end)
  end

  it("of a deferred constraint or trigger says that it came at COMMIT", function()
    local err = run("CREATE TABLE p (id int PRIMARY KEY);\nCREATE TABLE c (p int REFERENCES p "
      .. "DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO c VALUES (1);")
    assert.equal("23503", err.sqlstate)
    assert.matches("at COMMIT", err.hint)
    err = run("CREATE TABLE p (id int);\nCREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS "
      .. "$$ BEGIN RAISE 'no'; END $$;\nCREATE CONSTRAINT TRIGGER t AFTER INSERT ON p DEFERRABLE "
      .. "INITIALLY DEFERRED FOR EACH ROW EXECUTE PROCEDURE f();\nINSERT INTO p VALUES (1);")
    assert.matches("at COMMIT", err.hint)
  end)

  it("of a migration that drops pgmig's own tables says where to keep them", function()
    support.write(dir, "001_a.sql", "CREATE SCHEMA app;")
    migrator:migrate()
    local hint
    for _, text in ipairs {
      "-- pgmig: transaction=off\nDROP SCHEMA public CASCADE;",
      "ALTER SCHEMA public RENAME TO old; CREATE SCHEMA public;",
      "DROP SCHEMA public CASCADE;\nCREATE SCHEMA public;",
    } do
      hint = run(text).hint
      assert.matches("drops pgmig's own tables", hint)
      db:exec "DELETE FROM schema_migrations_journal"
    end
    local commands, name = hint:match "drops: (.*); and run with %-%-table (.*)$"
    db:exec(commands)
    assert.equal(1, #pgmig.migrator(db, dir, { table = name }):migrate()) -- 001 is not run again
  end)

  it("of a migration that makes pgmig's own tables says so", function()
    assert.matches("%-%-exclude%-table='schema_migrations%*'", run("CREATE TABLE "
      .. "public.schema_migrations (version varchar NOT NULL);").hint)
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
