-- Times as settings: read as PostgreSQL reads them, checked before anything runs, with their units.
local core = require "pgmig.core"
local options = require "pgmig.options"
local pgmig = require "pgmig"
local support = require "spec.support"

describe("a time", function()
  local url, db, dir

  before_each(function()
    url, dir = support.database(), support.tempdir()
    db = pgmig.connect(url)
    support.write(dir, "001_a.sql", "CREATE TABLE a (ms text DEFAULT current_setting("
      .. "'lock_timeout')); INSERT INTO a DEFAULT VALUES;")
  end)

  after_each(function() db:close() end)

  --- What the server makes of a text: milliseconds; nil when it refuses it.
  local function by_server(text)
    local ok = pcall(db.query, db, "SELECT set_config('lock_timeout', $1, false)", text)
    local row = db:query("SELECT setting FROM pg_settings WHERE name = 'lock_timeout'")[1]
    return ok and tonumber(row.setting) or nil
  end

  it("is understood as the server understands it", function()
    local texts = { "5", "0", "5s", "5 s", " 5s ", "500ms", "1min", "2h", "1d", "010", "0x1F",
      "+5s", "5S", "5sec", "5 sec", "5m", "s", "", " ", "-1", "-5s", "5s5", "5 5", "5s;", "'5s'",
      "\"5s\"", "0x", "2147483647", "2147483648", "25d", "24d", "nan", "inf", "1_000", "5\ts" }
    if db:server_version() >= 120000 then
      for _, text in ipairs { "1.5s", "1e3", "1.5e3ms", ".5s", "5.", "1500us", "2500us", "0.0s",
        "2147483647.4", "0x1.8", "1e400", "1e2s" } do texts[#texts + 1] = text end
    end
    for _, text in ipairs(texts) do
      assert.equal(by_server(text), (core.duration_setting(text)), ("%q"):format(text))
    end
  end)

  it("that the server would take for no limit by rounding is refused", function()
    for _, text in ipairs { "100us", "0.2ms", "0.0001s" } do
      assert.is_nil((core.duration_setting(text)))
    end
  end)

  it("goes to every server in milliseconds, of settings and of directives", function()
    pgmig.migrator(db, dir, { lock_timeout = "1.5s" }):migrate()
    support.write(dir, "002_b.sql", "-- pgmig: lock_timeout=2500us\nINSERT INTO a DEFAULT VALUES;")
    pgmig.migrator(db, dir):migrate()
    assert.equal("1500ms 2ms",
      db:query "SELECT string_agg(ms, ' ' ORDER BY length(ms) DESC) AS t FROM a"[1].t)
  end)

  it("of ours counts seconds, with a unit what that says", function()
    for text, expected in pairs { ["5"] = 5, ["5min"] = 300, ["0.2"] = 0.2, ["200ms"] = 0.2,
      ["0"] = 0 } do
      assert.equal(expected, options.read("lock_wait", text))
    end
    for _, value in ipairs { "5sec", "", "-1", "nan", "inf", -1, 0 / 0, math.huge, true, {} } do
      assert.is_nil((options.read("reconnect", value)), tostring(value))
    end
  end)

  it("that is none is refused by connect and migrator, naming it", function()
    for key, value in pairs { lock_timeout = "5sec", lock_wait = "soon", reconnect = -1,
      retries = 1.5 } do
      local ok, err = pcall(pgmig.migrator, db, dir, { [key] = value })
      assert.same({ false, "usage" }, { ok, err.kind })
      assert.matches("^option " .. key .. " must be .*, not [^ ]+$", err.message)
    end
    for key, value in pairs { connect_timeout = "1 hour", response_timeout = 0 } do
      local ok, err = pcall(pgmig.connect, { url = url, [key] = value })
      assert.same({ false, "usage" }, { ok, err.kind })
      assert.matches("^" .. key .. " must be ", err.message)
    end
    pgmig.connect({ url = url, connect_timeout = "10s", response_timeout = "1min" }):close()
  end)

  it("without a unit is said by a run, and by a file", function()
    support.write(dir, "002_b.sql", "-- pgmig: statement_timeout=90000\nSELECT 1;")
    support.write(dir, "003_c.sql", "-- pgmig: statement_timeout=0 lock_timeout=0\nSELECT 1;")
    local said = {}
    pgmig.migrator(db, dir, { lock_timeout = "900" }):migrate { on_event = function(event)
      if event.type == "warning" then said[#said + 1] = event.message end
    end }
    assert.same({ "lock_timeout 900 has no unit and is taken as 900ms",
      "a time without a unit is in milliseconds: write 5ms, 5s or 5min" }, said)
  end)
end)
