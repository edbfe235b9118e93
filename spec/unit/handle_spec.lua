-- The objects of the core say what they are.
local core = require "pgmig.core"
local pgmig = require "pgmig"
local support = require "spec.support"

describe("an object of the core", function()
  it("says what it stands for", function()
    assert.equal("pgmig script (a.sql)", tostring(core.parse_script("SELECT 1;", "a.sql")))
    assert.equal("pgmig ledger (not probed)", tostring(core.ledger "deploys"))
  end)

  it("takes no number for a text, which nobody would keep", function()
    local ok, err = pcall(core.ledger "deploys".share, core.ledger "deploys", { columns = 1 })
    assert.is_false(ok)
    assert.matches("field columns: string expected", tostring(err), 1, true)
  end)

  it("that is a connection says its server process, and that it is closed", function()
    local db = pgmig.connect(support.database())
    assert.equal(("pgmig connection (server process %d)"):format(db:backend_pid()),
      tostring(db.handle))
    local handle = db.handle
    db:close()
    assert.equal("pgmig connection (closed)", tostring(handle))
  end)
end)
