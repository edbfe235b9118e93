-- A server that requires TLS and SCRAM: both connections use them, and no text shows a password.
local cli = require "spec.cli.helper"
local faults = require "spec.faults.support"
local pgmig = require "pgmig"
local programs = require "spec.faults.programs"
local scratch = require "pgmig.scratch"
local support = require "spec.support"

local PASSWORD = "s3cret/p@ss w%rd" -- every part needs escaping in a URL
local ESCAPED = "s3cret%2Fp%40ss%20w%25rd"
local PIECES = { "s3cret", "ss w", "ss%20w", "w%25rd", "w%rd" }

local function start_server()
  local dir, port = programs.folder(), support.free_port()
  local code, _, err = support.run(("cd %s && %sopenssl req -new -x509 -days 2 -nodes -subj "
    .. "/CN=localhost -out %s/server.crt -keyout %s/server.key"):format(dir, programs.as_user, dir,
    dir))
  assert(code == 0, err)
  local server = scratch.start { settings = {
    listen_addresses = "127.0.0.1", port = port, ssl = "on", password_encryption = "scram-sha-256",
    ssl_cert_file = dir .. "/server.crt", ssl_key_file = dir .. "/server.key",
    log_statement = "all", log_connections = "on",
  } }
  local hba = support.write(support.tempdir(), "hba",
    "local all postgres trust\nhostssl all app 127.0.0.1/32 scram-sha-256\n")
  support.run(("cat %s >%s/data/pg_hba.conf"):format(hba, server.host))
  local admin = pgmig.connect(server:url())
  admin:exec("SELECT pg_reload_conf(); CREATE ROLE app LOGIN PASSWORD "
    .. admin:quote_literal(PASSWORD))
  admin:exec "CREATE DATABASE shop OWNER app"
  admin:close()
  return server
end

describe("a server that requires TLS and SCRAM", function()
  local server, dir, url

  setup(function()
    server = start_server()
    url = ("postgresql://app:%s@127.0.0.1:%d/shop?sslmode=require"):format(ESCAPED, server.port)
    dir = support.tempdir()
    support.write(dir, "001_a.sql", "-- UP\nCREATE TABLE a (n int);\n-- DOWN\nDROP TABLE a;\n")
    support.write(dir, "002_b.sql", "-- UP\nSELEC 1;\n-- DOWN\n")
  end)

  teardown(function() server:stop() end)

  local function hidden(text, where)
    for _, piece in ipairs(PIECES) do assert.not_matches(piece, text, 1, true, where) end
  end

  it("is used with both, for both connections", function()
    local db = pgmig.connect { host = "127.0.0.1", port = server.port, user = "app",
      password = PASSWORD, dbname = "shop", sslmode = "require" }
    local seen = {}
    local m = pgmig.migrator(db, dir, { hooks = { before_each = function(ctx)
      seen = ctx.db:query [[SELECT a.application_name AS name, s.ssl, s.version FROM pg_stat_ssl s
        JOIN pg_stat_activity a USING (pid) WHERE a.usename = 'app'
        AND a.application_name <> 'pgmig watch' ORDER BY 1]]
    end } })
    m:migrate(1)
    assert.equal(2, #seen)
    for i, name in ipairs { "pgmig", "pgmig lock" } do
      assert.same({ name, true }, { seen[i].name, seen[i].ssl })
    end
    m:rollback()
    db:close()
  end)

  it("refuses a connection without TLS, and a wrong password, in words that hide it", function()
    local code, out, err = faults.run((url:gsub("=require", "=disable")), "status --dir " .. dir)
    assert.equal(6, code)
    assert.matches("no encryption", err)
    hidden(out .. err)
    code, out, err = faults.run((url:gsub("%%25rd", "%%25xx")), "status --dir " .. dir)
    assert.equal(6, code)
    assert.matches('password authentication failed for user "app"', err)
    hidden(out .. err)
  end)

  it("does not see its password again in any output, row or log", function()
    local texts = {}
    for _, words in ipairs { "up --verbose", "up --json", "status", "status --json", "history",
      "history --json", "doctor", "doctor --json", "config", "config --json", "plan", "down",
      "redo", "repair", "create x --bogus" } do
      local _, out, err = faults.run(url, words .. " --dir " .. dir)
      texts[#texts + 1] = out .. err
    end
    local all = table.concat(texts, "\n")
    assert.matches("002_b.sql:2:1", all, 1, true)
    hidden(all, "output")
    local admin = pgmig.connect((server:url "shop"))
    hidden(admin:query "SELECT string_agg(h::text, ' ') AS t FROM schema_migrations_history h"[1].t,
      "history")
    admin:close()
    local log = support.read(server.log):gsub("[^\n]*CREATE ROLE app[^\n]*", "")
    assert.matches("CREATE TABLE a", log)
    hidden(log, "the server's log")
  end)

  it("is reached with a password from the environment or .env", function()
    local plain = "host=127.0.0.1 user=app dbname=shop sslmode=require port=" .. server.port
    local home = support.tempdir()
    support.write(home, ".env", ("PGHOST=127.0.0.1\nPGPORT=%d\nPGUSER=app\nPGDATABASE=shop\n"
      .. "PGSSLMODE=require\nPGPASSWORD='%s'\n"):format(server.port, PASSWORD))
    for _, command in ipairs {
      ("PGPASSWORD=%s DATABASE_URL=%s bin/pgmig status --dir %s"):format(support.quote(PASSWORD),
        support.quote(plain), dir),
      ("cd %s && $OLDPWD/bin/pgmig status --dir %s"):format(home, dir),
    } do
      local code, out, err = support.run("unset DATABASE_URL; " .. command)
      assert.same({ 0, "" }, { code, cli.without_place(err) })
      assert.matches("001_a", out)
      hidden(out .. err)
    end
  end)

  it("shows the program in the process list without a password", function()
    support.write(dir, "001_a.sql", "-- UP\nSELECT pg_sleep(0.5);\n-- DOWN\n")
    local _, list = support.run(("DATABASE_URL=%s bin/pgmig up --to 1 --dir %s >/dev/null 2>&1 & "
      .. "for i in $(seq 100); do ps -eo args | grep '[p]gmig up --to 1' && break; sleep 0.02; "
      .. "done; ps -eo args; wait"):format(support.quote(url), dir))
    assert.matches("pgmig up %-%-to 1", list)
    local shown = {}
    for line in list:gmatch "[^\n]+" do -- not the shells that this spec starts
      if not line:find "DATABASE_URL=" then shown[#shown + 1] = line end
    end
    hidden(table.concat(shown, "\n"))
  end)
end)
