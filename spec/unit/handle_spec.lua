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

  describe("that is a run", function()
    local url, ledger
    local version = 0

    --- Start a migration that does nothing; its connection is the caller's.
    local function start(conn)
      version = version + 1
      local job = {
        script = core.parse_script("SELECT 1;", "1_a.sql"), direction = "up", section = "up",
        owner = "owner", entry = { name = "a", version = tostring(version) },
      }
      return core.apply(conn, ledger, { job })
    end

    local function run(conn)
      local want = conn:step()
      while want do
        core.wait_fd(conn:fd(), want, 5)
        want = conn:step()
      end
    end

    local function open()
      local conn = core.open({ "dbname" }, { url })
      run(conn)
      conn:finish()
      return conn
    end

    setup(function()
      url, ledger = support.database(), core.ledger "deploys"
      local conn = open()
      for _, operation in ipairs { "probe", "prepare", "probe" } do
        ledger:start(conn, operation)
        run(conn)
        ledger:finish(conn)
      end
      conn:close()
    end)

    it("says how far it is, and whether it has ended", function()
      local conn = open()
      local apply = start(conn)
      assert.equal("pgmig apply (0 committed)", tostring(apply))
      run(conn)
      assert.equal("pgmig apply (1 committed)", tostring(apply))
      assert.equal("done", apply:finish())
      assert.equal("pgmig apply (ended)", tostring(apply))
      assert.is_nil(apply:progress())
      apply:stop()
      local ok, err = pcall(apply.committed, apply)
      assert.same({ false, "usage", "the migration has ended" }, { ok, err.kind, err.message })
      conn:close()
    end)

    it("keeps its connection, and ends with it", function()
      local conn = open()
      local apply = start(conn)
      local still = setmetatable({ conn }, { __mode = "v" })
      conn = nil
      collectgarbage()
      collectgarbage()
      run(still[1])
      assert.equal("pgmig apply (1 committed)", tostring(apply))
      still[1]:close()
      assert.equal("pgmig apply (ended)", tostring(apply))
      local ok, err = pcall(apply.finish, apply)
      assert.same({ false, "usage", "the connection is closed" }, { ok, err.kind, err.message })
      assert.is_nil(conn or apply:progress())
    end)

    it("leaves the connection with it when nobody has it any more", function()
      local conn = open()
      start(conn)
      collectgarbage()
      collectgarbage()
      run(conn)
      local ok, err = pcall(start, conn)
      assert.same({ false, "a migration is in progress on this connection" }, { ok, err.message })
      conn:close()
    end)
  end)
end)
