-- The n-th allocation fails, or the n-th call of libpq, for every n: a clean error, nothing lost,
-- no leak.
local sanitized = require "spec.robustness.sanitized"
local support = require "spec.support"

local compile, q = sanitized.compile, support.quote

--- Print how many failures were tried, and expect some.
local function report(what, count, least)
  print(("# %s: %d failures"):format(what, count))
  assert.is_true(count >= least, count .. " failures")
end

-- What failing.c makes fail.
local wrapped = { "malloc", "calloc", "realloc", "PQsetnonblocking", "PQsendQuery",
  "PQsendQueryParams", "PQenterPipelineMode", "PQexitPipelineMode", "PQpipelineSync",
  "PQsendFlushRequest", "PQflush", "PQconsumeInput", "PQputCopyData", "PQputCopyEnd",
  "PQescapeLiteral", "PQescapeIdentifier", "PQconnectPoll" }

local STATEMENTS = "SET search_path = public;\nCOPY made FROM STDIN;\n1\n\\.\n" ..
  "DO $$ BEGIN RAISE NOTICE 'n'; END $$;\n"

describe("what fails in libpgmig", function()
  local program, transactional, journaled

  setup(function()
    local dir = support.tempdir()
    program = dir .. "/failing"
    local core = "core/base/*.c core/text/*.c core/wire/*.c core/ledger/*.c core/engine/*.c"
    compile("spec/fixtures/c/failing.c " .. core, program, "-Wl,--wrap="
      .. table.concat(wrapped, " -Wl,--wrap=") .. " $(pkg-config --cflags --libs libpq libcrypto)")
    local text = "CREATE TABLE made (a int);\nSELECT '${a}';\n" .. STATEMENTS
      .. "-- DOWN\nDROP TABLE made;\n"
    transactional = support.write(dir, "001_made.sql", "-- pgmig: lock_timeout=2s\n-- UP\n" .. text)
    journaled = support.write(dir, "002_made.sql", "-- pgmig: transaction=off\n-- UP\n" .. text)
  end)

  --- How many failures were tried.
  local function tried(arguments)
    local code, out, err = support.run(program .. " " .. arguments)
    assert.same({ 0, "" }, { code, err })
    return tonumber(out)
  end

  it("an allocation while parsing is an error, whichever it is", function()
    report("parsing",
      tried "parse migrations/*.sql fuzz/corpus/*.sql spec/fixtures/split/*.sql", 300)
  end)

  for what, least in pairs { memory = 50, calls = 50, cut = 50 } do
    it(what .. " in a run leaves the database consistent, whichever it is", function()
      local n = tried(("%s %s %s"):format(what, q(support.database()), transactional))
      report("a run, " .. what, n, least)
    end)

    it(what .. " without a transaction leaves the journal right, whichever it is", function()
      local n = tried(("%s %s %s"):format(what, q(support.database()), journaled))
      report("a run with transaction=off, " .. what, n, least)
    end)
  end

  it("would be found out if it left the database inconsistent", function()
    local path = support.write(support.tempdir(), "001_made.sql",
      "-- UP\nCREATE TABLE made (a int);\nDROP TABLE made;\n-- DOWN\nDROP TABLE made;\n")
    local code, _, err = support.run(
      ("%s memory %s %s"):format(program, q(support.database()), path))
    assert.equal(3, code)
    assert.matches("disagree", err) -- the table is not there, its row is
  end)
end)

describe("an allocation that fails in Lua", function()
  it("raises, loses nothing, and the database stays consistent", function()
    local program, dir = support.tempdir() .. "/lua_alloc", support.tempdir()
    compile("spec/fixtures/c/lua_alloc.c", program, "-Wl,-E $(pkg-config --cflags --libs lua5.4)")
    support.write(dir, "001_a.sql", "-- UP\nCREATE TABLE a (n int);\nINSERT INTO a VALUES (1);\n" ..
      "-- DOWN\nDROP TABLE a;\n")
    support.write(dir, "002_b.lua", "return { up = function(db) db:exec 'CREATE TABLE b ()' end,\n"
      .. "  down = function(db) db:exec 'DROP TABLE b' end }")
    local url = support.database()
    local script = support.write(support.tempdir(), "run.lua", ([[
      local pgmig = require "pgmig"
      local db = pgmig.connect(%q)
      local check = pgmig.connect(%q)
      check:exec [=[DROP TABLE IF EXISTS schema_migrations, schema_migrations_history,
        schema_migrations_journal, a, b]=]
      for _, name in ipairs { "files.lua_file", "files.lua_glance", "run.door", "run.identity",
        "run.syntax", "state.placement" } do
        require("pgmig." .. name) -- what a run loads when it needs it
      end
      pgmig.migrator(nil, %q)
      arm()
      local ok, err = pcall(function()
        local migrator = pgmig.migrator(db, %q)
        migrator:on("before_each", function() end)
        migrator:migrate()
        migrator:rollback(2)
      end)
      db:close()
      if check:query("SELECT to_regclass('schema_migrations') IS NOT NULL AS t")[1].t then
        local row = check:query [=[SELECT to_regclass('a') IS NOT NULL AS a,
          to_regclass('b') IS NOT NULL AS b,
          EXISTS (SELECT FROM schema_migrations WHERE version = 1) AS ra,
          EXISTS (SELECT FROM schema_migrations WHERE version = 2) AS rb]=][1]
        if row.a ~= row.ra or row.b ~= row.rb then os.exit(9) end
      end
      check:close()
      if not ok then error(err, 0) end
    ]]):format(url, url, dir, dir))
    local code, out, err = support.run(
      ("LUA_PATH=%s LUA_CPATH=%s ASAN_OPTIONS=detect_leaks=0 %s %s 1 100000"):format(
        q(package.path), q "build/lua5.4/?.so", program, script))
    assert.same({ 0, "" }, { code, err })
    report("Lua", tonumber(out), 300)
  end)
end)

