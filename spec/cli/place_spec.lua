-- Every command says which database it is about, and where that was said.
local cli = require "spec.cli.helper"
local dkjson = require "dkjson"
local origin = require "pgmig.cli.origin"
local pgmig = require "pgmig"
local scratch = require "pgmig.scratch"
local support = require "spec.support"

describe("which database it is", function()
  local server, dir

  setup(function()
    server = scratch.start {
      settings = { listen_addresses = "127.0.0.1", port = support.free_port() },
    }
    local admin = pgmig.connect(server:url())
    admin:exec "CREATE ROLE app LOGIN SUPERUSER PASSWORD 's3cret'"
    admin:exec "CREATE DATABASE shop"
    admin:exec 'CREATE DATABASE "my shop"'
    admin:close()
  end)

  teardown(function() server:stop() end)

  before_each(function()
    dir = support.tempdir()
    support.run("mkdir " .. dir .. "/migrations")
    support.write(dir, "migrations/001_a.sql", "-- UP\nSELECT 1;\n-- DOWN\nSELECT 2;")
  end)

  --- Run the program in the folder; standard error is whole.
  local function run(words, env)
    return support.run(("cd %s && %s"):format(cli.quote(dir), cli.command(words, env)))
  end

  local function url(place) return ("postgresql://app:s3cret@%s"):format(place) end

  local function tcp() return "127.0.0.1:" .. server.port end

  --- The line that a command writes.
  local function line(place, source)
    return ("pgmig: database %s as app (%s)\n"):format(place, source)
  end

  it("is the first that each command says on standard error, and nothing with --quiet", function()
    local env = { DATABASE_URL = url(tcp() .. "/shop") }
    local expected = line("shop on " .. tcp(), "DATABASE_URL")
    for _, words in ipairs {
      "status", "plan", "up --dry-run", "up", "redo", "history", "doctor", "repair --all",
      "down --dry-run", "down", "baseline 1", "unapply 1", "wait", "up --fake 1", "plan --script",
    } do
      assert.same({ 0, expected }, { (run(words, env)), (select(3, run(words, env))) }, words)
      assert.equal("", select(3, run(words .. " -q", env)), words)
    end
    for _, words in ipairs { "resolve 1 --done", "up --to 7", "adopt --from goose" } do
      local code, _, err = run(words, env)
      assert.equal(2, code)
      assert.equal(expected, err:sub(1, #expected))
    end
    assert.same({ 0, "" }, { (run("config", env)), (select(3, run("create x", env))) })
  end)

  it("says where that was said", function()
    local at = "shop on " .. tcp()
    local function said(expected, place, words, env)
      local code, _, err = run((words or "") .. " history", env)
      assert.same({ 0, line(place or at, expected) }, { code, err })
    end
    local full = url(tcp() .. "/shop")
    said("--database", nil, "--database " .. full)
    said("--database", nil, "-d " .. full, { DATABASE_URL = "nonsense" })
    said("DATABASE_URL, PGPORT, PGDATABASE", nil, nil, {
      DATABASE_URL = url "127.0.0.1", PGPORT = tostring(server.port), PGDATABASE = "shop",
      PGUSER = "nobody",
    })
    said("PGHOST, PGPORT, PGUSER, PGDATABASE", ('"my shop" on %s:%d'):format(server.host,
      server.port), nil, {
      PGHOST = server.host, PGPORT = tostring(server.port), PGUSER = "app", PGDATABASE = "my shop",
    })
    support.write(dir, ".env", ("PGHOSTADDR=127.0.0.1\nPGUSER=app\nPGPASSWORD=s3cret\n"))
    said(".env: PGHOSTADDR, PGPORT, .env: PGUSER, PGDATABASE", nil, nil, {
      PGPORT = tostring(server.port), PGDATABASE = "shop",
    })
    support.write(dir, ".env", "DATABASE_URL=" .. full)
    said(".env: DATABASE_URL")
    os.remove(dir .. "/.env")
    support.write(dir, "pgmig.conf.lua", ("return { database = %q }"):format(full))
    said("pgmig.conf.lua")
    os.remove(dir .. "/pgmig.conf.lua")
    support.write(dir, "service", ("[s]\nhost=127.0.0.1\nport=%d\nuser=app\npassword=s3cret\n")
      :format(server.port))
    said("PGSERVICE, PGDATABASE", nil, nil, {
      PGSERVICE = "s", PGSERVICEFILE = dir .. "/service", PGDATABASE = "shop", PGUSER = "nobody",
    })
  end)

  it("says libpq's defaults where nothing was said", function()
    local place = { name = "-", user = "-", host = "-", port = 0 }
    assert.equal("libpq's defaults", origin.of({ values = {}, sources = {} }, place))
  end)

  it("is said again when a lost connection is replaced by one to another host", function()
    support.write(dir, "pgmig.conf.lua", ([[
      local times = 0
      return { hooks = { before_each = function(ctx)
        times = times + 1
        if times > 1 then return end
        local admin = require("pgmig").connect(%q)
        os.rename(%q, %q)
        admin:query("SELECT pg_terminate_backend($1)", ctx.db:backend_pid())
        admin:close()
      end } }]]):format(url(tcp() .. "/shop"), server.host .. "/.s.PGSQL." .. server.port,
      server.host .. "/moved"))
    local list = ("host=%s,127.0.0.1 port=%d dbname='my shop' user=app password=s3cret"):format(
      server.host, server.port)
    local code, _, err = run("up --json", { DATABASE_URL = list })
    os.rename(server.host .. "/moved", server.host .. "/.s.PGSQL." .. server.port)
    assert.same({ 0, "" }, { code, err })
    code, _, err = run("redo", { DATABASE_URL = list })
    os.rename(server.host .. "/moved", server.host .. "/.s.PGSQL." .. server.port)
    assert.equal(0, code)
    local first = ('"my shop" on %s:%d'):format(server.host, server.port)
    assert.equal(line(first, "DATABASE_URL"), err:match "^[^\n]*\n")
    assert.matches("connecting again\n" .. line('"my shop" on ' .. tcp(), "DATABASE_URL"), err, 1,
      true)
  end)

  it("is in the JSON of each command", function()
    local env = { DATABASE_URL = url(tcp() .. "/shop") }
    local expected = {
      name = "shop", user = "app", host = "127.0.0.1", port = tonumber(server.port),
      source = "DATABASE_URL",
    }
    for _, words in ipairs {
      "status", "plan", "history", "doctor", "repair --all", "down --dry-run", "wait",
    } do
      local code, out, err = run(words .. " --json", env)
      assert.same({ 0, "", expected }, { code, err, dkjson.decode(out).database }, words)
    end
    for _, words in ipairs { "up", "redo", "down", "baseline 1" } do
      local _, out = run(words .. " --json", env)
      local first = dkjson.decode(out)
      assert.same({ event = "database", database = expected }, first, words)
      assert.equal(2, #out:gsub('"database":', "\1"):gsub("[^\1]", "") + 1, words)
    end
    local _, out = run("up --to 7 --json", env)
    local failed = dkjson.decode(out)
    assert.same({ "error", expected }, { failed.event, failed.database })
  end)

  it("is known to scripts", function()
    local db = pgmig.connect(url(tcp() .. "/shop"))
    assert.same({ name = "shop", user = "app", host = "127.0.0.1", port = tonumber(server.port) },
      db:place())
    db:close()
    assert.equal("shop", db:place().name)
  end)
end)
