-- docs/formats.md: its example is run, and its table has every format.
local pgmig = require "pgmig"
local support = require "spec.support"

local page = support.read "docs/formats.md"

describe("the page about formats", function()
  it("names every format, and in which table pgmig keeps its rows", function()
    for _, name in ipairs(pgmig.formats.names) do
      local row = page:match("\n| `" .. name:gsub("%-", "%%-") .. "`[^\n]*")
      assert.is_string(row, name)
      local table_name = pgmig.formats.find(name).table or "schema_migrations"
      assert.is_truthy(row:find("`" .. table_name .. "` |", 1, true), name)
    end
  end)

  it("has an example that works", function()
    local example = page:match "```lua\n(local pgmig = require.-)```"
    local dir = support.tempdir()
    local format = support.write(support.tempdir(), "mine.lua", example)
    os.execute(("mkdir %s/release-7"):format(dir))
    support.write(dir, "release-7/10.create-orders.sql",
      "--#up\nCREATE TABLE orders ();\n--#down\nDROP TABLE orders;\n")
    support.write(dir, "release-7/9.create-users.sql",
      "--#up alone\nVACUUM;\nCREATE TABLE users ();\n--#down\nDROP TABLE users;\n")
    local db = pgmig.connect(support.database())
    local migrator = pgmig.migrator(db, dir, { format = format })
    local done = migrator:migrate()
    assert.equal("release-7/9.create-users.sql release-7/10.create-orders.sql",
      tostring(done[1]) .. " " .. tostring(done[2]))
    assert.equal(1, #migrator:rollback { to = "7.9" })
    support.write(dir, "release-7/12.x.sql", "--#up\n--#include y.sql\n")
    local ok, err = pcall(migrator.migrate, migrator)
    assert.is_false(ok)
    assert.equal("copy the file's text", err.hint)
    assert.equal(dir .. "/release-7/013.add_x.sql", (migrator:create "add x"))
    db:close()
  end)
end)
