-- Several hosts, some of which say nothing.
local core = require "pgmig.core"
local pgmig = require "pgmig"
local scratch = require "pgmig.scratch"
local socket = require "socket"
local support = require "spec.support"

describe("of several hosts", function()
  local server, hole, silent

  setup(function()
    server = scratch.start {
      settings = { listen_addresses = "127.0.0.1", port = support.free_port() },
    }
    hole = assert(socket.bind("127.0.0.1", 0)) -- it accepts, and never answers
    silent = select(2, hole:getsockname())
  end)

  teardown(function()
    hole:close()
    server:stop()
  end)

  --- A connection; the ports stand for the hosts.
  local function connect(ports, more)
    local list = {}
    for i, port in ipairs(ports) do list[i] = "127.0.0.1:" .. port end
    return pgmig.connect(("postgresql://postgres:%s@%s/postgres?connect_timeout=1%s"):format(
      server.password, table.concat(list, ","), more or ""))
  end

  local function port_of(db) return select(3, db.handle:peer()) end

  it("a silent one is left, wherever it stands", function()
    for _, ports in ipairs { { silent, server.port }, { 1, silent, server.port },
      { silent, silent, 1, server.port }, { server.port, silent } } do
      local db = connect(ports)
      assert.equal(tostring(server.port), port_of(db))
      db:close()
    end
  end)

  it("a silent one is left by what target_session_attrs asks for", function()
    local db = connect({ silent, server.port }, "&target_session_attrs=prefer-standby")
    assert.equal(tostring(server.port), port_of(db))
    db:close()
    local ok, err = pcall(connect, { silent, server.port }, "&target_session_attrs=standby")
    assert.is_false(ok)
    assert.matches("not in hot standby mode", tostring(err))
    assert.matches("127.0.0.1, port " .. silent .. ": no answer in time", tostring(err), 1, true)
  end)

  it("a silent one is left when a lost connection is replaced, in the middle of a run", function()
    local dir, db = support.tempdir(), connect { silent, server.port }
    support.write(dir, "001_a.sql", "CREATE TABLE a (n int);")
    local admin, lost = pgmig.connect(server:url()), 0
    pgmig.migrator(db, dir, { hooks = { before_each = function()
      lost = lost + 1
      if lost == 1 then admin:query("SELECT pg_terminate_backend($1)", db:backend_pid()) end
    end } }):migrate()
    assert.equal(2, lost)
    db:close()
    admin:close()
  end)

  it("a silent one is left for a socket", function()
    local db = pgmig.connect(("host=127.0.0.1,%s port=%d,%d user=postgres connect_timeout=1")
      :format(server.host, silent, server.port))
    assert.equal(server.host, (db.handle:peer()))
    db:close()
  end)

  it("all silent ones are named", function()
    local ok, err = pcall(connect, { silent, 1, silent })
    assert.is_false(ok)
    assert.equal("connect", err.kind)
    assert.matches("127.0.0.1, port " .. silent .. ": no answer in time", tostring(err), 1, true)
  end)

  it("one whose name is not known is passed over", function()
    local db = pgmig.connect(("postgresql://postgres:%s@no.invalid:1,localhost:%d/postgres")
      :format(server.password, server.port))
    assert.equal("localhost", (db.handle:peer()))
    db:close()
    local ok, err = pcall(pgmig.connect, "host=no.invalid")
    assert.is_false(ok)
    assert.equal("connect", err.kind)
    assert.matches("^could not look up host no.invalid: ", err.message)
  end)

  it("names are looked up beside other work", function()
    local lookup = core.lookup "localhost"
    assert.is_true(core.wait_fd(lookup:fd(), "r", 10))
    assert.is_true(lookup:is_over())
    assert.is_true(#lookup:addresses() > 0)
    lookup:close()
    core.lookup "no.invalid":close() -- which does not wait for it
  end)
end)
