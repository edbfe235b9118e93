-- What pgmig trace prints: for people, as Markdown, and for programs.
local dkjson = require "dkjson"
local support = require "spec.support"

local FIRST = "CREATE TABLE customers (id int PRIMARY KEY, name varchar(20));\n"
  .. "CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers, total int);\n"
  .. "CREATE INDEX orders_total ON orders (total);"

local SECOND = [[
ALTER TABLE orders ALTER total TYPE bigint;
UPDATE customers SET name = upper(name);
DO $$ BEGIN EXECUTE 'CREATE INDEX names ON customers (name)'; END $$;
]]

--- Run the command on a folder.
local function trace(words, files)
  local dir = support.tempdir()
  for name, text in pairs(files) do support.write(dir, name, text) end
  local code, out, err = support.run(("cd %s && env -u DATABASE_URL %s/bin/pgmig --dir . trace %s")
    :format(dir, os.getenv "PWD", words))
  return code, out, err
end

describe("pgmig trace", function()
  it("tells people who has to wait, and why it takes long", function()
    local code, out = trace("--applied-to 1", { ["1_a.sql"] = FIRST, ["2_b.sql"] = SECOND })
    assert.equal(0, code)
    assert.equal([[
./2_b.sql (one transaction, lock_timeout 5s)
  1: ALTER TABLE orders ALTER total TYPE bigint
     reads and writes of public.orders wait until COMMIT (ACCESS EXCLUSIVE)
     copies all rows of public.orders and builds its 2 indexes anew: values of a column are ]]
      .. [[stored in another way
  2: UPDATE customers SET name = upper(name)
     reads all rows of public.customers
     meanwhile reads and writes of public.orders still wait: an earlier statement has locked it
     nobody else has to wait
  3: DO $$ BEGIN EXECUTE 'CREATE INDEX names ON customers (name)'; END $$
     writes to public.customers wait until COMMIT, reads go on (SHARE)
     builds index public.names on public.customers
     reads all rows of public.customers
     runs CREATE INDEX public.names
     meanwhile reads and writes of public.orders still wait: an earlier statement has locked it
]], (out:gsub("3 statements traced[^\n]*\n", "")))
  end)

  it("is Markdown for a merge request", function()
    local _, out = trace("--applied-to 1 --report markdown", {
      ["1_a.sql"] = FIRST, ["2_b.sql"] = "DROP TABLE orders;",
    })
    assert.matches("\n### ./2\\_b.sql (one transaction, lock\\_timeout 5s)\n", out, 1, true)
    assert.matches("| 1 | DROP TABLE orders | reads and writes of public.customers and "
      .. "public.orders wait until COMMIT (ACCESS EXCLUSIVE) | drops table public.orders<br>"
      .. "locks public.customers, which it does not name |\n", out, 1, true)
  end)

  it("is JSON for programs, also of what fails", function()
    local code, out, err = trace("--json", {
      ["1_a.sql"] = FIRST, ["2_b.sql"] = "DROP TABLE nope;",
    })
    assert.equal(1, code)
    assert.matches('table "nope" does not exist', err)
    local object = dkjson.decode(out:match "^[^\n]*")
    assert.equal(4, #object.effects)
    assert.matches('table "nope" does not exist', object.effects[4].error)
    assert.matches('"locks":{}', out, 1, true)
    assert.matches('"notes":[]', out, 1, true)
  end)

  it("says that nothing is pending", function()
    local _, out = trace("--applied-to 1", { ["1_a.sql"] = FIRST })
    assert.equal("nothing is pending\n", out)
  end)
end)
