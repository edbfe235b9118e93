-- The program as a process: its streams, its signals, what it leaves to others.
local cli = require "spec.cli.helper"
local pgmig = require "pgmig"
local support = require "spec.support"


-- Runs a command with a pipe that does not block as its standard output and error, reads it only
-- once the writer has filled it, and prints what came, and the exit code.
local SLOW_READER = [[perl -e '
  use Fcntl; pipe(R, W); fcntl(W, F_SETFL, O_WRONLY | O_NONBLOCK);
  $pid = fork; if (!$pid) { open(STDOUT, ">&W"); open(STDERR, ">&W"); close R; close W; exec @ARGV }
  for (1 .. 100) { select undef, undef, undef, 0.02;
    open S, "/proc/$pid/stat"; $s = <S>; last if $s =~ /\) Z /;
    vec($w, fileno(W), 1) = 1; last unless select undef, $v = $w, undef, 0 }
  close W; print while <R>; waitpid $pid, 0; print "code ", $? >> 8, "\n"' ]]

describe("the program", function()
  local project
  before_each(function() project = cli.project() end)
  after_each(function() project.close() end)

  local function command(words, env) return cli.command(project.words(words), project.env(env)) end

  --- More output than a pipe holds.
  local function many()
    for i = 101, 800 do
      project.write(i .. "_" .. ("long_"):rep(30) .. "name.sql", "SELECT 1;")
    end
  end

  for _, closed in ipairs { "<&-", ">&-", "2>&-", "<&- >&- 2>&-" } do
    it("keeps the database's connection apart from output, started with " .. closed, function()
      project.write("004_notice.sql", "DO $$ BEGIN RAISE NOTICE 'n'; END $$;")
      local before = select(2, support.read(support.server().log):gsub("invalid", ""))
      local code, out, err = support.run(command("up " .. closed))
      assert.same({ 0, closed:find "2" and "" or err }, { code, err })
      assert.equal(closed:find "[^2]>" and "" or out, out)
      assert.equal("a b c schema_migrations", cli.tables(project.db))
      assert.equal(before, select(2, support.read(support.server().log):gsub("invalid", "")))
    end)
  end

  it("writes everything where a write does not block, and a run does not fail of it", function()
    many()
    for _, words in ipairs { "--json up", "status", "--json status", "plan" } do
      local quoted = "sh -c " .. cli.quote("exec " .. command(words))
      local _, out = support.run(SLOW_READER .. quoted)
      local whole, code = out:match "^(.*)code (%d+)\n$"
      assert.equal("0", code)
      whole = cli.without_place(whole)
      if words:find "json" then cli.objects(whole) end
      if words == "status" then assert.equal(whole, select(2, support.run(command(words)))) end
    end
  end)

  it("finishes a run whose reader goes away, and has not failed", function()
    many()
    local _, out = support.run("set -o pipefail; " .. command "--json up" .. " | head -1; echo $?")
    assert.matches("\n0\n$", out)
    assert.equal(703, project.db:query("SELECT count(*) AS n FROM schema_migrations")[1].n)
    local code, _, err = cli.run_command("set -o pipefail; " .. command "status" .. " | head -1")
    assert.same({ 0, "" }, { code, err })
  end)

  --- Wait until the program waits for the advisory lock 48.
  local function waits()
    support.wait(function()
      return project.db:query([[SELECT 1 FROM pg_locks l JOIN pg_database d
        ON d.oid = l.database AND d.datname = current_database()
        WHERE l.objid = 48 AND NOT l.granted]])[1]
    end, "the wait for the lock")
  end

  --- The signals that a process ignores, as the last of their hexadecimal digits.
  local function ignored(pid)
    return support.read(("/proc/%d/status"):format(pid)):match "SigIgn:%s*%x-(%x%x%x%x)\n"
  end

  it("leaves signals that were ignored at its start alone", function()
    project.write("004_wait.sql", "SELECT pg_advisory_xact_lock(48);")
    project.db:exec "SELECT pg_advisory_lock(48)"
    local started = cli.start(project.words "up", project.env(), "trap '' TERM;")
    waits()
    assert.matches("^[4-7c-f]", ignored(started:pid()))
    started:kill "TERM"
    project.db:exec "SELECT pg_advisory_unlock(48)"
    assert.equal(0, started:code())
  end)

  it("leaves SIGINT ignored, which Lua itself would handle", function()
    project.write("004_wait.sql", "SELECT pg_advisory_xact_lock(48);")
    project.db:exec "SELECT pg_advisory_lock(48)"
    local started = cli.start(project.words "up", project.env(), "trap '' INT;",
      cli.file)
    waits()
    assert.matches("[2367abef]$", ignored(started:pid()))
    started:kill "INT"
    project.db:exec "SELECT pg_advisory_unlock(48)"
    assert.equal(0, started:code())
    assert.matches("applied +004_wait", started:out())
  end)

  --- Run with a piece of Lua that runs first, in the same process.
  local function run_behind(code, words)
    return cli.run(words, { LUA_INIT = code, DATABASE_URL = "host=/nowhere" })
  end

  local interrupt = "local pipe = io.popen 'kill -INT $PPID'; pipe:close()"

  it("ends with 130 when SIGINT comes before its own handler is there", function()
    if cli.executable then pending "an executable has it before anything else" end
    for _, words in ipairs { "status", "config", "--help" } do
      local code, out, err = run_behind(("local open = io.open; function io.open(...) %s "
        .. "return open(...) end"):format(interrupt), words)
      assert.same({ 130, "", "pgmig: interrupted by SIGINT\n" }, { code, out, err })
    end
  end)

  it("ends with 130 when SIGINT comes while it is starting", function()
    for _, words in ipairs { "status", "config", "create x" } do
      local code, out, err = run_behind(("local before = require; function require(name) "
        .. "if name == 'argparse' then %s end return before(name) end"):format(interrupt), words)
      assert.same({ 130, "", "pgmig: interrupted by SIGINT\n" }, { code, out, err })
    end
  end)
end)

describe("a failure whose text is no UTF-8", function()
  local project
  before_each(function() project = cli.project() end)
  after_each(function() project.close() end)

  it("is in the history and in JSON all the same", function()
    project.write("004_bytes.lua",
      "return { up = function() error('caf\\233 \\240\\159 ok', 0) end }")
    local code, out = project.run "up --json"
    assert.equal(1, code)
    local objects = cli.objects(out)
    assert.equal("caf\\xe9 \\xf0\\x9f ok", objects[#objects].message)
    for _, words in ipairs { "history --json", "status --json", "doctor --json" } do
      _, out = project.run(words)
      assert.matches("caf\\\\xe9 \\\\xf0\\\\x9f ok", out, 1, true)
      cli.objects(out)
    end
  end)

  it("or of characters that the database does not have, is in the history", function()
    project.db:exec [[CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'
      TEMPLATE template0]]
    finally(function() project.db:exec "DROP DATABASE latin" end)
    project.write("004_euro.lua", "return { up = function() error('5 € é', 0) end }")
    local url = support.server():url "latin"
    assert.equal(1, (project.run("up", { DATABASE_URL = url })))
    local db = pgmig.connect(url)
    local rows = db:query "SELECT event, message FROM schema_migrations_history ORDER BY id DESC"
    db:close()
    assert.same({ "failed", "5 ? ?" }, { rows[1].event, rows[1].message })
  end)
end)
