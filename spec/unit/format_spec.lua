local pgmig = require "pgmig"
local formats = require "pgmig.formats"
local history = require "spec.support.history"

local naming, fails = pgmig.naming, history.fails

local function sql(section)
  local list = {}
  for i, statement in ipairs(section.statements) do list[i] = statement.sql end
  return list
end

local function parse(format, text) return pgmig.parse(text, { format = format }) end

describe("the words of a format", function()
  it("goose's: sections, statement blocks, no transaction in any case", function()
    local script = parse("goose", [[
-- a comment
-- +goose Up
-- +goose StatementBegin
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1; $$;
SELECT 1;
-- +goose StatementEnd
-- +goose Down
DROP FUNCTION f();
]])
    assert.equal(2, #sql(script.up))
    assert.same({ "DROP FUNCTION f()" }, sql(script.down))
    assert.is_true(script.up.transaction)
    script = parse("goose", "-- +goose no transaction\n-- +goose UP\nVACUUM;\n-- +goose Down\n")
    assert.is_false(script.up.transaction)
    assert.is_false(script.down.transaction)
    assert.is_true(script.down.empty)
  end)

  it("goose's: what it asks for in vain is refused with a remedy", function()
    local err = fails(parse, "goose", "-- +goose Up\n-- +goose ENVSUB ON\nSELECT '${A}';\n")
    assert.equal(2, err.line)
    assert.matches("before_statement", err.hint)
    err = fails(parse, "goose", "-- +goose Upp\nSELECT 1;\n")
    assert.matches("known markers are Up, Down", err.hint)
    err = fails(parse, "goose", "SELECT 1;\n")
    assert.matches("no line `-- +goose up`", err.message, 1, true)
    assert.matches("before the first section", fails(parse, "goose",
      "SELECT 1;\n-- +goose Up\nSELECT 2;\n").message)
  end)

  it("dbmate's: several sections of one direction, each with options", function()
    local script = parse("dbmate", [[
-- migrate:up
CREATE TABLE a ();
-- migrate:down transaction:false
DROP TABLE a;
-- migrate:up
CREATE TABLE b ();
-- migrate:down
DROP TABLE b;
]])
    assert.same({ "CREATE TABLE a ()", "CREATE TABLE b ()" }, sql(script.up))
    assert.same({ "DROP TABLE a", "DROP TABLE b" }, sql(script.down))
    assert.is_true(script.up.transaction)
    assert.is_false(script.down.transaction)
  end)

  it("dbmate's: a misspelt option is refused, words are not", function()
    local err = fails(parse, "dbmate", "-- migrate:up transaction:flase\nSELECT 1;\n")
    assert.matches('unknown option "transaction:flase"', err.message)
    assert.matches("transaction:false", err.hint)
    assert.equal(1, err.line)
    assert.same(15, err.column)
    assert.same({ "SELECT 1" }, sql(parse("dbmate", "-- migrate:up the table\nSELECT 1;\n").up))
    assert.matches("no line", fails(parse, "dbmate", "SELECT 1;\n").message)
  end)

  it("sql-migrate's: notransaction for one direction", function()
    local script = parse("sql-migrate", [[
-- +migrate Up notransaction
CREATE INDEX CONCURRENTLY i ON t (a);
-- +migrate Down
-- nothing to take back
]])
    assert.is_false(script.up.transaction)
    assert.is_true(script.down.transaction)
    assert.same({}, sql(script.down))
  end)

  it("tern's: what divides up from down, and a setting for one of them", function()
    local script = parse("tern", [[
---- tern: disable-tx ----
CREATE INDEX CONCURRENTLY i ON t (a);
---- create above / drop below ----
DROP INDEX i;
]])
    assert.same({ "CREATE INDEX CONCURRENTLY i ON t (a)" }, sql(script.up))
    assert.same({ "DROP INDEX i" }, sql(script.down))
    assert.is_false(script.up.transaction)
    assert.is_true(script.down.transaction)
    assert.is_nil(parse("tern", "SELECT 1;\n").down)
    local err = fails(parse, "tern", "SELECT 1;\n{{ template \"shared/f.sql\" . }}\n")
    assert.matches("placeholder {{ template \"shared/f.sql\" . }} has no value",
      err.message, 1, true)
    assert.equal(2, err.line)
  end)

  it("sqlx's: only the first bytes of a file take it out of its transaction", function()
    assert.is_false(parse("sqlx", "-- no-transaction\nVACUUM;\n").up.transaction)
    for _, head in ipairs {
      "-- no-transaction: it is slow", "-- no-transaction because", "-- no-transactional",
    } do
      assert.is_false(parse("sqlx", head .. "\nVACUUM;\n").up.transaction, head)
    end
    for _, head in ipairs {
      "\n-- no-transaction", "--no-transaction", "-- NO-TRANSACTION", " -- no-transaction",
      "--  no-transaction", "\239\187\191-- no-transaction", "-- no transaction", "-- no-trans",
    } do
      assert.is_true(parse("sqlx", head .. "\nSELECT 1;\n").up.transaction, head)
      assert.matches("inside a transaction", fails(parse, "sqlx", head .. "\nVACUUM;\n").message)
    end
    local err = fails(parse, "sqlx", "SELECT 1;\n-- no-transaction\nVACUUM;\n")
    assert.matches("`-- no-transaction`", err.hint, 1, true)
  end)

  it("node-pg-migrate's: with dashes and words around it", function()
    local script = parse("node-pg-migrate", [[
--- UP migration of users
CREATE TABLE users ();
-- Down Migration
DROP TABLE users;
]])
    assert.same({ "CREATE TABLE users ()" }, sql(script.up))
    assert.same({ "DROP TABLE users" }, sql(script.down))
    assert.same({ "SELECT 1" }, sql(parse("node-pg-migrate", "SELECT 1;\n").up))
  end)

  it("graphile-migrate's: no-transaction, and what it leaves to its commit", function()
    local script = parse("graphile-migrate", "--! Previous: -\n--! Hash: sha1:1\n\n"
      .. "--! no-transaction\nVACUUM;\n")
    assert.is_false(script.up.transaction)
    assert.is_false(parse("graphile-migrate", "--!no-transaction\nVACUUM;\n").up.transaction)
    for _, line in ipairs { "--!include a.sql", "--! include a.sql", "--! \tinclude a.sql" } do
      assert.matches("inserts the included file", fails(parse, "graphile-migrate",
        "SELECT 1;\n" .. line .. "\n").hint)
      for _, before in ipairs { " ", "\t", "-- ", "SELECT 1; " } do
        assert.is_true(parse("graphile-migrate", before .. line .. "\nSELECT 2;\n").up.transaction)
      end
    end
    assert.matches("placeholder :DATABASE_OWNER", fails(parse, "graphile-migrate",
      "ALTER TABLE a OWNER TO :DATABASE_OWNER;\n").message)
  end)

  it("golang-migrate's and Flyway's: a file that cannot be one transaction is none", function()
    for _, format in ipairs { "golang-migrate", "flyway" } do
      local script = parse(format, "CREATE INDEX CONCURRENTLY i ON t (a);\n")
      assert.is_false(script.up.transaction)
      assert.matches("statement by statement", script.warnings[1].message)
      assert.is_true(parse(format, "BEGIN;\nCREATE TABLE a ();\nCOMMIT;\n").up.transaction)
      script = parse(format, "BEGIN;\nSELECT 1;\nCOMMIT;\nBEGIN;\nSELECT 2;\nCOMMIT;\n")
      assert.is_false(script.up.transaction)
      assert.equal(6, #script.up.statements)
    end
  end)

  it("of tools with a transaction around files: only own COMMITs take a file out", function()
    local script = parse("sqlx", "ALTER TYPE e ADD VALUE 'x';\nCOMMIT;\nUPDATE t SET e = 'x';\n")
    assert.is_false(script.up.transaction)
    assert.equal(3, #script.up.statements)
    assert.equal(2, script.warnings[1].line)
    assert.matches("inside a transaction", fails(parse, "sqlx", "VACUUM;\n").message)
  end)

  local whole = {
    ["a BEGIN without COMMIT"] = "BEGIN;\nSELECT 1;\nSELECT 2;\n",
    ["START TRANSACTION"] = "START TRANSACTION;\nSELECT 1;\nSELECT 2;\n",
    ["a BEGIN behind a statement"] = "SELECT 1;\nBEGIN;\nSELECT 2;\n",
    ["a second BEGIN"] = "BEGIN;\nSELECT 1;\nBEGIN WORK;\nSELECT 2;\nCOMMIT;\n",
    ["a COMMIT at the end"] = "SELECT 1;\nSELECT 2;\nEND;\n",
    ["a BEGIN behind a statement, and COMMIT"] = "SELECT 1;\nBEGIN;\nSELECT 2;\nCOMMIT;\n",
  }
  for what, text in pairs(whole) do
    it("of tools with a transaction around files: one for " .. what, function()
      for _, format in ipairs { "sqlx", "diesel", "popx", "flyway", "graphile-migrate" } do
        local up = parse(format, text).up
        assert.is_true(up.transaction, format)
        assert.same({ "SELECT 1", "SELECT 2" }, sql(up), format)
      end
      local down = parse("goose", "-- +goose Up\n-- +goose Down\n" .. text).down
      assert.same({ "SELECT 1", "SELECT 2" }, sql(down))
      assert.is_true(down.transaction)
    end)
  end

  it("of tools with a transaction around files: large objects take no file out", function()
    for _, format in ipairs { "sqlx", "diesel", "popx", "flyway", "golang-migrate" } do
      local script = parse(format, "SELECT 1;\nBEGIN;\nSELECT lo_create(1);\nCOMMIT;\nSELECT 2;\n")
      assert.is_true(script.up.transaction, format)
      assert.same({ "SELECT 1", "SELECT lo_create(1)", "SELECT 2" }, sql(script.up))
      assert.equal(1, #script.warnings)
    end
  end)

  it("of tools with a transaction around files: the first BEGIN says how", function()
    local up = parse("sqlx", "BEGIN ISOLATION LEVEL SERIALIZABLE;\nSELECT 1;\n").up
    assert.equal("BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE", up.begin)
    local err = fails(parse, "sqlx", "SELECT 1;\nBEGIN ISOLATION LEVEL SERIALIZABLE;\n")
    assert.matches("already begun", err.message)
    assert.equal(2, err.line)
  end)

  it("of any tool: what would leave half a file behind is refused", function()
    local function refused(format, line, text)
      local err = fails(parse, format, text)
      assert.same({ "parse", line, "string" }, { err.kind, err.line, type(err.hint) }, text)
    end
    for _, format in ipairs { "sqlx", "golang-migrate", "flyway" } do
      for _, last in ipairs { "ROLLBACK", "ABORT", "END AND CHAIN", "PREPARE TRANSACTION 'x'" } do
        refused(format, 2, "SELECT 1;\n" .. last .. ";\n")
        refused(format, 3, "BEGIN;\nSELECT 1;\n" .. last .. ";\nSELECT 2;\n")
      end
      refused(format, 3, "BEGIN;\nSELECT 1;\nCREATE INDEX CONCURRENTLY i ON t (a);\n")
      refused(format, 3, "BEGIN;\nSELECT 1;\nVACUUM;\nCOMMIT;\nSELECT 2;\n")
    end
    refused("golang-migrate", 1, "BEGIN;\nSELECT 1;\n")
    refused("golang-migrate", 2, "SELECT 1;\nSTART TRANSACTION;\nSELECT 1;\n")
    refused("golang-migrate", 4, "BEGIN;\nSELECT 1;\nCOMMIT;\nBEGIN;\nSELECT 1;\n")
  end)

  it("of any tool: without a transaction, one of a file's own has an end", function()
    for format, head in pairs {
      sqlx = "-- no-transaction\n", goose = "-- +goose NO TRANSACTION\n-- +goose Up\n",
      dbmate = "-- migrate:up transaction:false\n", tern = "---- tern: disable-tx ----\n",
      pgmig = "-- pgmig: transaction=off\n", ["graphile-migrate"] = "--! no-transaction\n",
      ["sql-migrate"] = "-- +migrate Up notransaction\n",
    } do
      local _, line = head:gsub("\n", "")
      local err = fails(parse, format, head .. "SELECT 1;\nBEGIN;\nSELECT 2;\n")
      assert.same({ line + 2, "BEGIN without COMMIT" }, { err.line, err.message }, format)
      assert.equal(line + 4, fails(parse, format, head
        .. "SELECT 1;\nBEGIN;\nSELECT 2;\nCOMMIT AND CHAIN;\nCOMMIT;\n").line, format)
      assert.equal(line + 2, fails(parse, format, head .. "BEGIN;\nVACUUM;\nEND;\n").line, format)
      assert.equal(4, #sql(parse(format, head .. "BEGIN;\nSELECT 1;\nCOMMIT;\nVACUUM;\n").up))
    end
  end)

  it("of tools with a transaction around files: BEGIN and COMMIT of nothing go", function()
    local script = parse("sql-migrate",
      "-- +migrate Up\nSELECT 1;\nCOMMIT;\nCOMMIT;\nBEGIN;\nSELECT 2;\n")
    assert.is_false(script.up.transaction)
    assert.same({ "SELECT 1", "COMMIT", "BEGIN", "SELECT 2" }, sql(script.up))
    script = parse("sqlx", "COMMIT;\nVACUUM;\nBEGIN;\nSELECT 2;\nCOMMIT;\nVACUUM;\nBEGIN;\n")
    assert.same({ "VACUUM", "BEGIN", "SELECT 2", "COMMIT", "VACUUM" }, sql(script.up))
    local err = fails(parse, "sqlx", "VACUUM;\nCOMMIT;\nSELECT 1;\n")
    assert.equal(1, err.line)
    assert.matches("-- no-transaction", err.hint, 1, true)
  end)

  it("lets files without SQL do nothing", function()
    for _, format in ipairs { "golang-migrate", "sqlx", "diesel", "flyway", "popx" } do
      assert.is_true(parse(format, "-- nothing\n").up.empty)
      assert.is_true(parse(format, "").up.empty)
    end
  end)

  it("takes a BEGIN and a COMMIT around nothing for nothing, on purpose", function()
    local nothing = { "BEGIN;\n-- nothing to do\nCOMMIT;\n", "START TRANSACTION; END;\n" }
    for _, text in ipairs(nothing) do
      for format, head in pairs {
        goose = "-- +goose Up\nSELECT 1;\n-- +goose Down\n", pgmig = "-- UP\nSELECT 1;\n-- DOWN\n",
        dbmate = "-- migrate:up\nSELECT 1;\n-- migrate:down\n",
        tern = "SELECT 1;\n---- create above / drop below ----\n",
      } do
        local script = parse(format, head .. text)
        assert.same({ {}, true, "" }, { script.down.statements, script.down.empty,
          script.down.directives.empty }, format)
      end
      for _, format in ipairs { "golang-migrate", "sqlx", "diesel", "popx", "maragu", "flyway" } do
        assert.equal("", parse(format, text).up.directives.empty, format)
      end
    end
    assert.is_nil(parse("pgmig", "-- UP\nSELECT 1;\n-- DOWN\n;\n").down.directives.empty)
  end)

  it("knows pgmig's own directives, too", function()
    assert.equal("2s", parse("goose", "-- +goose Up\n-- pgmig: lock_timeout=2s\nSELECT 1;\n")
      .up.directives.lock_timeout)
  end)

  it("refuses a file of yet another tool", function()
    local err = fails(parse, "sqlx", "-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 2;\n")
    assert.matches("section marker of dbmate", err.message)
    assert.matches("--format dbmate", err.hint, 1, true)
  end)

  it("leaves prose about migrations alone", function()
    local prose = "-- Down migrations from 2.x to 1.x are not available.\nSELECT 1;\n"
    for _, format in ipairs { "popx", "pgmig" } do
      assert.same({ "SELECT 1" }, sql(parse(format, prose).up))
    end
    local err = fails(parse, "popx", "-- Up Migration\nSELECT 1;\n")
    assert.matches("section marker of node-pg-migrate", err.message, 1, true)
  end)

  it("finds placeholders where the tool would replace them", function()
    local err = fails(parse, "flyway", "CREATE FUNCTION f() RETURNS text LANGUAGE sql\n"
      .. "AS $$ SELECT '${name}' $$;\n")
    assert.matches("${name} has no value", err.message, 1, true)
    assert.equal(2, err.line)
    assert.matches("placeholders", err.hint)
    assert.same({ "SELECT 'x'" }, sql(pgmig.parse("SELECT '${a}';\n", {
      format = "flyway", placeholders = { a = "x" },
    }).up))
    assert.equal(1, #parse("flyway", "SELECT '$ {', '{}', '$1';\n").up.statements)
    assert.equal(1, #parse("popx", "SELECT '{{1,2},{3,4}}'::int[][];\n").up.statements)
  end)

  it("must be a table of the right shape", function()
    local function words(vocabulary)
      return formats.load({ name = "x", naming = naming.default, vocabulary = vocabulary })
        :parse("SELECT 1", "x.sql")
    end
    for _, wrong in ipairs {
      { markers = { { text = "up", kind = "upp" } } }, { markers = "up" }, { markers = { "up" } },
      { markers = { { kind = "up" } } }, { transaction = "maybe" },
      { options = { { text = "a" } } }, { markers = { { text = "x", kind = "setting" } } },
    } do
      local err = fails(words, wrong)
      assert.equal("usage", err.kind)
      assert.matches("format x: vocabulary", err.message)
    end
    assert.equal("usage", fails(formats.find, { name = "x" }).kind)
    assert.matches("formats are: auto, atlas, dbmate", fails(formats.find, "mybatis").hint, 1, true)
  end)
end)

describe("versions", function()
  it("with dots sort as numbers, however many and long", function()
    local sorted = {
      "0.9", "1", "1.0.1", "1.1", "1.9", "1.10", "1.10.1", "2", "9", "10", "2024.01.15.10.30.00",
      "20240115103000", "20240115103000.1", "20240115103000123",
    }
    local core = require "pgmig.core"
    for i = 2, #sorted do
      local a, b = naming.parts(sorted[i - 1]), naming.parts(sorted[i])
      assert.is_true(core.compare(core.version(a), core.version(b)) < 0, sorted[i])
    end
    assert.equal(naming.parts "1", naming.parts "1.0")
    assert.equal(naming.parts "1.1", naming.parts "01.001")
    assert.equal("naming", fails(naming.parts, "1..2").kind)
    assert.equal("naming", fails(naming.parts, ("1234567."):rep(6) .. "1").kind)
  end)

  it("as text sort when they are padded", function()
    assert.equal("2024011510300000000014", naming.sortable("20240115103000", 20))
    local sorted = {
      "20200126190800", "202001271908", "20200127190800", "202001271908000000",
      "202001271908update",
    }
    for i = 2, #sorted do
      assert.is_true(naming.sortable(sorted[i - 1], 20) < naming.sortable(sorted[i], 20), sorted[i])
    end
    assert.equal("naming", fails(naming.sortable, ("1"):rep(21), 20).kind)
  end)
end)
