-- The status page, in a real browser and as text.
local browsers = require "spec.nginx.browser"
local core = require "pgmig.core"
local servers = require "spec.nginx.server"
local support = require "spec.support"

local EVIL = [[<script>alert(1)<&'"]] -- a migration's name may be that

describe("the dashboard in nginx", function()
  local dir, url, nginx

  before_each(function()
    dir, url = support.tempdir(), support.database()
    support.write(dir, "001_first.sql", "CREATE TABLE first ();")
    support.write(dir, ("002_%s.sql"):format(EVIL), support.held)
  end)

  after_each(function() if nginx then nginx:stop() end end)

  local function start(more, options)
    options = options or {}
    options.worker = servers.worker(("database = %q, dir = %q, %s"):format(url, dir, more or ""))
    nginx = servers.start(options)
    return ("http://127.0.0.1:%d/schema"):format(nginx.port)
  end

  local function page()
    local status, body, headers = nginx:get "/schema"
    assert.equal(200, status)
    return body, headers
  end

  describe("in Chromium", function()
    local browser
    after_each(function()
      if browser then browser:stop() end
      browser = nil
    end)

    --- Watch a migration from pending to applied, without loading the page by hand.
    local function watch(...)
      local address = start()
      support.wait(function() return nginx:migrating() end)
      browser = browsers.start(...)
      browser:open(address)
      assert.equal("Migrating", browser:text "#state")
      local pending = browser:text "section:has(caption.pending) tbody"
      assert.is_truthy(pending:find("002_" .. EVIL, 1, true), pending)
      assert.is_truthy(pending:find("running", 1, true), pending)
      assert.matches("1 of 2 done", browser:text "main")
      assert.matches("held by.*pgmig lock", browser:text "main")
      support.release(url)
      support.wait(function() return browser:text "#state" == "Ready" end)
      local applied = browser:text "section:has(caption.applied) tbody"
      assert.is_truthy(applied:find("002_" .. EVIL, 1, true), applied)
      assert.matches("%d m?s", applied)
      assert.is_nil(browser:dialog())
    end

    it("shows a migration from pending to applied, and runs nothing of its name", function()
      local why = browsers.missing()
      if why then return pending(why) end
      watch()
      assert.equal("en", browser:run "return document.documentElement.lang")
      assert.equal(1, browser:run "return document.querySelectorAll('script').length")
      assert.equal(0, browser:run [[return performance.getEntriesByType('resource')
        .filter(e => e.name !== location.href && !e.name.endsWith('/favicon.ico')).length]])
    end)

    it("does so without JavaScript too", function()
      local why = browsers.missing()
      if why then return pending(why) end
      watch "--blink-settings=scriptEnabled=false"
    end)
  end)

  it("escapes names, messages and what else comes from outside", function()
    support.run(("rm %s"):format(support.quote(("%s/002_%s.sql"):format(dir, EVIL))))
    support.write(dir, ("003_%s.sql"):format(EVIL),
      "DO $$ BEGIN RAISE EXCEPTION '<img src=x onerror=alert(1)> \"''&'; END $$;")
    start()
    support.wait(function() return nginx:logged("onerror", "error")[1] end)
    local body = page()
    assert.is_nil(body:find("<img", 1, true))
    assert.is_nil(body:find("<script>", 1, true))
    local escaped = "&lt;img src=x onerror=alert(1)&gt; &quot;&#39;&amp;"
    assert.is_truthy(body:find(escaped, 1, true), body)
    assert.is_truthy(body:find("003_&lt;script&gt;alert(1)&lt;&amp;&#39;&quot;", 1, true), body)
    assert.matches("next attempt", body)
  end)

  it("keeps the last failure in sight when it is mended", function()
    support.run(("rm %s"):format(support.quote(("%s/002_%s.sql"):format(dir, EVIL))))
    support.write(dir, "001_first.sql", "SELECT nix;")
    support.write(dir, "R__view.sql", "CREATE OR REPLACE VIEW v AS SELECT 1 AS one;")
    start()
    support.wait(function() return nginx:logged("nix", "error")[1] end)
    support.write(dir, "001_first.sql", "CREATE TABLE first ();")
    nginx:reload()
    nginx:open()
    assert.matches("Repeatable.*R__view.*Last failure.*1 first.*column &quot;nix&quot;", page())
  end)

  it("lets only its own style and script run, and is stored nowhere", function()
    start "target = 1"
    nginx:open()
    local body, headers = page()
    local nonce = headers["content-security-policy"]:match "script%-src 'nonce%-(%x+)'"
    assert.is_truthy(body:find(('<script nonce="%s">'):format(nonce), 1, true))
    assert.matches("^default%-src 'none'", headers["content-security-policy"])
    assert.equal("no-store", headers["cache-control"])
    assert.equal("nosniff", headers["x-content-type-options"])
    assert.are_not.equal(nonce,
      select(2, page())["content-security-policy"]:match "script%-src 'nonce%-(%x+)'")
    assert.equal(405, (nginx:get("/schema", "POST")))
    assert.equal(200, (nginx:get("/schema", "HEAD")))
  end)

  it("writes nothing, and asks the database at most once a second", function()
    local function sessions()
      return tonumber(support.psql(url,
        "SELECT sessions FROM pg_stat_database WHERE datname = current_database()"))
    end
    start 'mode = "check"'
    local before, began = sessions(), core.now()
    for _ = 1, 40 do page() end
    local asked = sessions() - before
    assert.is_true(asked <= math.ceil(core.now() - began) + 4) -- psql's own, looks at the version
    assert.equal("", support.psql(url, "SELECT to_regclass('schema_migrations')"))
    assert.matches("Pending", page())
  end)

  it("works for a release without a folder", function()
    nginx = servers.start {
      worker = servers.worker(('database = %q, mode = "check", target = 7'):format(url)),
    }
    support.psql(url, "CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, name TEXT NOT "
      .. "NULL, applied_at TIMESTAMPTZ NOT NULL DEFAULT NOW()); "
      .. "INSERT INTO schema_migrations VALUES (7, 'seven')")
    nginx:open()
    assert.matches("7_seven", page())
  end)

  it("says so when the database cannot be read, or nothing was set up", function()
    nginx = servers.start {
      worker = servers.worker(('database = "host=%s", dir = %q'):format(dir, dir)),
    }
    assert.matches("The database cannot be read.*Is the server running", page())
    nginx:stop()
    nginx = servers.start { worker = "" }
    assert.matches("Not set up.*setup was not called", page())
  end)
end)
