-- squash: one file in the place of many, proven to make the same schema.
local cli = require "spec.cli.helper"
local core = require "pgmig.core"
local pgmig = require "pgmig"
local support = require "spec.support"

if not support.has_pg_dump() then
  return pending "there is no pg_dump that is new enough for this server"
end

describe("squash", function()
  local project
  local scratch = "--scratch '" .. support.server():url() .. "'"

  before_each(function()
    project = cli.project()
    project.write("004_shop.sql", [[
-- UP
CREATE SCHEMA shop;
CREATE TABLE shop.state (id int PRIMARY KEY, name text NOT NULL, gone int);
ALTER TABLE shop.state DROP COLUMN gone;
INSERT INTO shop.state VALUES (1, 'open'), (2, 'closed');
CREATE TABLE shop.orders (id serial PRIMARY KEY, state int REFERENCES shop.state DEFAULT 1);
CREATE MATERIALIZED VIEW shop.open AS SELECT id FROM shop.orders WHERE state = 1;
CREATE FUNCTION shop.count() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM shop.orders';
-- DOWN
DROP SCHEMA shop CASCADE;
]])
    project.write("005_total.sql", "-- UP\nALTER TABLE shop.orders ADD total int;\n"
      .. "-- DOWN\nALTER TABLE shop.orders DROP total;")
    project.write("R__view.sql", "CREATE OR REPLACE VIEW shop.all AS SELECT id FROM shop.orders;")
  end)

  after_each(function() project.close() end)

  local function squash(words) return project.run("squash " .. scratch .. " " .. words) end
  local function status(migrator)
    local list = {}
    for _, m in ipairs(migrator:status().applied) do list[#list + 1] = m.label .. " " .. m.state end
    return table.concat(list, ", ")
  end

  it("writes a file that new databases run, and others have applied", function()
    pgmig.migrator(project.db, project.dir):migrate()
    local code, out, err = squash "--to 4"
    assert.same({ 0, "pgmig: not in the file: 2 rows of table shop.state\n" }, { code, err })
    assert.matches("B004__squashed.sql +written, in the place of 4 migrations, 001_create_a to "
      .. "004_shop\nproven: it makes the same schema, and so it does with the 2 migrations behind "
      .. "it\n", out)
    local path = project.dir .. "/B004__squashed.sql"
    assert.equal(0, (project.run "up"))
    local before = status(pgmig.migrator(project.db, project.dir))
    for i, name in ipairs { "create_a", "create_b", "create_c", "shop" } do
      os.remove(("%s/%03d_%s.sql"):format(project.dir, i, name))
    end
    local old = pgmig.migrator(project.db, project.dir)
    assert.equal(before, status(old))
    assert.same({}, old:plan().warnings)
    assert.same({}, old:migrate())
    local drift = old:drift { scratch = support.server():url() }
    assert.same({ {}, {} }, { drift.lines, drift.notes })
    local new = pgmig.migrator(pgmig.connect(support.database()), project.dir)
    assert.equal(3, #new:migrate())
    assert.equal("B004__squashed applied, 005_total applied", status(new))
    assert.equal(0, (project.run("drift --against '" .. project.url .. "'",
      { DATABASE_URL = support.server():url(new.db:place().name) })))
    assert.matches("irreversible", select(2, pcall(new.rollback, new, 2)).message)
    assert.equal("applied", new:status().applied[1].state)
    new.db:close()
    assert.matches("/006_next.sql$", old:create "next")
    assert.is_true(core.exists(path))
  end)

  it("numbers new files behind it, also where it is alone", function()
    project.run "up --to 4"
    os.remove(project.dir .. "/005_total.sql")
    assert.equal(0, (squash "--to 4 --delete"))
    assert.equal("B004__squashed.sql\nR__view.sql\n",
      select(2, support.run("ls " .. project.dir)))
    assert.equal(0, (project.run "up"))
    assert.matches("/005_next.sql\n$", select(2, project.run "create next"))
  end)

  it("names the rows that are not in it, and writes them where asked to", function()
    local code, out, err = squash "--to 4 --dry-run --json"
    assert.equal(0, code)
    local found = cli.objects(out)[1]
    assert.same({ { "shop.state", 2 } }, { { found.lost[1].name, found.lost[1].rows } })
    assert.equal("", err)
    assert.is_false(core.exists(project.dir .. "/B004__squashed.sql"))
    project.write("006_order.sql", "INSERT INTO shop.orders (state) VALUES (2);")
    code, out, err = squash "--to 5"
    assert.same({ 1, "" }, { code, out })
    assert.matches("violates foreign key constraint", err)
    assert.matches("not behind the squashed one.*%-%-data", err)
    code, out, err = squash "--to 5 --data"
    assert.same({ 0, "" }, { code, err })
    assert.matches("written", out)
    local text = support.read(project.dir .. "/B005__squashed.sql")
    assert.matches("\nCOPY shop.state %(id, name%) FROM stdin;\n1\topen\n2\tclosed\n\\%.\n", text)
    assert.is_nil(text:find("COPY public.a", 1, true))
    project.run "up"
    assert.equal("closed", project.db:query(
      "SELECT name FROM shop.state JOIN shop.orders o ON o.state = shop.state.id")[1].name)
  end)

  it("is refused by a database that has only some of what it replaces", function()
    project.run "up --to 2"
    squash "--to 4 --delete"
    local code, _, err = project.run "up"
    assert.equal(2, code)
    assert.matches("B004__squashed.sql: it replaces the versions up to 004, of which this database "
      .. "has only those up to 002", err)
    assert.matches("HINT: restore", err)
    assert.equal("a b schema_migrations", cli.tables(project.db))
  end)

  it("writes nothing where it does not make the same schema", function()
    project.write("006_invalid.sql", "-- pgmig: transaction=off\nALTER DATABASE "
      .. "pgmig_nowhere RESET ALL;")
    assert.equal(1, (squash "--to 6"))
    os.remove(project.dir .. "/006_invalid.sql")
    -- what pg_dump does not write
    project.write("006_index.sql", "CREATE INDEX half ON shop.orders (state); UPDATE pg_index "
      .. "SET indisvalid = false WHERE indexrelid = 'shop.half'::regclass;")
    local code, _, err = squash "--to 6"
    assert.equal(2, code)
    assert.matches("does not make the same schema\nDETAIL: index shop.half: is gone", err)
    assert.equal(0, (support.run("! ls " .. project.dir .. "/B*")))
  end)

  it("does not replace a file, and needs a version that there is", function()
    project.write("B004__squashed.sql", "SELECT 1;")
    assert.equal(2, (squash "--to 4"))
    assert.equal("SELECT 1;", support.read(project.dir .. "/B004__squashed.sql"))
    assert.equal(2, (squash "--to 9"))
    assert.equal(2, (squash ""))
    assert.equal(2, (project.run "--format goose squash --to 1"))
  end)
end)
