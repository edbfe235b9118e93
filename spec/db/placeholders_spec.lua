-- `placeholders`: with values, as plain text, and without a word about them.
local pgmig = require "pgmig"
local cli = require "spec.cli.helper"
local core = require "pgmig.core"
local history = require "spec.support.history"
local support = require "spec.support"

local fails = history.fails

describe("placeholders", function()
  local url, db, dir

  before_each(function()
    url, dir = support.database(), support.tempdir()
    db = pgmig.connect(url)
  end)

  after_each(function() db:close() end)

  local function write(name, text) return support.write(dir, name, text) end

  local function migrator(placeholders, format, naming)
    return pgmig.migrator(db, dir, {
      placeholders = placeholders, format = format, naming = naming, table = format,
    })
  end

  --- The warnings of a run, each with its place.
  local function warnings(method, m)
    local found = {}
    m[method](m, { on_event = function(event)
      if event.type ~= "warning" then return end
      found[#found + 1] = ("%s:%s: %s"):format(event.file, event.line,
        event.message:match "placeholder (.-) is not replaced" or event.message)
    end })
    return found
  end

  local function value(sql) return db:query(sql)[1].v end

  local EVERYWHERE = [[
-- UP
CREATE TABLE ${schema}.t (n int, s text DEFAULT '${ app.name }');
CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT '${app.name}'::text $$;
COPY t FROM stdin;
1	${app.name}
2	${unknown}
\.
SELECT '{{name}}', '$ {x}', '${1}', '${a b}', '${a';
-- DOWN
DROP FUNCTION f();
DROP TABLE ${schema}.t;
]]

  it("with values are replaced everywhere in pgmig's own files, and the files' checksums stay",
    function()
      local path = write("001_a.sql", EVERYWHERE)
      local values = { schema = "public", ["app.name"] = "shop" }
      assert.same({}, warnings("migrate", migrator(values)))
      assert.equal("shop", value "INSERT INTO t VALUES (0) RETURNING s AS v")
      assert.equal("shop", value "SELECT f() AS v")
      assert.equal("shop ${unknown}",
        value "SELECT string_agg(s, ' ' ORDER BY n) AS v FROM t WHERE n > 0")
      local checksum = value "SELECT checksum AS v FROM schema_migrations_history LIMIT 1"
      assert.equal(core.file_checksum(path), checksum)
      values.schema = "other"
      assert.equal("applied", migrator(values):status().applied[1].state)
      values.schema = "public"
      migrator(values):rollback()
      assert.is_nil(value "SELECT to_regclass('public.t')::text AS v")
    end)

  it("without a value are refused with their place, before anything runs", function()
    write("001_a.sql", "CREATE TABLE a ();\n")
    local path = write("002_b.sql", "SELECT 1;\nSELECT 'é', '${Größe}';\n")
    for _, format in ipairs { "pgmig", "goose" } do
      if format == "goose" then
        write("001_a.sql", "-- +goose Up\nCREATE TABLE a ();\n")
        write("002_b.sql", "-- +goose Up\nSELECT 'é', '${Größe}';\n")
      end
      local m = migrator({ size = 1 }, format)
      local err = fails(m.migrate, m)
      assert.same({ "parse", "placeholder ${Größe} has no value", path, 2, 14 },
        { err.kind, err.message, err.file, err.line, err.column })
      assert.matches("placeholders", err.hint)
      assert.is_nil(value "SELECT to_regclass('public.a')::text AS v")
    end
  end)

  it("are a warning in pgmig's own files where nothing is said: once for each", function()
    local paths = {
      write("001_a.up.sql", "-- ${no}\nCREATE TABLE a ( -- {{no}}\n  s text /* ${no} */ DEFAULT\n"
        .. "  '{{ name }} ${no}');\nSELECT '${no}';\n"),
      write("002_b.up.sql", "SELECT '${b}';\n"), write("002_b.down.sql", "\n\nSELECT '${c}';\n"),
    }
    write("003_c.up.sql", "SELECT '{{1,2},{3,4}}'::int[], '${}', '{\"a\":{\"b\":1}}', '$1 {x}';\n"
      .. "COPY a FROM stdin;\n${x}\n\\.\n")
    assert.same({ paths[1] .. ":4: {{ name }}", paths[2] .. ":1: ${b}" },
      warnings("migrate", migrator(nil, nil, pgmig.naming.paired)))
    assert.equal("{{ name }} ${no}", value "INSERT INTO a DEFAULT VALUES RETURNING s AS v")
    local function back() return warnings("rollback", migrator(nil, nil, pgmig.naming.paired)) end
    os.remove(dir .. "/003_c.up.sql")
    db:exec "DELETE FROM schema_migrations WHERE version = 3"
    assert.same({ paths[3] .. ":3: ${c}" }, back())
  end)

  it("are plain text with false, and in formats whose tool replaces nothing", function()
    write("001_a.sql", "SELECT '${x} {{y}}';\n")
    assert.same({}, warnings("migrate", migrator(false, "pgmig")))
    dir = support.tempdir()
    write("2_a.sql", "-- +goose Up\nSELECT '${x} {{y}}';\n")
    assert.same({}, warnings("migrate", migrator(nil, "goose")))
    dir = support.tempdir()
    write("V3__a.sql", "SELECT '${x} {{y}}';\n")
    assert.same({}, warnings("migrate", migrator(false, "flyway")))
  end)

  it("in formats whose tool replaces nothing are ${name} once there are values", function()
    write("1_a.sql", "-- +goose Up\nCREATE TABLE t AS SELECT '${x}'::text AS v;\n")
    migrator({ x = 7 }, "goose"):migrate()
    assert.equal("7", value "SELECT v FROM t")
  end)

  it("are told by their places in the file, not in the text with the values", function()
    local path = write("001_a.sql", "SELECT '${x}',\n  '${x}', ${x}, nope;\n")
    local m = migrator { x = "1, 2,\n3" }
    local err = fails(m.migrate, m)
    assert.same({ "sql", path, 2, 17 }, { err.kind, err.file, err.line, err.column })
    write("001_a.sql", "SELECT 1;\nSELECT ${x}\n;\n")
    m = migrator { x = "1,\nFROM FROM" }
    err = fails(m.migrate, m)
    assert.same({ "parse", 2, 8 }, { err.kind, err.line, err.column }) -- in the value
    local plan = pgmig.parse("SELECT ${x}\n1;\nSELECT ${x} 2; SELECT 3;", {
      placeholders = { x = "a\nb\nc," },
    })
    assert.same({ 1, 1, 3, 1, 3, 16 }, {
      plan.up.statements[1].line, plan.up.statements[1].column, plan.up.statements[2].line,
      plan.up.statements[2].column, plan.up.statements[3].line, plan.up.statements[3].column,
    })
  end)

  it("of a large file: it is held only to replace something", function()
    db:exec "CREATE TABLE t (s text)"
    local filler = ("INSERT INTO t VALUES ('%s');\n"):format(("x"):rep(1000)):rep(1200)
    local path = write("001_a.sql", filler .. "INSERT INTO t VALUES ('${x}');\n")
    local formats = require "pgmig.formats"
    local function read(values)
      return formats.load("pgmig", values):read(path, nil, true)
    end
    assert.is_true(read(nil):streamed())
    assert.is_true(read(false):streamed())
    assert.is_false(read({ x = 1 }):streamed())
    assert.same({ path .. ":1201: ${x}" }, warnings("migrate", migrator()))
    assert.equal("${x}", value "SELECT s AS v FROM t WHERE s < 'x'")
    write("001_a.sql", filler)
    assert.is_true(read({ x = 1 }):streamed())
    write("001_a.sql", filler .. "SELECT '${y}';\n")
    local err = fails(read, { x = 1 })
    assert.same({ path, 1201, 9 }, { err.file, err.line, err.column })
  end)

  it("have names and values that can be meant", function()
    for _, wrong in ipairs { { "x" }, { ["a b"] = "x" }, { ["1"] = "x" }, { a = true } } do
      local err = fails(migrator, wrong)
      assert.equal("usage", err.kind)
      assert.matches("^placeholders: ", err.message)
    end
    migrator({ ["a b"] = "x" }, "flyway")
  end)

  it("get their values from the environment, as a config file says", function()
    write("001_a.sql", "CREATE TABLE a AS SELECT '${tenant}'::text AS v;\n")
    write("pgmig.conf.lua", 'return { dir = ".", placeholders = { tenant = os.getenv "TENANT" } }')
    local function up(env, flags)
      return support.run(("cd %s && %s"):format(cli.quote(dir),
        cli.command(("-d %s %s up"):format(cli.quote(url), flags or ""), env)))
    end
    local code, _, err = up()
    assert.equal(2, code)
    assert.matches("001_a.sql:1:27: placeholder ${tenant} has no value", err, 1, true)
    assert.equal(0, (up { TENANT = "acme" }))
    assert.equal("acme", value "SELECT v FROM a")
    write("002_b.sql", "CREATE TABLE d AS SELECT '${tenant} ${a} ${e}'::text AS v;\n")
    assert.equal(2, (up { TENANT = "acme" }))
    assert.equal(0, (up({ TENANT = "acme" }, "--set a=b=c --set e= --set tenant=x")))
    assert.equal("x b=c ", value "SELECT v FROM d")
    for _, wrong in ipairs { "a", "=b", "1a=b" } do
      code, _, err = up(nil, "--set " .. wrong)
      assert.equal(2, code)
      assert.matches(wrong == "1a=b" and "1a is not a name" or "NAME=VALUE", err)
    end
    write("pgmig.conf.lua", "return { dir = '.' }")
    write("003_c.sql", "\nSELECT '${tenant}';\n")
    code, _, err = up()
    assert.equal(0, code)
    assert.matches("003_c.sql:2: WARNING: placeholder ${tenant} is not replaced", err, 1, true)
  end)
end)
