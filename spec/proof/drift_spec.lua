-- drift: whether a database is what its applied migrations make.
local cli = require "spec.cli.helper"
local pgmig = require "pgmig"
local support = require "spec.support"

describe("drift", function()
  local project

  -- one server for all clones of this file
  local scratch = "--scratch '" .. support.server():url() .. "'"

  before_each(function()
    project = cli.project()
    project.write("004_shop.sql", [[
-- UP
CREATE SCHEMA shop;
CREATE TYPE shop.state AS ENUM ('open', 'closed');
CREATE TABLE shop.orders (id int PRIMARY KEY, state shop.state NOT NULL DEFAULT 'open',
  CONSTRAINT positive CHECK (id > 0));
CREATE TABLE shop.pair (p int, q int);
CREATE VIEW shop.open AS SELECT id FROM shop.orders WHERE state = 'open';
GRANT USAGE ON SCHEMA shop TO PUBLIC;
-- DOWN
DROP SCHEMA shop CASCADE;
]])
    project.write("R__count.sql", "CREATE OR REPLACE VIEW shop.count AS SELECT 1 AS one;")
    pgmig.migrator(project.db, project.dir):migrate()
  end)

  after_each(function() project.close() end)

  local function drift(words) return project.run("drift " .. scratch .. " " .. (words or "")) end

  it("is none behind a run, and has nothing to do with what is pending", function()
    project.write("005_pending.sql", "CREATE TABLE later ();")
    assert.same({ 0, "the schema is what the applied migrations make\n", "" }, { drift() })
    assert.equal("0", support.psql(project.url,
      "SELECT count(*) FROM pg_database WHERE datname LIKE 'pgmig_proof%'"))
  end)

  it("is told by object", function()
    local lines = {}
    for change, line in pairs {
      ["ALTER TABLE shop.orders ADD note text"] = "table shop.orders: column note: is new",
      ["DROP VIEW shop.open"] = "view shop.open: is gone",
      ["ALTER TYPE shop.state ADD VALUE 'paid'"] = "enum shop.state: value paid: is new",
      ["REVOKE USAGE ON SCHEMA shop FROM PUBLIC"] = "schema shop: privileges",
      ["ALTER TABLE shop.orders ALTER state DROP DEFAULT"] = "column state: default is gone",
      ["CREATE ROLE drift_owner; ALTER TABLE a OWNER TO drift_owner"] =
        "table public.a: owner %w+ %-> drift_owner",
      ["ALTER TABLE shop.orders DROP CONSTRAINT positive; "
        .. "ALTER TABLE shop.orders ADD CONSTRAINT positive CHECK (id > 0) NOT VALID"] =
        "table shop.orders: constraint positive: definition .* %-> .* NOT VALID",
      ["ALTER TABLE shop.pair DROP p; ALTER TABLE shop.pair ADD p int"] =
        "table shop.pair: order of the columns p, q %-> q, p",
    } do
      for statement in change:gmatch "[^;]+" do project.db:exec(statement) end
      lines[#lines + 1] = line
    end
    local code, out = drift()
    assert.equal(3, code)
    assert.matches("^the schema is not what the applied migrations make:\n", out)
    assert.matches("\n8 differences\n$", out)
    for _, line in ipairs(lines) do assert.matches("\n  .*" .. line, out) end
  end)

  it("tells programs what was and what is", function()
    project.db:exec "ALTER TABLE a ALTER id TYPE bigint"
    local code, out = drift "--json"
    assert.equal(3, code)
    local found = cli.objects(out)[1]
    assert.is_false(found.equal)
    assert.equal(1, #found.differences)
    local item = found.differences[1]
    assert.same({ "public.a", "column id", "type", "integer", "bigint", "changed" },
      { item.object.name, item.part, item.field, item.old, item.new, item.change })
  end)

  it("leaves alone what every new database has and no file touches, but says so", function()
    project.db:exec "GRANT CREATE ON SCHEMA public TO PUBLIC; COMMENT ON SCHEMA public IS 'ours'"
    local code, out, err = drift()
    assert.equal(0, code)
    assert.matches("^the schema is what", out)
    assert.matches("no file makes it so: schema public: comment", err)
    project.write("005_public.sql", "COMMENT ON SCHEMA public IS 'theirs';")
    project.run "up"
    assert.equal(0, (drift()))
    project.db:exec "COMMENT ON SCHEMA public IS 'ours'"
    assert.equal(3, (drift()))
  end)

  it("compares with another database", function()
    local other = support.database()
    local function against() return project.run("drift --against '" .. other .. "'") end
    local code, out = against()
    assert.equal(3, code)
    assert.matches("the schema is not that of the other database:\n.*table public.a: is new", out)
    local db = pgmig.connect(other)
    pgmig.migrator(db, project.dir):migrate()
    db:close()
    assert.same({ 0, "the schema is that of the other database\n", "" }, { against() })
  end)

  it("runs in a transaction that writes nothing, and waits for no lock for long", function()
    local holder = pgmig.connect(project.url)
    holder:exec "BEGIN; LOCK TABLE shop.orders"
    local code, _, err = project.run("--lock-timeout 100ms drift " .. scratch)
    assert.equal(4, code)
    assert.matches("lock timeout", err)
    holder:exec "ROLLBACK"
    holder:close()
    project.db:exec "SET default_transaction_read_only = on"
    local found = pgmig.migrator(project.db, project.dir):drift { scratch = support.server():url() }
    assert.is_true(found.equal)
    assert.equal("idle", project.db:transaction_status())
  end)

  it("is of the roles that the migrations were run as", function()
    local admin = support.server():url()
    support.psql(admin, "CREATE ROLE drift_app LOGIN CREATEDB")
    local url = support.database():gsub("user=postgres", "user=drift_app")
    support.psql(admin, "ALTER DATABASE " .. url:match "///([%w_]+)" .. " OWNER TO drift_app")
    local db = pgmig.connect(url)
    local migrator = pgmig.migrator(db, project.dir)
    migrator:migrate()
    db:close()
    db = pgmig.connect((url:gsub("drift_app", "postgres")))
    local found = pgmig.migrator(db, project.dir):drift()
    db:close()
    assert.same({}, found.lines)
  end)
end)
