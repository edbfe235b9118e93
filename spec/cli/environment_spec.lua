-- libpq's variables in `.env` are to libpq what real ones are, and nobody else sees them.
local cli = require "spec.cli.helper"
local pgmig = require "pgmig"
local scratch = require "pgmig.scratch"
local support = require "spec.support"

describe("libpq's variables in .env", function()
  local server, port, dir, url, admin

  setup(function()
    port = support.free_port()
    server = scratch.start { settings = { listen_addresses = "127.0.0.1", port = port } }
    admin = pgmig.connect(server:url())
    admin:exec "CREATE DATABASE shop"
    admin:exec "CREATE ROLE app LOGIN PASSWORD 's3cret'"
    local shop = pgmig.connect(server:url "shop")
    shop:exec "CREATE SCHEMA own; GRANT ALL ON SCHEMA public TO app"
    shop:close()
    url = ("postgresql://postgres:%s@127.0.0.1:%d/shop"):format(server.password, port)
  end)

  teardown(function()
    admin:close()
    server:stop()
  end)

  before_each(function()
    dir = support.tempdir()
    support.run("mkdir " .. cli.quote(dir .. "/migrations"))
    -- a migration that tells what libpq made of it all
    support.write(dir, "migrations/001_tell.sql", [[DO $$ BEGIN RAISE NOTICE '% % % % % %',
      current_user, current_setting('search_path'), current_setting('application_name'),
      current_setting('TimeZone'), current_setting('DateStyle'), current_setting('geqo');
      RAISE EXCEPTION 'told'; END $$;]])
  end)

  local function run(words, env)
    return cli.run_command(("cd %s && %s"):format(cli.quote(dir), cli.command(words, env)))
  end

  --- Run with variables in `.env`; the same as with real ones.
  -- @return exit code and all output
  local function told(variables, words, real)
    local lines, all = {}, {}
    for name, value in pairs(variables) do
      lines[#lines + 1], all[name] = ("%s='%s'"):format(name, value), value
    end
    for name, value in pairs(real or {}) do all[name] = value end
    local code, out, err = run(words or "up", all)
    support.write(dir, ".env", table.concat(lines, "\n"))
    assert.same({ code, out, err }, { run(words or "up", real) })
    os.remove(dir .. "/.env")
    return code, out .. err
  end

  local function base(more)
    local variables = {
      PGHOST = "127.0.0.1", PGPORT = tostring(port), PGUSER = "postgres", PGDATABASE = "shop",
      PGPASSWORD = server.password,
    }
    for name, value in pairs(more) do variables[name] = value end
    return variables
  end

  it("all count", function()
    local _, out = told(base {
      PGOPTIONS = "-c search_path=own -c geqo=off", PGAPPNAME = "deploy", PGTZ = "Asia/Tokyo",
      PGDATESTYLE = "German",
    })
    assert.matches("postgres own deploy Asia/Tokyo German, DMY off", out, 1, true)
    assert.equal(6, (told(base { PGTARGETSESSIONATTRS = "standby" })))
    assert.equal(0, (told(base { PGHOST = "192.0.2.1", PGHOSTADDR = "127.0.0.1" }, "status")))
    assert.equal(2, (told(base { PGSSLMODE = "nonsense" }, "status")))
  end)

  it("count beside a connection string, which wins over them", function()
    local code, out = told({ DATABASE_URL = url, PGSSLMODE = "verify-full" }, "status")
    assert.equal(6, code)
    assert.matches("server does not support SSL", out)
    code = told({ DATABASE_URL = url .. "?sslmode=disable", PGSSLMODE = "verify-full",
      PGHOST = "192.0.2.1", PGDATABASE = "nix" }, "status")
    assert.equal(0, code)
    code = told({ PGPASSWORD = "nix", PGUSER = "nix" }, "status", { DATABASE_URL = url })
    assert.equal(0, code)
    assert.equal(6, (told({ PGSSLMODE = "require" }, "--database " .. cli.quote(url) .. " status")))
  end)

  it("name service and password files, which libpq places above other variables", function()
    local hba = server.host .. "/data/pg_hba.conf"
    local before = support.read(hba)
    support.run(("printf 'host shop app 127.0.0.1/32 scram-sha-256\\n%%s' %s >%s"):format(
      cli.quote(before), cli.quote(hba)))
    admin:exec "SELECT pg_reload_conf()"
    finally(function()
      support.run(("printf %%s %s >%s"):format(cli.quote(before), cli.quote(hba)))
      admin:exec "SELECT pg_reload_conf()"
    end)
    local services = support.write(dir, "services",
      ("[shop]\nhost=127.0.0.1\nport=%d\nuser=app\ndbname=shop\n"):format(port))
    local passwords = support.write(dir, "passwords", "*:*:shop:app:s3cret\n")
    support.run("chmod 600 " .. cli.quote(passwords))
    local files = { PGSERVICEFILE = services, PGSERVICE = "shop", PGUSER = "postgres" }
    assert.equal(6, (told(files, "status")))
    files.PGPASSFILE = passwords
    assert.equal(0, (told(files, "status")))
    files.PGPASSFILE, files.PGPASSWORD = nil, "s3cret"
    assert.equal(0, (told(files, "status")))
    files.PGSERVICE = nil
    assert.equal(0, (told(files, "status", { DATABASE_URL = "service=shop" })))
    assert.equal(6, (told(files, "status", { DATABASE_URL = "service=shop", PGPASSWORD = "nix" })))
  end)

  it("count for all connections of a run, and are seen by libpq only", function()
    support.write(dir, "migrations/001_tell.sql", "SELECT 1;")
    support.write(dir, "pgmig.conf.lua", [[return { hooks = { before_each = function(ctx)
      local list = ctx.db:query("SELECT current_setting('TimeZone') AS zone, (SELECT count(*) "
        .. "FROM pg_stat_activity WHERE usename = 'app' AND application_name LIKE 'pgmig%') AS n")
      print(list[1].zone, list[1].n, os.getenv "PGTZ", os.getenv "PGUSER")
      os.execute "env | grep -c '^PG[TU]'"
    end } }]])
    admin:exec "GRANT pg_read_all_stats TO app"
    support.write(dir, ".env", ("PGUSER=app\nPGPASSWORD=s3cret\nPGTZ=Asia/Tokyo\n"
      .. "DATABASE_URL=host=127.0.0.1 port=%d "
      .. "dbname=shop"):format(port))
    local code, out, err = run "--table public.schema_migrations up" -- `own` has one, too
    assert.same({ 0, "" }, { code, err })
    assert.matches("Asia/Tokyo\t[23]\tnil\tnil\n", out) -- slow ones are watched, too
    assert.matches("\n?0\n", out)
  end)
end)
