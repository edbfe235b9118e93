local cli = require "spec.cli.helper"
local core = require "pgmig.core"
local pgbouncer = require "spec.faults.pgbouncer"
local pgmig = require "pgmig"
local support = require "spec.support"

describe("a connection", function()
  local url, db

  before_each(function()
    url = support.database()
    db = pgmig.connect(url)
  end)

  after_each(function() db:close() end)

  local function fails(fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok)
    assert.is_true(pgmig.is_error(err), tostring(err))
    return err
  end

  describe("queried", function()
    it("returns rows with Lua's own values where they are exact", function()
      local row = db:query([[SELECT true AS yes, false AS no, 7::int2 AS small, -8 AS int,
        9007199254740992 AS edge, 9007199254740993 AS above, -9007199254740993 AS below,
        1.5::float8 AS float, 1.50::numeric AS exact, NULL AS nothing, 'ü' AS text,
        '{"a":1}'::json AS json, '2024-01-15'::date AS day]])[1]
      assert.same({ yes = true, no = false, small = 7, int = -8, edge = 9007199254740992,
        above = "9007199254740993", below = "-9007199254740993", float = 1.5, exact = "1.50",
        text = "ü", json = '{"a":1}', day = "2024-01-15" }, row)
    end)

    it("takes parameters, nil and booleans too", function()
      local row = db:query(
        "SELECT $1::int + 1 AS a, $2::text AS b, $3::bool AS c, $4::text IS NULL AS d",
        41, "x'y", true, nil)[1]
      assert.same({ a = 42, b = "x'y", c = true, d = true }, row)
    end)

    it("returns no rows for a statement without any", function()
      assert.same({}, db:query "CREATE TABLE t (a int)")
      assert.same({}, db:query "SELECT 1 WHERE false")
    end)

    it("refuses SQL and parameters with a NUL byte", function()
      assert.equal("usage", fails(db.query, db, "SELECT 1;\0 DROP TABLE x").kind)
      assert.is_false(pcall(db.query, db, "SELECT $1", "a\0b"))
      assert.is_false(pcall(db.quote_literal, db, "a\0b"))
    end)

    it("raises what the server says and stays usable", function()
      local err = fails(db.query, db, "SELECT 1/0")
      assert.equal("22012", err.sqlstate)
      assert.equal("sql", err.kind)
      assert.equal(1, db:query("SELECT 1 AS one")[1].one)
    end)
  end)

  it("runs scripts of several statements", function()
    assert.equal("INSERT 0 2", db:exec "CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2)")
  end)

  it("quotes literals and names", function()
    assert.equal([[ E'a''b\\c']], db:quote_literal "a'b\\c")
    assert.equal('"a""b"', db:quote_ident 'a"b')
  end)

  it("hands notices to a handler", function()
    local seen
    db:on_notice(function(notice) seen = notice end)
    db:exec "DO $$ BEGIN RAISE WARNING 'careful' USING HINT = 'h'; END $$"
    assert.equal("WARNING", seen.severity)
    assert.equal("careful", seen.message)
    assert.equal("h", seen.hint)
  end)

  describe("in a transaction", function()
    it("commits what the function did and returns its results", function()
      local function pack(...) return { n = select("#", ...), ... } end
      local results = pack(db:transaction(function(tx)
        tx:exec "CREATE TABLE t ()"
        return nil, nil, 3, nil
      end))
      assert.same({ n = 4, [3] = 3 }, results)
      assert.equal("t", db:query("SELECT to_regclass('t')::text AS t")[1].t)
    end)

    it("rolls back when it raises, and raises the same", function()
      local ok, err = pcall(db.transaction, db, function(tx)
        tx:exec "CREATE TABLE t ()"
        error("stop", 0)
      end)
      assert.same({ false, "stop" }, { ok, err })
      assert.is_nil(db:query("SELECT to_regclass('t')::text AS t")[1].t)
    end)

    it("does not report success when a failed statement was passed over", function()
      local err = fails(db.transaction, db, function(tx) pcall(tx.query, tx, "SELECT 1/0") end)
      assert.matches("rolled back", err.message)
    end)

    it("refuses to begin a second one", function()
      assert.equal("usage", fails(db.transaction, db, function(tx)
        tx:transaction(function() end)
      end).kind)
    end)
  end)

  describe("copying", function()
    before_each(function() db:exec "CREATE TABLE t (a int)" end)

    it("takes a string or a function's pieces, and counts", function()
      assert.equal(2, db:copy("COPY t FROM STDIN", "1\n2\n"))
      local left = 1000
      assert.equal(1000, db:copy("COPY t FROM STDIN", function()
        left = left - 1
        if left >= 0 then return left .. "\n" end
      end))
    end)

    it("gives data as a string, or to a function", function()
      db:copy("COPY t FROM STDIN", "1\n2\n")
      assert.equal("1\n2\n", db:copy "COPY t TO STDOUT")
      local pieces = {}
      db:copy("COPY (SELECT generate_series(1, 200000)) TO STDOUT",
        function(piece) pieces[#pieces + 1] = piece end)
      assert.equal(1288895, #table.concat(pieces))
      assert.is_true(#pieces > 1)
    end)

    it("is refused by query and exec, which stay usable", function()
      for _, sql in ipairs { "COPY t FROM STDIN", "COPY t TO STDOUT; SELECT 1",
        "COPY (SELECT generate_series(1, 200000)) TO STDOUT" } do
        for _, method in ipairs { "query", "exec" } do
          if method == "exec" or not sql:find ";" then
            assert.matches("db:copy", fails(db[method], db, sql).message)
            assert.equal(1, db:query("SELECT 1 AS one")[1].one)
          end
        end
      end
    end)

    it("fails without data, with wrong data, and with a source that raises", function()
      assert.equal("usage", fails(db.copy, db, "COPY t FROM STDIN").kind)
      assert.equal("22P02", fails(db.copy, db, "COPY t FROM STDIN", "x\n").sqlstate)
      local ok, err = pcall(db.copy, db, "COPY t FROM STDIN", function() error("dry", 0) end)
      assert.same({ false, "dry" }, { ok, err })
      assert.equal(0, db:query("SELECT count(*) AS n FROM t")[1].n)
    end)
  end)

  describe("that cannot be made", function()
    it("names what libpq says, as kind connect", function()
      local err = fails(pgmig.connect, "host=/nonexistent dbname=x")
      assert.equal("connect", err.kind)
      assert.matches("No such file", err.message)
    end)

    it("names every host that was tried", function()
      local err = fails(pgmig.connect, "host=/nonexistent,/nowhere")
      assert.matches("/nonexistent", err.message)
      assert.matches("/nowhere", err.detail)
    end)

    it("names an unknown database", function()
      local err = fails(pgmig.connect, { url = url, dbname = nil, options = "-c nix.nix" })
      assert.equal("connect", err.kind)
    end)

    it("because a pooler passes a parameter not on says what to do", function()
      local pool = pgbouncer.start(2)
      finally(function() pool.stop() end)
      local err = fails(pgmig.connect,
        { url = pool.url "postgres", options = "-c search_path=app" })
      assert.equal("connect", err.kind)
      assert.matches("unsupported startup parameter", err.message)
      assert.matches("ignore_startup_parameters = options", err.hint, 1, true)
    end)

    it("for a name that is not there, a password or the host, says where it comes from", function()
      local hint = fails(pgmig.connect, { url = url, dbname = "nowhere" }).hint
      assert.matches("createdb.*PGDATABASE", hint)
      assert.matches("createuser.*PGUSER", fails(pgmig.connect, { url = url, user = "none" }).hint)
      if os.getenv "PGHOST" then return end
      local path = os.getenv "DATABASE_URL"
      hint = fails(pgmig.connect, { dbname = path and "port=1" or nil, port = 1, user = "a" }).hint
      assert.matches("no host is set.*PGHOST", hint)
    end)

    it("of a system user without a name asks for the database user's", function()
      if support.run "setpriv --reuid=12345 true" ~= 0 then return pending "needs root" end
      local _, _, err = support.run(cli.command("-d host=/nowhere --dir / status", nil,
        "setpriv --reuid=12345 " .. cli.program))
      assert.matches("local user with ID 12345 does not exist\nHINT: .*user=.*PGUSER", err)
    end)

    it("never repeats a piece of a connection string that it cannot read", function()
      for _, secret in ipairs {
        "postgresql://joe:s3cr%zzet@localhost/db", "postgresql://joe:s3cr@et@localhost/db",
        "postgresql://joe:s3cr/et@localhost/db", "postgre://joe:s3cret@localhost/db",
        "postgresql://joe:a?b@s3cret@localhost/db", "host=localhost password=s3cr et",
        "postgresql://joe:s3cret@localhost:port/db?s3cret",
      } do
        local err = fails(pgmig.connect, secret)
        assert.equal("usage", err.kind)
        assert.is_nil(tostring(err):find("s3c", 1, true), tostring(err))
        assert.is_nil(tostring(err):find("et@", 1, true))
      end
    end)

    --- What a server answers that has no connection left for a role, in German.
    local FULL = [[S FATAL|V FATAL|C 53300|M zu viele Verbindungen von Rolle »poor«|F miscinit.c|]]
      .. "L 781|R InitializeSessionUserId|"

    local listeners = {} -- those of a spec; a collected pipe would wait for its process to end

    after_each(function()
      for pid, listener in pairs(listeners) do
        support.run("kill " .. pid)
        listener:close()
      end
      listeners = {}
    end)

    --- Start a server in Perl whose first line of output is its pid; it ends with the spec.
    local function listen(program)
      local listener = io.popen("exec perl -MIO::Socket::UNIX -e " .. program)
      listeners[assert(listener:read "*n")] = listener
    end

    --- A server that refuses each connection with these fields, for 20 seconds at most.
    local function refusing_server(fields)
      local socket_dir = support.tempdir()
      listen(("'$f = shift; $f =~ s/(^|\\|)(\\w) /$1$2/g; $f =~ tr/|/\\0/; alarm 20; " ..
        "$s = IO::Socket::UNIX->new(Local => \"%s\", Listen => 5); print \"$$\\n\"; " ..
        "close STDOUT; while ($c = $s->accept) { sysread $c, $b, 9999; " ..
        "syswrite $c, \"E\" . pack(\"N\", 5 + length $f) . $f . \"\\0\"; close $c }' %s")
        :format(socket_dir .. "/.s.PGSQL.5432", support.quote(fields)))
      return socket_dir
    end

    it("for want of connections has a code, in any language, and says no more", function()
      pgmig.connect(url):exec "CREATE ROLE poor LOGIN CONNECTION LIMIT 0"
      finally(function() db:exec "DROP ROLE poor" end)
      local err = fails(pgmig.connect, { url = url, user = "poor" })
      assert.equal("too_many_connections", err.code)
      assert.matches('FATAL:  too many connections for role "poor"$', err.message)
      assert.is_nil(err.detail)
      local full = refusing_server(FULL)
      err = fails(pgmig.connect, "host=/nowhere," .. full)
      assert.equal("too_many_connections", err.code)
      assert.matches("/nowhere", err.message)
      assert.matches("FATAL:  zu viele Verbindungen von Rolle »poor«$", err.detail)
      assert.is_nil(tostring(err):find "53300")
      assert.is_nil(tostring(err):find "miscinit")
      err = fails(pgmig.connect, "host=" .. refusing_server(FULL:gsub("53300", "3D000")))
      assert.equal("no_database", err.code)
      assert.matches("createdb", err.hint)
      err = fails(pgmig.connect, "host=" .. refusing_server(
        "S FATAL|V FATAL|C 3D000|M no such database: a|"))
      assert.matches("pgbouncer.ini", err.hint)
      err = fails(pgmig.connect, { url = url, user = "nobody at all" })
      assert.is_nil(err.code)
      assert.matches('FATAL:  role "nobody at all" does not exist$', err.message)
    end)

    --- A server that accepts connections and says nothing, for 20 seconds at most.
    local function silent_server()
      local socket_dir = support.tempdir()
      listen(("'$s = IO::Socket::UNIX->new(Local => \"%s\", Listen => 1); print \"$$\\n\"; " ..
        "close STDOUT; sleep 20'"):format(socket_dir .. "/.s.PGSQL.5432"))
      return socket_dir
    end

    it("ends at connect_timeout when nobody answers", function()
      local socket_dir = silent_server()
      local err = fails(pgmig.connect, { host = socket_dir, connect_timeout = 0.2 })
      assert.equal("connect", err.kind)
      assert.matches("in time", err.message)
      err = fails(pgmig.connect, ("host=%s connect_timeout=1"):format(socket_dir))
      assert.matches("in time", err.message)
    end)

    it("ends at once when a signal comes", function()
      local socket_dir = silent_server()
      local code, out = support.run("exec env " .. support.lua_command(([[
        local core = require "pgmig.core"
        core.interrupt_on_signals()
        local killer = io.popen "sleep 1; kill -INT $PPID" -- while os.execute waits, none comes
        local ok, err = pcall(require("pgmig").connect, "host=%s")
        killer:close()
        io.write(tostring(ok), " ", err.kind, " ", err.signal)
      ]]):format(socket_dir)))
      assert.equal("false interrupted 2", out)
      assert.is_number(code)
    end)

    it("takes a URL or a table, nothing else", function()
      assert.equal("usage", fails(pgmig.connect, 7).kind)
    end)
  end)

  it("is closed once, and says so afterwards", function()
    db:close()
    db:close()
    assert.matches("closed", fails(db.query, db, "SELECT 1").message)
  end)

  it("that was lost says so, and what ran is rolled back", function()
    local other = pgmig.connect(url)
    local dir = support.tempdir()
    support.write(dir, "001_suicide.sql",
      "CREATE TABLE t ();\nSELECT pg_terminate_backend(pg_backend_pid());\n")
    local migrator = pgmig.migrator(db, dir)
    local err = fails(migrator.migrate, migrator)
    assert.equal("connect", err.kind)
    assert.equal("001_suicide", err.migration)
    assert.is_nil(tostring(err):find("invalid socket", 1, true))
    assert.is_nil(other:query("SELECT to_regclass('t')::text AS t")[1].t)
    assert.equal("connect", fails(db.query, db, "SELECT 1").kind)
    other:close()
  end)

  it("names its application, unless told otherwise", function()
    assert.equal("pgmig", db:query("SHOW application_name")[1].application_name)
    local other = pgmig.connect { url = url, application_name = "deploy" }
    assert.equal("deploy", other:query("SHOW application_name")[1].application_name)
    other:close()
  end)

  it("waits with any driver, many at once in one thread", function()
    local scheduled, finished = {}, 0
    for i = 1, 3 do
      scheduled[i] = { thread = coroutine.create(function()
        local own = pgmig.connect { url = url, wait = pgmig.drivers.coroutine }
        own:query "SELECT pg_sleep(0.1)"
        finished = finished + 1
        own:close()
      end) }
    end
    local live = 3
    for _ = 1, 10000 do
      local fds, wants = {}, {}
      for _, task in ipairs(scheduled) do
        if coroutine.status(task.thread) ~= "dead" then
          local ok, handle, want = coroutine.resume(task.thread)
          assert.is_true(ok, tostring(handle))
          if handle then fds[#fds + 1], wants[#wants + 1] = handle:fd(), want end
        end
      end
      live = #fds
      if live == 0 then break end
      core.poll(fds, wants, 0.05)
    end
    assert.equal(0, live)
    assert.equal(3, finished)
  end)

  it("refuses a second operation while one is under way", function()
    db.handle:send "SELECT 1"
    assert.equal("the connection is busy with another operation",
      fails(db.query, db, "SELECT 2").message)
    db:run()
    db:finish()
    assert.equal(2, db:query("SELECT 2 AS n")[1].n)
  end)
end)