-- What gives Lua something that the core has made: each call may fail at each of its allocations.
local CALLS = [[
  local core = require "pgmig.core"
  local conn = core.open({ "dbname" }, { %q })
  local function run()
    local want = conn:step()
    while want do core.wait_fd(conn:fd(), want, 5) want = conn:step() end
  end
  run()
  conn:finish()
  conn:send "DO $$ BEGIN RAISE NOTICE 'first'; RAISE NOTICE 'second' USING HINT = 'h'; END $$;"
  run()
  conn:finish()
  conn:send "SELECT 1 AS a, 'text' AS b, true AS c, NULL AS d"
  run()
  conn:finish()
  local ledger = core.ledger "t"
  local script = core.parse_script("CREATE INDEX i ON t (a);\n", "001_x.sql")
  local jobs = { {
    script = core.parse_script("SELECT 1;", "2_a.sql"), direction = "up", section = "up",
    owner = "o", entry = { name = "a", version = "2" }, session = { reset = { "SET a.b = 1" } },
  } }
  local kept = core.ledger "kept"
  for _, operation in ipairs { "probe", "prepare", "probe" } do
    kept:start(conn, operation)
    run()
    kept:finish(conn)
  end
  arm()
  for _, call in ipairs {
    function() core.hosts({ "host", "user" }, { "h", "u" }) end,
    function() core.connection_parameters "host=h password=p" end,
    function() conn:notice() end, function() conn:notice() end,
    function() conn:rows() end, function() conn:columns() end, function() conn:tag() end,
    function() conn:quote_literal "it's" end, function() conn:quote_ident 'a"b' end,
    function() conn:peer() end, function() conn:sent() end, function() conn:session_tag() end,
    function() core.objection "'{}'" end, function() core.refuse "kthat" end,
    function() core.readable("a\255b", "x") end, function() core.visible "a\27b" end,
    function() core.list "spec/fixtures" end, function() core.read_file(%q, 100) end,
    function() core.ledger "other" end, function() ledger:qualified() end,
    function() core.parse_script("SELECT 1;", "002_y.sql") end,
    function() core.read_script(%q) end,
    function() script:describe() end, function() script:statement("up", 1) end,
    function() core.open({ "dbname" }, { %q }) end,
    function() conn:ask("1 n:int", "SELECT 1 AS n") run() conn:finish() conn:rows() end,
    function() ledger:start(conn, "probe") run() ledger:finish(conn) end,
    function() kept:record(conn, "none", { name = "a", event = "up" }) run() kept:finish(conn) end,
    function()
      local apply = core.apply(conn, kept, jobs)
      run()
      apply:progress()
      apply:transaction_id()
      apply:finish()
    end,
    function() core.listing(conn, kept, jobs) end,
    function() kept:text(conn, "prepare") end,
    function() conn:send "SELECT no" run() conn:finish() end,
  } do pcall(call) end
  conn:close()
]]

describe("a function of the binding", function()
  it("loses nothing when Lua has no memory for what it gives, at any moment", function()
    local program, url = support.tempdir() .. "/lua_alloc", support.database()
    compile("-DWITH_CORE spec/fixtures/c/lua_alloc.c " .. sanitized.core, program,
      "$(pkg-config --cflags --libs lua5.4 libpq libcrypto) -lm -lpthread")
    local file = support.write(support.tempdir(), "001_a.sql", "SELECT 1;\n")
    local script = support.write(support.tempdir(), "calls.lua",
      CALLS:format(url, file, file, url))
    local code, out, err = support.run(("ASAN_OPTIONS=detect_leaks=1 %s %s 1 100000")
      :format(program, script))
    assert.same({ 0, "" }, { code, err:sub(1, 3000) })
    report("the binding", tonumber(out), 100)
  end)
end)
