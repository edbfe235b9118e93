-- Each migration is rolled back and applied again on a clone: what that does not restore is told.
local dkjson = require "dkjson"
local history = require "spec.support.history"
local pgmig = require "pgmig"
local support = require "spec.support"
local testing = require "pgmig.testing"

--- A folder of files, by name.
local function folder(files)
  local dir = support.tempdir()
  for name, text in pairs(files) do support.write(dir, name, text) end
  return dir
end

local function sections(up, down) return "-- UP\n" .. up .. "\n-- DOWN\n" .. down .. "\n" end

local function verify(files, options, given)
  return pgmig.migrator(nil, folder(files), given):verify(options)
end

--- The results by version, as one text.
local function words(verified)
  local list = {}
  for i, result in ipairs(verified.results) do
    list[i] = ("%s %s"):format(tostring(result.version or result.label), result.result)
  end
  return table.concat(list, ", ")
end

local function lines_of(result) return table.concat(result.lines or {}, "\n") end

describe("verify", function()
  it("runs the verify scripts of sqitch behind each change, and keeps nothing of them", function()
    local when = " 2024-01-15T10:30:00Z A <a@example.org>\n"
    local dir = support.tempdir()
    history.write(dir, {
      ["sqitch.plan"] = "%project=shop\n\na" .. when .. "b" .. when .. "c" .. when .. "d" .. when,
      ["deploy/a.sql"] = "CREATE TABLE a (id int);\n", ["revert/a.sql"] = "DROP TABLE a;\n",
      ["verify/a.sql"] = "BEGIN;\nSELECT id FROM a WHERE FALSE;\nROLLBACK;\n",
      ["deploy/b.sql"] = "CREATE TABLE b ();\n", ["revert/b.sql"] = "DROP TABLE b;\n",
      ["verify/b.sql"] = "\\set ON_ERROR_STOP on\nBEGIN;\nCREATE TABLE left_over ();\nCOMMIT;\n",
      ["deploy/c.sql"] = "CREATE TABLE c ();\n", ["revert/c.sql"] = "DROP TABLE c;\n",
      ["verify/c.sql"] = "BEGIN;\n\nSELECT 1 / count(*) FROM pg_class\n"
        .. "WHERE relname = 'missing';\nROLLBACK;\n",
      ["deploy/d.sql"] = "CREATE TABLE d ();\n", ["revert/d.sql"] = "DROP TABLE d;\n",
      ["verify/d.sql"] = "\\ir all.sql\n",
    })
    local verified = pgmig.migrator(nil, dir, { format = "sqitch" }):verify()
    assert.equal("1 reversible, 2 reversible, 3 reversible, 4 reversible", words(verified))
    assert.is_true(verified.chain.complete)
    local a, b, c, d = (table.unpack or unpack)(verified.results)
    assert.same({}, { a.verify_error, b.verify_error })
    assert.same({ "22012", dir .. "/verify/c.sql", 3 },
      { c.verify_error.sqlstate, c.verify_error.file, c.verify_error.line })
    assert.same({ dir .. "/verify/d.sql", 1 }, { d.verify_error.file, d.verify_error.line })
    assert.is_false(verified.ok)
    assert.matches("^c: its verify script fails: " .. dir:gsub("%p", "%%%0")
      .. "/verify/c.sql:3:1: division by zero", verified.complaints[1])
    local code, out = support.run(("bin/pgmig --format sqitch --dir %s verify"):format(dir))
    assert.equal(3, code)
    assert.matches("c  reversible\n   its verify script fails:\n      %S+/verify/c.sql:3:1: "
      .. "division", out)
  end)

  it("tells what each way back has restored, and why not", function()
    local verified = verify {
      ["01_orders.sql"] = sections(
        "CREATE TABLE orders (id int PRIMARY KEY, note text DEFAULT 'x');", "DROP TABLE orders;"),
      ["02_default.sql"] = sections("ALTER TABLE orders ALTER note DROP DEFAULT;",
        "ALTER TABLE orders ALTER note SET DEFAULT 'y';"),
      ["03_view.sql"] = sections(
        "CREATE VIEW v AS SELECT id FROM orders; CREATE TABLE log (a int);", "DROP VIEW v;"),
      ["04_comment.sql"] = sections("COMMENT ON TABLE orders IS 'all of them';", "SELECT 1;"),
      ["05_column.sql"] = sections("ALTER TABLE orders DROP note;",
        "ALTER TABLE orders ADD note text;"),
      ["06_more.sql"] = sections("ALTER TABLE orders ADD total int, ADD tax int;",
        "ALTER TABLE orders DROP total, DROP tax;"),
      ["07_order.sql"] = sections("ALTER TABLE orders DROP total;",
        "ALTER TABLE orders ADD total int;"),
      ["08_gone.sql"] = "-- UP\nDROP VIEW v;\n-- pgmig: irreversible=nobody reads it\n",
      ["09_error.sql"] = sections("CREATE TABLE t (a int);", "DROP TABLE tt;"),
      ["10_index.sql"] = sections("CREATE INDEX ON orders (tax);", "DROP INDEX orders_tax_idx;"),
      ["11_none.sql"] = "-- UP\nCREATE TABLE u (a int);\n",
      ["12_last.sql"] = sections("ALTER TABLE u RENAME TO w;", "ALTER TABLE w RENAME TO u;"),
    }
    assert.equal("1 reversible, 2 broken, 3 leftover, 4 nothing, 5 reversible, 6 reversible, "
      .. "7 reordered, 8 irreversible, 9 broken, 10 reversible, 11 none, 12 reversible",
      words(verified))
    local results = verified.results
    assert.equal("table public.orders: column note: default 'x'::text -> 'y'::text",
      lines_of(results[2]))
    assert.equal("table public.log: is new (a integer)", lines_of(results[3]))
    assert.equal("table public.orders: comment is new (all of them)", lines_of(results[4]))
    assert.equal("table public.orders: order of the columns id, total, tax -> id, tax, total",
      lines_of(results[7]))
    assert.equal("nobody reads it", results[8].reason)
    assert.truthy(tostring(results[9].error):find('table "tt" does not exist', 1, true))
    assert.is_false(verified.ok)
    assert.same({ complete = false, because_of = "11_none" }, verified.chain)
  end)

  it("goes down and up again as a whole where every way back leads back", function()
    local events, dir = {}, support.tempdir()
    support.write(dir, "1_a.sql", sections("CREATE TABLE a (id int);", "DROP TABLE a;"))
    support.write(dir, "2_b.sql", sections("-- pgmig: transaction=off\n"
      .. "CREATE INDEX CONCURRENTLY a_id ON a (id);", "-- pgmig: transaction=off\n"
      .. "DROP INDEX CONCURRENTLY a_id;"))
    support.write(dir, "3_c.lua", "return { up = function(db) db:exec 'CREATE DOMAIN e AS int' end,"
      .. "down = function(db) db:exec 'DROP DOMAIN e' end }")
    support.write(dir, "R__v.sql", "CREATE OR REPLACE VIEW v AS SELECT id FROM a;")
    local verified = pgmig.migrator(nil, dir):verify {
      on_event = function(event) events[#events + 1] = event end,
    }
    assert.equal("1 reversible, 2 reversible, 3 reversible, R__v repeatable", words(verified))
    assert.is_true(verified.ok)
    assert.equal(4, #verified.results)
    assert.equal("up", events[1].phase)
    assert.equal("1_a", events[1].migration.label)
  end)

  it("finds what only the second time up shows", function()
    local verified = verify {
      ["1_role.sql"] = sections("CREATE ROLE pgmig_verify_spec; CREATE TABLE a (id int);",
        "DROP TABLE a;"),
      ["2_b.sql"] = sections("CREATE TABLE b (id int);", "DROP TABLE b;"),
    }
    assert.equal("1 broken, 2 reversible", words(verified))
    assert.is_true(verified.results[1].again)
    assert.truthy(tostring(verified.results[1].error):find("already exists", 1, true))
  end)

  it("stops where a migration cannot be applied", function()
    local verified = verify {
      ["1_a.sql"] = sections("CREATE TABLE a (id int);", "DROP TABLE a;"),
      ["2_b.sql"] = sections("CREATE TABLE a (id int);", "DROP TABLE a;"),
      ["3_c.sql"] = sections("CREATE TABLE c (id int);", "DROP TABLE c;"),
    }
    assert.equal("1 reversible, 2 failed, 3 unreached", words(verified))
    assert.is_false(verified.ok)
  end)

  it("verifies the pending ones, with rows that a seed has put there", function()
    local files = {
      ["1_a.sql"] = sections("CREATE TABLE a (id int, name text);", "DROP TABLE a;"),
      ["2_b.sql"] = sections("UPDATE a SET name = upper(name);",
        "UPDATE a SET name = lower(name);"),
      ["3_c.sql"] = sections("DELETE FROM a WHERE id = 2;", "-- pgmig: empty"),
    }
    local seed = support.write(support.tempdir(), "seed.sql",
      "INSERT INTO a VALUES (1, 'x'), (2, 'Y');")
    assert.equal("2 reversible, 3 reversible", words(verify(files, {
      pending = true, applied_to = 1, seed = seed,
    })))
    local verified = verify(files, { pending = true, applied_to = 1, seed = seed, rows = true })
    assert.equal("2 broken, 3 irreversible", words(verified))
    assert.equal("table public.a: rows 2 rows -> as many, with other contents",
      lines_of(verified.results[1]))
    assert.equal("table public.a: rows 2 rows -> 1 rows", lines_of(verified.results[2]))
    local seen = {}
    verified = verify(files, { rows = true, seed = function(db, version)
      seen[#seen + 1] = tostring(version)
      if version == 1 then db:exec "INSERT INTO a VALUES (1, 'x')" end
    end })
    assert.equal("1 reversible, 2 reversible, 3 reversible", words(verified))
    assert.equal("nil 1 2 3", table.concat(seen, " ", 1, 4))
  end)

  it("reads folders of other tools", function()
    local verified = verify({
      ["00001_a.sql"] = "-- +goose Up\nCREATE TABLE a (id int);\n-- +goose Down\nDROP TABLE a;\n",
      ["00002_b.sql"] = "-- +goose Up\nCREATE TABLE b (id int);\n-- +goose Down\nSELECT 1;\n",
    }, nil, { format = "goose" })
    assert.equal("1 reversible, 2 nothing", words(verified))
  end)

  it("fails a build and a spec, with the differences", function()
    local dir = folder {
      ["1_a.sql"] = sections("CREATE TABLE a (id int); CREATE TABLE b (x int);", "DROP TABLE a;"),
    }
    local ok, message = pcall(testing.verify, dir, { table = "public.versions" })
    assert.is_false(ok)
    assert.truthy(message:find("1_a: leftover\n  table public.b: is new (x integer)", 1, true))
    local code, out = support.run("env -u DATABASE_URL bin/pgmig --dir " .. dir .. " verify --json")
    assert.equal(3, code)
    local object = dkjson.decode(out)
    assert.is_false(object.ok)
    assert.equal("leftover", object.results[1].result)
    assert.same({ kind = "table", name = "public.b" }, object.results[1].differences[1].object)
    code, out = support.run("env -u DATABASE_URL bin/pgmig --dir migrations verify")
    assert.equal(0, code)
    assert.truthy(out:find("5 verified: 4 reversible, 1 with another order", 1, true))
  end)
end)
