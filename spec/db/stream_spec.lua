-- Files that are too large to be held: read in pieces, checked first, then read again while they
-- run. Nobody may notice, but for the memory.
local pgmig = require "pgmig"
local core = require "pgmig.core"
local support = require "spec.support"

local LARGE = 1100000 -- bytes; from 1 MiB on a file is streamed

describe("a large file", function()
  local url, db, dir

  before_each(function()
    url, dir = support.database(), support.tempdir()
    db = pgmig.connect(url)
    db:exec "CREATE TABLE t (n int, s text)"
  end)

  after_each(function() db:close() end)

  --- Lines that make a file large: comments and statements, some over several lines.
  local function filler(first)
    local lines, size, n = {}, 0, first or 0
    while size < LARGE do
      n = n + 1
      local line = n % 50 == 0 and ("-- %d: a comment; with 'quotes"):format(n)
        or ("INSERT INTO t VALUES (%d,\n  '%s');"):format(n, ("é%d "):format(n):rep(20))
      lines[#lines + 1], size = line, size + #line
    end
    return table.concat(lines, "\n") .. "\n", n
  end

  local function write(text) return support.write(dir, "001_large.sql", text) end
  local function migrate(options) return pgmig.migrator(db, dir, options):migrate() end

  local function fails(options)
    local ok, err = pcall(migrate, options)
    assert.is_false(ok)
    return err
  end

  local function value(sql) return db:query(sql)[1].v end
  local function count() return value "SELECT count(*) AS v FROM t" end

  local function line_of(text, word)
    local before = text:sub(1, (text:find(word, 1, true)))
    return select(2, before:gsub("\n", "")) + 1
  end

  it("is not held, and has the checksum of its bytes", function()
    local text = "-- UP\n" .. filler() .. "-- DOWN\nTRUNCATE t;\n"
    local path = write(text)
    local script = core.read_script(path, nil, true)
    assert.is_true(script:streamed())
    assert.equal(core.checksum(text), script:checksum())
    assert.equal(core.checksum(text), core.file_checksum(path))
    local crlf = "\239\187\191" .. text:gsub("\n", "\r\n")
    assert.equal(core.checksum(text), core.read_script(write(crlf), nil, true):checksum())
    assert.equal(core.checksum(text), core.file_checksum(path))
  end)

  it("goes up and down as one that is held", function()
    local text = "-- UP\n" .. filler() .. "-- DOWN\nDELETE FROM t;\n" .. filler()
      .. "DELETE FROM t;\nINSERT INTO t VALUES (-1);\n"
    write(text)
    migrate()
    local sums = "SELECT count(*) || ' ' || sum(n) || ' ' || md5(string_agg(s, '' ORDER BY n)) "
      .. "AS v FROM t"
    local streamed = value(sums)
    pgmig.migrator(db, dir):rollback()
    assert.equal(1, count())
    db:exec "TRUNCATE t"
    migrate { pipeline = false } -- held
    assert.equal(streamed, value(sums))
  end)

  --- The events of the history and their checksums.
  local function recorded()
    local events = {}
    for _, event in ipairs(pgmig.migrator(db, dir):history()) do
      events[#events + 1] = event.event .. " " .. tostring(event.checksum)
    end
    return events
  end

  it("is recorded with the checksum of what has run, both ways, and of what failed", function()
    local text = "-- UP\r\n" .. filler() .. "-- DOWN\r\nDELETE FROM t;\r\n"
    local broken = "-- UP\n" .. filler() .. "SELECT nowhere;\n"
    write(broken)
    fails()
    write(text)
    migrate()
    assert.equal("applied", pgmig.migrator(db, dir):applied()[1].state)
    pgmig.migrator(db, dir):rollback()
    assert.same({ "failed " .. core.checksum(broken), "up " .. core.checksum(text),
      "down " .. core.checksum(text) }, recorded())
  end)

  it("is not read once more for its checksum, which is that of what has run", function()
    support.needs(pending, 11, "what pgmig needs for pipelines")
    local source = require "pgmig.files.source"
    local checksum = source.checksum
    finally(function() source.checksum = checksum end)
    source.checksum = function() error "the file was read for its checksum" end
    local text = "-- UP\n" .. filler()
    write(text)
    migrate()
    assert.same({ "up " .. core.checksum(text) }, recorded())
  end)

  it("that is gone when it runs leaves its failure in the history, without a checksum", function()
    support.needs(pending, 11, "what pgmig needs for pipelines")
    local path = write("-- UP\n" .. filler())
    fails { hooks = { before_all = function() os.remove(path) end } }
    assert.same({ "failed nil" }, recorded())
  end)

  it("says where an error is, also far behind what was read since", function()
    local text = "-- UP\n" .. filler() .. "INSERT INTO t\n  VALUES ('é', nowhere); -- here\n"
      .. filler(100000)
    write(text)
    local err = fails()
    assert.same({ "sql", line_of(text, "nowhere"), 16, "  VALUES ('é', nowhere); -- here" },
      { err.kind, err.line, err.column, err.text })
    assert.matches("^INSERT INTO t\n", err.statement)
    assert.equal(0, count())
    assert.equal(fails({ pipeline = false }).line, err.line)
  end)

  it("says where an error in COPY data is, and in a body", function()
    local rows = {}
    for i = 1, 100000 do rows[i] = i .. "\tsome text for a row" end
    rows[70000] = "x\tthis is no number"
    local text = "-- UP\nCOPY t FROM STDIN;\n" .. table.concat(rows, "\n") .. "\n\\.\n"
    write(text)
    local err = fails()
    assert.same({ "22P02", line_of(text, "this is no number"), rows[70000] },
      { err.sqlstate, err.line, err.text })
    text = "-- UP\n" .. filler() .. "DO $$\nBEGIN\n  PERFORM 1;\n  PERFORM 1/0; -- there\nEND $$;\n"
    write(text)
    assert.equal(line_of(text, "-- there"), fails().line)
  end)

  it("may have COPY data of any length", function()
    local rows = {}
    for i = 1, 150000 do rows[i] = i .. "\tsome text for a row" end
    write("COPY t FROM STDIN; -- the data\n" .. table.concat(rows, "\r\n") .. "\r\n\\.\r\n"
      .. "COPY t FROM STDIN;\n\\.\nINSERT INTO t VALUES (0, 'last');\n"
      .. "COPY t FROM STDIN;\n7\tx\n\\.")
    migrate()
    assert.equal(150002, count())
    assert.equal(150000 * 150001 / 2 + 7, value "SELECT sum(n) AS v FROM t")
  end)

  it("feeds COPY data whenever the server takes some", function()
    local file = assert(io.open(dir .. "/001_large.sql", "wb"))
    file:write "COPY t FROM STDIN;\n"
    local row = "1\tsome text for a row\n"
    for _ = 1, 100 do file:write(row:rep(30000)) end
    file:write "\\.\n"
    file:close()
    local waits, deaf = 0, 0 -- deaf: the data was not all sent, and nobody would tell to go on
    local feeding
    feeding = pgmig.connect { url = url, wait = function(handle, want, deadline)
      local bytes, size
      if feeding and feeding.applying then bytes, size = feeding.applying:progress() end
      if bytes and bytes > 100 and bytes < size - 1000000 then
        waits = waits + 1
        if not want:find "w" then deaf = deaf + 1 end
      end
      core.wait_fd(handle:fd(), want, deadline and deadline - core.now())
    end }
    pgmig.migrator(feeding, dir):migrate()
    feeding:close()
    assert.equal(3000000, count())
    assert.is_true(waits > 10)
    assert.equal(0, deaf)
  end)

  it("may be one statement", function()
    write("INSERT INTO t VALUES (1, '" .. ("long text; "):rep(300000) .. "');")
    migrate()
    assert.equal(3300000, value "SELECT length(s) AS v FROM t")
  end)

  it("keeps its own BEGIN and COMMIT out, with what they ask for", function()
    write("BEGIN ISOLATION LEVEL SERIALIZABLE;\nSET TRANSACTION DEFERRABLE;\n" .. filler()
      .. "CREATE TABLE level AS SELECT current_setting('transaction_isolation') AS v;\n"
      .. filler(100000) .. "COMMIT;\n")
    migrate()
    assert.equal("serializable", value "SELECT v FROM level")
    assert.is_true(count() > 0)
    write "SELECT 1"
  end)

  it("runs the last statement of a section that has no semicolon", function()
    write("-- UP\n" .. filler() .. "INSERT INTO t VALUES (-1, 'up')\n-- DOWN\nDELETE FROM t;\n"
      .. filler() .. "TRUNCATE t")
    migrate()
    assert.equal("up", value "SELECT s AS v FROM t WHERE n = -1")
    pgmig.migrator(db, dir):rollback()
    assert.equal(0, count())
  end)

  it("may have lines that are longer than what is held", function()
    local long = ("'%s'"):format(("é"):rep(LARGE))
    write("-- UP\nSELECT " .. long .. "; -- DOWN\nINSERT INTO t VALUES (1, 'kept');\n"
      .. (" "):rep(LARGE) .. "-- DOWN\nDELETE FROM t;\n")
    migrate()
    assert.equal(1, count())
    pgmig.migrator(db, dir):rollback()
    assert.equal(0, count())
    write("-- UP\nSELECT " .. long .. ", nowhere;\n" .. filler())
    local err = fails()
    assert.same({ 2, LARGE + 12 }, { err.line, err.column })
    assert.is_nil(err.text)
  end)

  it("is refused before anything runs, with the line", function()
    local cases = {
      ["COMMIT in a migration that runs in a transaction"] = "COMMIT; -- wrong\n",
      ["unterminated quoted string"] = "SELECT 'wrong;\n-- \n",
      ["unknown directive"] = "-- pgmig: wrong=1\n",
      ["COPY ... FROM STDIN without data"] = "COPY t FROM STDIN -- wrong\n",
      ["unterminated COPY data"] = "COPY t FROM STDIN; -- wrong\n1\n",
      ["a second -- UP marker"] = "--UP\n-- wrong\n",
      ["psql command \\wrong"] = "\\wrong\n",
    }
    for message, piece in pairs(cases) do
      local behind = (message:find "unterminated" or message:find "without data") and ""
        or filler(100000)
      local text = "-- UP\n" .. filler() .. piece .. behind
      write(text)
      local err = fails()
      assert.equal("parse", err.kind)
      assert.matches(message, err.message, 1, true)
      local line = line_of(text, "wrong")
      assert.equal(message:find "second" and line - 1 or line, err.line)
      assert.equal(0, count())
    end
    for bad, message in pairs { ["\0"] = "NUL byte", ["\255"] = "not valid UTF-8" } do
      local text = "-- UP\n" .. filler() .. "SELECT 1; -- " .. bad .. "wrong\n" .. filler(100000)
      write(text)
      local err = fails()
      assert.matches(message, err.message, 1, true)
      assert.equal(line_of(text, "wrong"), err.line)
    end
  end)

  it("with a statement that no server takes is refused, not sent", function()
    local path = dir .. "/001_a.sql"
    local code = support.run(("(printf \"SELECT 1;\\n\\nSELECT '\"; head -c 1080000000 /dev/zero "
      .. "| tr '\\0' x; printf \"';\\n\") >%s"):format(path))
    assert.equal(0, code)
    local ok, err = pcall(pgmig.migrator(db, dir).migrate, pgmig.migrator(db, dir))
    os.remove(path)
    assert.is_false(ok)
    assert.same({ "parse", path, 3 }, { err.kind, err.file, err.line })
    assert.matches("larger than the server accepts (1 GB)", err.message, 1, true)
  end)

  it("that changes while it runs is taken back", function()
    support.needs(pending, 11, "what pgmig needs for pipelines")
    local text = "-- UP\n" .. filler() .. "-- DOWN\n"
    for name, changed in pairs {
      same_length = text:gsub("INSERT INTO t VALUES %(9,", "INSERT INTO t VALUES (8,"),
      broken = text:sub(1, -20), longer = text .. "SELECT 1;\n", empty = "",
    } do
      write(text)
      local err = fails { hooks = { before_all = function() write(changed) end } }
      assert.matches("the file changed while it was being run", err.message, 1, true, name)
      assert.equal("io", err.kind)
      assert.same({ 0, 0 }, { count(), value "SELECT count(*) AS v FROM schema_migrations" }, name)
    end
    write(text)
    local ok, err = pcall(migrate, { hooks = { before_all = function() os.remove(dir
      .. "/001_large.sql") end } })
    assert.is_false(ok)
    assert.equal("io", err.kind)
  end)

  it("keeps what was committed before it changed", function()
    support.needs(pending, 11, "what pgmig needs for pipelines")
    support.write(dir, "000_small.sql", "CREATE TABLE small (n int);")
    local text = "-- UP\n" .. filler() .. "-- DOWN\n"
    write(text)
    local err = fails { hooks = { before_all = function() write(text .. "SELECT 1;\n") end } }
    assert.equal(1, #err.applied)
    assert.equal("001_large", err.migration)
    assert.equal(1, value "SELECT count(*) AS v FROM schema_migrations")
  end)

  it("is held where a hook looks at its statements, or transaction=off", function()
    write("-- UP\n" .. filler())
    local seen = 0
    migrate { hooks = { before_statement = function() seen = seen + 1 end } }
    assert.equal(count(), seen)
    write("-- UP\n-- pgmig: transaction=off\n" .. "INSERT INTO t VALUES (1, '"
      .. ("x"):rep(LARGE) .. "');\nVACUUM t;\n")
    db:exec "TRUNCATE t, schema_migrations, schema_migrations_history"
    migrate()
    assert.equal(1, count())
  end)

  it("of a pair of files goes both ways", function()
    support.write(dir, "001_large.up.sql", filler())
    support.write(dir, "001_large.down.sql", "DELETE FROM t;\n" .. filler() .. "DELETE FROM t;\n")
    local m = pgmig.migrator(db, dir, { naming = pgmig.naming.paired })
    m:migrate()
    assert.equal("ready", m:status().applied[1].down)
    m:rollback()
    assert.equal(0, count())
    local sum = core.file_checksum(dir .. "/001_large.up.sql")
    assert.same({ "up " .. sum, "down " .. sum }, recorded())
  end)

  it("needs little memory, whatever its size", function()
    support.needs(pending, 11, "what pgmig needs for pipelines")
    local path = dir .. "/001_large.sql"
    local file = assert(io.open(path, "wb"))
    local piece = filler()
    file:write "-- UP\n"
    for _ = 1, 20 do file:write(piece) end
    file:write "COPY t FROM STDIN;\n"
    for _ = 1, 20 do file:write(("1\tdata\n"):rep(150000)) end
    file:write "\\.\nSELECT nowhere;\n-- DOWN\n"
    file:close()
    local code, out = support.run(support.lua_command(([[
      local pgmig = require "pgmig"
      local db = pgmig.connect %q
      local m = pgmig.migrator(db, %q)
      local ok, err = pcall(m.migrate, m)
      print(ok, err.line)
      for line in io.lines "/proc/self/status" do
        if line:find "^VmHWM" then print(line:match "%%d+") end
      end
    ]]):format(url, dir)))
    assert.equal(0, code)
    local line, peak = out:match "^false%s+(%d+)\n(%d+)\n$"
    local lines = 1 + 20 * select(2, piece:gsub("\n", "")) + 1 + 20 * 150000 + 1
    assert.equal(lines + 1, tonumber(line))
    local plain = not os.getenv "PGMIG_BUILD" -- sanitizers need memory of their own
    assert.is_true(tonumber(peak) < 32 * 1024 or not plain, peak .. " kB")
  end)
end)
