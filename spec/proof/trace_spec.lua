-- What trace sees of each statement, on clones.
local pgmig = require "pgmig"
local support = require "spec.support"

--- A folder of migrations, by name.
local function folder(files)
  local dir = support.tempdir()
  for name, text in pairs(files) do support.write(dir, name, text) end
  return dir
end

describe("a trace", function()
  it("tells the locks of each statement", function()
    local dir = folder {
      ["1_a.sql"] = "CREATE TABLE a (id int);", ["2_b.sql"] = "CREATE INDEX i ON a (id);",
    }
    local traced = pgmig.migrator(nil, dir):trace { applied_to = 1 }
    assert.is_nil(traced.error)
    assert.equal(1, #traced.effects)
    assert.equal("SHARE", traced.effects[1].locks["public.a"])
  end)
end)
