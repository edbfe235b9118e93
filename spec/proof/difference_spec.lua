-- What differs between two schemas is told by object, in words.
local difference = require "pgmig.proof.difference"
local fingerprint = require "pgmig.proof.fingerprint"
local pgmig = require "pgmig"
local support = require "spec.support"

local BEFORE = [[
  CREATE SCHEMA shop;
  CREATE TABLE shop.orders (id int PRIMARY KEY, total numeric(10,2) DEFAULT 0, note text,
    CONSTRAINT positive CHECK (total >= 0));
  CREATE INDEX by_total ON shop.orders (total);
  CREATE VIEW shop.big AS SELECT id, total FROM shop.orders WHERE total > 100;
  CREATE TYPE shop.state AS ENUM ('open', 'closed');
  COMMENT ON COLUMN shop.orders.total IS 'in euros']]

--- A database with BEFORE in it.
local function database()
  local db = pgmig.connect(support.database())
  finally(function() db:close() end)
  db:exec(BEFORE)
  return db
end

--- The lines for what a script changes, seen in one database.
local function lines_of(db, sql)
  local fp = fingerprint.open(db)
  local before = fp:take()
  db:exec(sql)
  return difference.lines(difference.of(before, fp:take()))
end

describe("a difference", function()
  for _, case in ipairs {
    { "ALTER TABLE shop.orders ALTER total DROP DEFAULT, ALTER note SET NOT NULL",
      "table shop.orders: column note: not null no -> yes",
      "table shop.orders: column total: default is gone (0)" },
    { "CREATE TABLE shop.items (id bigint, name text)",
      "table shop.items: is new (id bigint, name text)" },
    { "ALTER TABLE shop.orders DROP CONSTRAINT positive",
      "table shop.orders: constraint positive: is gone (CHECK ((total >= (0)::numeric)))" },
    { "DROP INDEX shop.by_total; CREATE INDEX by_total ON shop.orders (note)",
      "index shop.by_total: columns {total} -> {note}" },
    { "CREATE OR REPLACE VIEW shop.big AS SELECT id, total FROM shop.orders",
      "view shop.big: definition SELECT orders.id, orders.total FROM shop.orders "
        .. "WHERE (orders.total > (100)::numeric); -> SELECT orders.id, orders.total "
        .. "FROM shop.orders;" },
    { "COMMENT ON COLUMN shop.orders.total IS 'in cents'",
      "table shop.orders: column total: comment in euros -> in cents" },
    { "ALTER TYPE shop.state ADD VALUE 'paid'", "enum shop.state: value paid: is new" },
    { "ALTER INDEX shop.by_total RENAME TO orders_total",
      "index: shop.by_total is now called shop.orders_total" },
    { "ALTER TABLE shop.orders RENAME CONSTRAINT positive TO not_negative",
      "table shop.orders: constraint positive is now called not_negative" },
    { "ALTER TABLE shop.orders ADD b int, DROP note, ADD note text, ADD a int",
      "table shop.orders: column a: is new (a integer)",
      "table shop.orders: column b: is new (b integer)" },
    { "GRANT SELECT ON shop.orders TO public; REVOKE SELECT ON shop.orders FROM public" },
    { "ALTER TABLE shop.orders ADD x int; ALTER TABLE shop.orders DROP x" },
  } do
    it("of: " .. case[1], function()
      local db = database()
      local expected, found = table.concat(case, "\n", 2), table.concat(lines_of(db, case[1]), "\n")
      if db:server_version() >= 160000 then expected = expected:gsub("orders%.(%l)", "%1") end
      assert.equal(expected, found)
    end)
  end

  it("has a renamed table once, not each of its parts, also in two databases", function()
    local one, other = database(), pgmig.connect(support.database())
    local before = fingerprint.open(one):take()
    other:exec(BEFORE)
    other:exec "ALTER TABLE shop.orders RENAME TO purchases"
    local after = fingerprint.open(other):take()
    other:close()
    assert.same({ "table: shop.orders is now called shop.purchases" },
      difference.lines(difference.of(before, after)))
  end)

  it("tells the order of columns apart", function()
    local db = database()
    local fp = fingerprint.open(db)
    local before = fp:take()
    db:exec "ALTER TABLE shop.orders DROP note, ADD c int; ALTER TABLE shop.orders ADD note text"
    db:exec "ALTER TABLE shop.orders DROP c"
    assert.same({}, difference.of(before, fp:take()))
    db:exec [[ALTER TABLE shop.orders DROP note; ALTER TABLE shop.orders ADD note text;
      CREATE TABLE shop.t (a int, b int, c int)]]
    fp:changes()
    before = fp:snapshot()
    db:exec "ALTER TABLE shop.t DROP b; ALTER TABLE shop.t ADD b int"
    local list = difference.of(before, fp:take())
    assert.is_true(difference.is_order(list))
    assert.same({ "table shop.t: order of the columns a, b, c -> a, c, b" }, difference.lines(list))
  end)
end)
