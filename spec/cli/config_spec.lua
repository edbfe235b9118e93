-- Settings: flags over variables over .env over pgmig.conf.lua over defaults.
local cli = require "spec.cli.helper"
local core = require "pgmig.core"
local dkjson = require "dkjson"
local support = require "spec.support"

describe("settings", function()
  local dir
  before_each(function() dir = support.tempdir() end)

  --- Run the program in the folder.
  local function run(words, env)
    return support.run(("cd %s && %s"):format(cli.quote(dir), cli.command(words, env)))
  end

  --- What `config` shows of a key: value and source.
  local function shown(key, words, env)
    local code, out, err = run((words or "") .. " config --json", env)
    assert.same({ 0, "" }, { code, err })
    local entry = assert(dkjson.decode(out))[key]
    return entry.value, entry.source
  end

  local function write_config(text) return support.write(dir, "pgmig.conf.lua", text) end

  it("have defaults", function()
    assert.same({ "schema_migrations", "default" }, { shown "table" })
    assert.same({ "migrations", "default" }, { shown "dir" })
    assert.same({ "5s", "default" }, { shown "lock_timeout" })
  end)

  it("come from each source, the stronger one first", function()
    write_config 'return { table = "from_file", dir = { "a", "b" } }'
    assert.same({ "from_file", "pgmig.conf.lua" }, { shown "table" })
    assert.same({ "a, b", "pgmig.conf.lua" }, { shown "dir" })
    support.write(dir, ".env", "PGMIG_TABLE=from_dotenv\n")
    assert.same({ "from_dotenv", ".env: PGMIG_TABLE" }, { shown "table" })
    local env = { PGMIG_TABLE = "from_env" }
    assert.same({ "from_env", "PGMIG_TABLE" }, { shown("table", nil, env) })
    assert.same({ "from_flag", "--table" }, { shown("table", "--table from_flag", env) })
    assert.same({ "x, y", "--dir" }, { shown("dir", "--dir x --dir y") })
  end)

  it("are printed for people too", function()
    local code, out = run "config --lock-timeout 2s"
    assert.equal(0, code)
    assert.matches("lock_timeout +2s +%-%-lock%-timeout\n", out)
    assert.matches("database +%(libpq's own environment%)", out)
  end)

  it("read .env as people write it", function()
    support.write(dir, ".env", table.concat({ "# comment", "", "export PGMIG_TABLE=a # b",
      'PGMIG_DIR="with space # and hash"', "PGMIG_LOCK_TIMEOUT='1s'\r", "OTHER=" }, "\n"))
    assert.equal("a", (shown "table"))
    assert.equal("with space # and hash", (shown "dir"))
    assert.equal("1s", (shown "lock_timeout"))
  end)

  it("that .env gives and nobody can read stop only what needs them", function()
    local url = "-d " .. cli.quote(support.database())
    assert.equal(0, (support.run("mkdir " .. dir .. "/migrations")))
    for line, works in pairs {
      ["DATABASE_URL=${NIX}"] = { create = true, url .. " status" },
      ["PGMIG_LOCK_TIMEOUT=${NIX}"] = { create = true, url .. " status", url .. " doctor" },
      ["PGMIG_LOCK_WAIT=soon"] = { create = true, url .. " history" },
      ["PGPASSWORD=\"a\" b"] = { create = true },
      ["PGMIG_TABLE='a"] = { create = true },
      ["no sense"] = { create = true },
      ["PGMIG_DIR=${NIX}"] = {}, ["PGMIG_FORMAT=${NIX}"] = {},
    } do
      support.write(dir, ".env", line .. "\n")
      assert.equal(works.create and 0 or 2, (run "create x"), line)
      for _, words in ipairs(works) do assert.equal(0, (run(words)), line .. " " .. words) end
      local code, _, err = run((line:find "^DATABASE" and "" or url) .. " up")
      assert.equal(2, code)
      assert.matches("pgmig: .env:?1?: ", err)
    end
    support.write(dir, ".env", "PGMIG_LOCK_TIMEOUT=${NIX}\n")
    assert.matches("unreadable: .*NIX", (shown "lock_timeout"))
  end)

  it("refuse a .env line that is none, with its number", function()
    support.write(dir, ".env", "A=1\nno sense\n")
    local code, _, err = run "config"
    assert.equal(2, code)
    assert.matches(".env:2: this line is not NAME=value", err, 1, true)
  end)

  it("take libpq's variables from .env, but the real ones first", function()
    local url = support.database()
    local host, port = support.server().host, support.server().port
    support.write(dir, ".env", ("PGHOST=%s\nPGPORT=%s\nPGUSER=postgres\nPGDATABASE=%s\n"):format(
      host, port, url:match "dbname=([%w_]+)" or url:match "([%w_]+)%?" or "postgres"))
    support.run("mkdir " .. cli.quote(dir .. "/migrations"))
    assert.equal(0, (run "status"))
    assert.same({ "(libpq's own environment)", ".env: PG*" }, { shown "database" })
    assert.equal(6, (run("status", { PGHOST = "/nonexistent" })))
  end)

  it("that are times or counts are checked from everywhere, before anything runs", function()
    local message = "%s must be a number and a unit (us, ms, s, min, h or d), such as 500ms or 5s, "
      .. "not 5sec"
    local code, _, err = run("up", { PGMIG_LOCK_TIMEOUT = "5sec", DATABASE_URL = "host=/nowhere" })
    assert.equal(2, code)
    assert.matches(message:format "pgmig: PGMIG_LOCK_TIMEOUT", err, 1, true)
    code, _, err = run("up", { PGMIG_RETRIES = "1.5" })
    assert.equal(2, code)
    assert.matches("PGMIG_RETRIES must be a whole number, 0 or greater, not 1.5", err, 1, true)
    support.write(dir, ".env", "PGMIG_LOCK_TIMEOUT=5sec")
    code, _, err = run "up"
    assert.equal(2, code)
    assert.matches(message:format ".env: PGMIG_LOCK_TIMEOUT", err, 1, true)
    os.remove(dir .. "/.env")
    for text, said in pairs {
      ["lock_timeout = '5sec'"] = message:format "pgmig.conf.lua: key lock_timeout",
      ["lock_timeout = 5"] = "pgmig.conf.lua: key lock_timeout must be a string, not a number",
      ["reconnect = -1"] = "pgmig.conf.lua: key reconnect must be a number of seconds",
      ["retries = 0.5"] = "pgmig.conf.lua: key retries must be a whole number, 0 or greater, not "
        .. "0.5",
    } do
      write_config("return { " .. text .. " }")
      code, _, err = run "config"
      assert.equal(2, code)
      assert.matches(said, err, 1, true)
    end
  end)

  it("that are times may have units, and are shown with one", function()
    write_config "return { lock_wait = '5min', reconnect = 30, response_timeout = '2500ms' }"
    assert.equal("300", (shown "lock_wait"))
    assert.equal("30", (shown "reconnect"))
    assert.equal("2.5", (shown "response_timeout"))
    assert.equal("5ms", (shown("lock_timeout", "--lock-timeout 5")))
    assert.equal("1.5s", (shown("lock_timeout", nil, { PGMIG_LOCK_TIMEOUT = "1.5s" })))
    assert.equal("0", (shown("lock_timeout", "--lock-timeout 0")))
    assert.equal("90", (shown("lock_wait", "--lock-wait 90")))
  end)

  it("never show a password, or a piece of one", function()
    for url, expected in pairs {
      ["postgresql://joe:s3cret@db.example:5432/shop"] =
        "postgresql://joe:********@db.example:5432/shop",
      ["postgresql://joe@db/shop"] = "postgresql://joe@db/shop",
      ["postgresql:///shop"] = "postgresql:///shop",
      ["postgresql://joe:s3?cret@db/shop"] = "postgresql://joe:********@db/shop",
      ["postgresql://joe:s3:cr%40et@[::1]:5432,db:1/shop?application_name=a%20b"] =
        "postgresql://joe:********@[::1]:5432,db:1/shop?application_name=a%20b",
      ["postgresql://db/shop?password=s3cret"] = "postgresql://db/shop?password=********",
      ["postgresql://joe:s3cret@/shop?host=/tmp&pass%77ord=s3%26cret&sslmode=require"] =
        "postgresql://joe:********@/shop?host=/tmp&pass%77ord=********&sslmode=require",
      ["postgresql://db?ssl=true&sslpassword=s3cret&options=-cx.y%3Ds3cret"] =
        "postgresql://db?ssl=true&sslpassword=********&options=********",
      ["host=db password=s3cret user=joe"] = "host=db password=******** user=joe",
      [" host = db password='s3 cr\\'et' user='j oe' sslpassword = s3\\ cret dbname=a"] =
        "host=db password=******** user='j oe' sslpassword=******** dbname=a",
      ["password=s3cret=x"] = "password=********",
      ["host=db password="] = "host=db password=********",
      ["host='db;password=s3cret' user=joe"] = "(set, not shown)",
      ["host=db pwd=s3cret"] = "(set, not shown)",
      ["host=db password=s3 cret"] = "(set, not shown)",
      ["postgresql://joe:s3@cret@db/shop"] = "(set, not shown)",
      ["postgresql://joe:s3/cret@db/shop"] = "(set, not shown)",
      ["joe:s3cret@db/shop"] = "(set, not shown)",
      ["shop"] = "shop",
    } do
      assert.equal(expected, (shown("database", nil, { DATABASE_URL = url })))
    end
  end)

  it("refuse a config file with mistakes, naming file, line and key", function()
    for text, message in pairs {
      ["return {\n  table = \n}"] = "pgmig.conf.lua:3: ",
      ["\nerror 'no'"] = "pgmig.conf.lua:2: no",
      ["return 1"] = "must return a table",
      ["return { tabel = 'x' }"] = "unknown key tabel",
      ["return { table = 1 }"] = "key table must be a string, not a number",
      ["return { dir = { {} } }"] = "key dir must be a folder or a list of folders",
      ["dofile 'other.lua'"] = "pgmig: pgmig.conf.lua: other.lua:2: no", -- no line of this file
      ["return { hooks = { before_lunch = print } }"] = "before_lunch",
    } do
      write_config(text)
      support.write(dir, "other.lua", "\nerror 'no'")
      support.run("mkdir -p " .. cli.quote(dir .. "/migrations"))
      local code, _, err = run "create x"
      assert.equal(2, code, text)
      assert.matches(message, err, 1, true)
    end
  end)

  it("quote nothing of a config file that is no Lua: a password may stand there", function()
    for _, text in ipairs {
      'return { database = "postgresql://app:s3cret@db/x }',
      "return { database = postgresql://app:s3cret@db/x }",
      "return { password = 3cret }",
    } do
      write_config(text)
      local code, out, err = run "config"
      assert.equal(2, code)
      assert.matches("pgmig.conf.lua:1: ", err, 1, true)
      assert.not_matches("3cret", out .. err, 1, true)
    end
  end)

  it("refuse a .env that cannot be read", function()
    support.run("mkdir " .. cli.quote(dir .. "/.env"))
    local code, _, err = run "config"
    assert.equal(2, code)
    assert.matches(".env: ", err, 1, true)
  end)

  it("run no code that .env names", function()
    support.write(dir, "code.lua", "io.open('ran', 'w'):close() return {}")
    for _, variable in ipairs {
      "PGMIG_CONFIG", "PGMIG_FORMAT", "PGMIG_PG_DUMP", "PGMIG_SCRATCH_BIN",
    } do
      support.write(dir, ".env", "A=b\n" .. variable .. "=code.lua\n")
      for _, command in ipairs { "config", "status", "create x" } do
        local code, _, err = run(command)
        assert.equal(2, code)
        assert.matches((".env:2: %s names code, which"):format(variable), err, 1, true)
        assert.matches("\nHINT: .*%-%-%l", err)
      end
      assert.is_false(core.exists(dir .. "/ran"))
    end
    support.write(dir, ".env", "PGMIG_CONFIG=code.lua\nPGMIG_FORMAT=code.lua\n")
    support.write(dir, "own.lua", "return { table = 'named' }")
    assert.same({ "named", "own.lua" }, { shown("table", "--config own.lua --format pgmig") })
    assert.is_false(core.exists(dir .. "/ran"))
  end)

  it("find a config file's paths beside it, and say so where two are meant", function()
    support.run(("cd %s && mkdir -p cfg/mig cfg/more && touch cfg/f.lua"):format(cli.quote(dir)))
    support.write(dir, "cfg/pgmig.conf.lua", "return { dir = { 'mig', 'more', '/tmp' } }")
    assert.same({ "cfg/mig, cfg/more, /tmp", "cfg/pgmig.conf.lua" },
      { shown("dir", "--config cfg/pgmig.conf.lua") })
    support.run("mkdir " .. cli.quote(dir .. "/here"))
    support.write(dir, "cfg/pgmig.conf.lua", "return { dir = 'here' }")
    assert.equal("here", (shown("dir", "--config cfg/pgmig.conf.lua"))) -- as it always was
    support.write(dir, "cfg/pgmig.conf.lua", "return { dir = 'nowhere' }")
    local code, _, err = run "--config cfg/pgmig.conf.lua create x"
    assert.equal(2, code)
    assert.matches("cfg/nowhere: cannot open the migrations directory", err, 1, true)
    support.run("mkdir " .. cli.quote(dir .. "/mig"))
    support.write(dir, "cfg/pgmig.conf.lua", "return { dir = 'mig' }")
    code, _, err = run "--config cfg/pgmig.conf.lua config"
    assert.equal(2, code)
    assert.matches("cfg/pgmig.conf.lua: both cfg/mig and, in the current folder, mig exist",
      err, 1, true)
    write_config "return { dir = 'mig' }"
    assert.equal(dir .. "/mig", (shown("dir", "--config " .. dir .. "/pgmig.conf.lua")))
    assert.equal("mig", (shown "dir"))
  end)

  it("refuse a config file that is named and missing", function()
    local code, _, err = run "--config nothing.lua config"
    assert.equal(2, code)
    assert.matches("nothing.lua", err, 1, true)
    assert.equal(2, (run("config", { PGMIG_CONFIG = "nothing.lua" })))
  end)

  it("bring hooks, naming rules and a log from the config file", function()
    local project = cli.project()
    support.write(dir, "a.1.sql", "CREATE TABLE a ();")
    write_config([[
      local seen = {}
      return {
        database = "]] .. project.url .. [[", dir = ".",
        naming = {
          parse = function(path)
            local name, version = path:match "^(%a+)%.(%d+)%.sql$"
            return version and { version = version, name = name }
          end,
          format = function(version, name) return name .. "." .. version .. ".sql" end,
        },
        hooks = { before_each = { function(ctx) seen[#seen + 1] = ctx.migration.label end } },
        log = function(level, message) io.stderr:write(level, ": ", message, "\n") end,
      }]])
    local code, out, err = run "up"
    assert.equal(0, code)
    assert.matches("applied +1_a", out)
    assert.matches("info: applied 1_a", err)
    assert.matches("/?next%.002%.sql\n$", select(2, run "create next"))
    project.close()
  end)
end)

describe("pgmig", function()
  local project
  before_each(function() project = cli.project() end)
  after_each(function() project.close() end)

  it("baseline records without running", function()
    local code, out = project.run "baseline 2"
    assert.equal(0, code)
    assert.matches("recorded +001_create_a[^\n]*\nrecorded +002_create_b[^\n]*\n"
      .. "2 migrations recorded\n$", out)
    assert.equal("schema_migrations", cli.tables(project.db))
    assert.matches("003_create_c", select(2, project.run "up"))
    assert.equal("c schema_migrations", cli.tables(project.db))
    assert.equal(0, (project.run "baseline 2"))
    assert.equal(2, (project.run "baseline 99"))
    assert.equal(2, (project.run "baseline"))
  end)

  it("up --verbose writes each statement with its time", function()
    local code, out = project.run "up --verbose"
    assert.equal(0, code)
    assert.matches("001_create_a.sql:2: CREATE TABLE a %(id int%)  %(%d+ ms%)\napplied", out)
    local objects = cli.objects(select(2, project.run "down --verbose --json"))
    assert.equal("statement", objects[2].event)
    assert.equal("DROP TABLE", objects[2].kind)
    assert.equal(2, (project.run "up --verbose --quiet"))
  end)

  it("plan prints files, statements and transaction mode, and all SQL with --verbose", function()
    project.write("004_long.sql", "-- pgmig: transaction=off\nSELECT 1,\n  2;\nVACUUM;\n")
    local _, out = project.run "plan"
    assert.matches("would apply  004_long  %(transaction=off, 2 statements%)\n"
      .. "  %S+/004_long.sql:2: SELECT 1, %.%.%.\n  %S+/004_long.sql:4: VACUUM\n", out)
    _, out = project.run "plan -v"
    assert.matches("004_long.sql:2: SELECT 1,\n  2\n", out)
    assert.equal("", cli.tables(project.db))
  end)

  it("runs and plans Lua migrations", function()
    project.write("004_lua.lua", "return { up = function(db) db:exec 'CREATE TABLE l ()' end }")
    assert.matches("would apply  004_lua  %(one transaction, Lua%)", select(2, project.run "plan"))
    assert.matches("applied +004_lua", select(2, project.run "up"))
    assert.matches("cannot roll back  004_lua", select(2, project.run "down --dry-run"))
    project.write("005_bad.lua", "return { up = function(db)\n  error 'no luck'\nend }")
    local code, _, err = project.run "up"
    assert.equal(1, code)
    assert.matches("005_bad.lua:2: no luck", err, 1, true)
    assert.matches("005_bad was rolled back", err)
  end)
end)
