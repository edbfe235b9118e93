--- The splitter against the server itself, over the made-up files in spec/fixtures/split.
--
-- Three kinds of files:
--   *.sql          psql runs the file on a server that logs every statement (log_statement = all,
--                  as CSV, which keeps texts of several lines exact). What the server was sent
--                  must be what pgmig.parse finds: the same statements, byte for byte.
--                  psql runs with --single-transaction, as a migration does; the BEGIN and
--                  COMMIT that this adds are left out. COPY data is in no log: files that have
--                  some are also migrated, and pg_dump must show what it shows after psql.
--   server/*.sql   psql misreads these files (each says how). The server's own parser gets the
--                  whole text as one query, and debug_print_parse tells where it saw each
--                  statement begin and end.
--   refused/*.sql  psql accepts these; pgmig must refuse them in the line that their first line
--                  names, never read them in its own way.
--
-- pgmig's statement begins at its first token and has no semicolon. The server's texts may have
-- comments and blanks around that, and the semicolon; nothing else is made equal, except that
-- psql drops empty lines inside a statement (unless they stand in a literal or a comment).
local pgmig = require "pgmig"
local scratch = require "pgmig.scratch"
local server_log = require "spec.db.server_log"
local support = require "spec.support"

local FIXTURES = "spec/fixtures/split/"
local WITH_COPY_DATA = { "copy", "copy_blank", "crlf", "marker_lookalikes", "pg_dump_plain",
  "refusal_lookalikes" }

local unpack = table.unpack or unpack -- luacheck: ignore

--- Run a command, each argument a word; returns what it printed, raises when it fails.
local function run(...)
  local words = {}
  for i, word in ipairs({ ... }) do
    words[i] = support.quote(word)
  end
  local code, out, err = support.run(table.concat(words, " "))
  if code ~= 0 then
    error(words[1] .. " failed:\n" .. err, 2)
  end
  return out
end

local function list_fixtures(folder)
  local paths = {}
  for name in run("ls", folder):gmatch("[^\n]+") do
    if name:find("%.sql$") then
      paths[#paths + 1] = folder .. name
    end
  end
  assert(#paths > 0, "no fixtures in " .. folder)
  return paths
end

-- Texts -------------------------------------------------------------------------------------------

local function behind_block_comment(text, at)
  if text:sub(at, at + 1) ~= "/*" then
    return nil
  end
  local depth = 1
  at = at + 2
  while depth > 0 do
    local open, close = text:find("/*", at, true), text:find("*/", at, true)
    assert(close, "a comment without an end")
    local nested = open and open < close
    depth = depth + (nested and 1 or -1)
    at = (nested and open or close) + 2
  end
  return at
end

--- The first place at or behind `at` that is neither blank nor comment.
local function skip_blanks(text, at)
  while true do
    local stop = text:match("^[ \t\n\r\f]+()", at)
      or text:match("^%-%-[^\n\r]*()", at)
      or behind_block_comment(text, at)
    if not stop then
      return at
    end
    at = stop
  end
end

--- The server's texts from their first token on, without the empty ones.
local function without_empty(texts)
  local statements = {}
  for _, text in ipairs(texts) do
    local statement = text:sub(skip_blanks(text, 1))
    if statement ~= "" and statement ~= ";" then
      statements[#statements + 1] = statement
    end
  end
  return statements
end

--- Compare from the start; returns where the server's text goes on behind ours, or nothing.
local function match_start(ours, theirs, drops_empty_lines)
  local at = 1
  for i = 1, #ours do
    local byte = ours:byte(i)
    if byte == theirs:byte(at) then
      at = at + 1
    elseif not (drops_empty_lines and byte == 10 and ours:byte(i - 1) == 10) then
      return nil
    end
  end
  return at
end

--- Whether a text from psql, or one from the server's parser, is our statement.
local function same_statement(ours, theirs, from_psql, is_last)
  local behind = match_start(ours, theirs, from_psql)
  if not behind or ours:find("%s$") then
    return false
  end
  local rest = theirs:sub(skip_blanks(theirs, behind))
  return from_psql and rest == ";" or (is_last or not from_psql) and rest == ""
end

local function show(text)
  return text and (text:gsub("\r", "\\r")) or "(nothing)"
end

--- Raise the first difference, with its place in the file.
local function compare(path, statements, theirs, from_psql)
  local last = math.max(#statements, #theirs)
  for i = 1, last do
    local ours = statements[i]
    if not ours or not theirs[i]
      or not same_statement(ours.sql, theirs[i], from_psql, i == last) then
      error(("%s:%s: statement %d differs\nthe server saw: %s\npgmig saw: %s"):format(
        path, ours and ours.line or "end", i, show(theirs[i]), show(ours and ours.sql)), 0)
    end
  end
end

--- The statements of a file without markers, each a range of its bytes.
local function statements_of(path)
  local text, statements = support.read(path), pgmig.parse(path).up.statements
  for _, statement in ipairs(statements) do
    local start = statement.offset + 1
    assert.are.equal(text:sub(start, start + #statement.sql - 1), statement.sql)
  end
  return statements
end

-- The specs ---------------------------------------------------------------------------------------

describe("splitting a file", function()
  local server, log_path
  local databases = 0

  local function psql(database, ...)
    return run("env", "PGCLIENTENCODING=UTF8", "psql", "-X", "-q", "-A", "-t",
      "-v", "ON_ERROR_STOP=1", "-d", server:url(database), ...)
  end

  --- Call fn with the name of a new database.
  local function with_database(fn)
    databases = databases + 1
    local database = "split_" .. databases
    psql("postgres", "-c", "CREATE DATABASE " .. database .. " TEMPLATE template0")
    local result = fn(database)
    psql("postgres", "-c", "DROP DATABASE " .. database)
    return result
  end

  --- Run psql on a new database; returns what the server logged meanwhile.
  local function log_of(...)
    local arguments = { ... }
    return with_database(function(database)
      local from = server_log.size(log_path)
      psql(database, unpack(arguments))
      return server_log.session(log_path, from, database)
    end)
  end

  local function dump(database)
    local text = run("pg_dump", "--exclude-table", "schema_migrations*", server:url(database))
    return (text:gsub("\n\\u?n?restrict [^\n]*", ""))
  end

  local function dump_after_psql(path)
    return with_database(function(database)
      psql(database, "--single-transaction", "-o", "/dev/null", "-f", path)
      return dump(database)
    end)
  end

  local function dump_after_migrate(path)
    local folder = support.tempdir()
    support.write(folder, "001_fixture.sql", support.read(path))
    return with_database(function(database)
      local db = pgmig.connect(server:url(database))
      pgmig.migrator(db, folder):migrate()
      db:close()
      return dump(database)
    end)
  end

  --- What the server is sent when psql runs the file.
  local function sent_by_psql(path)
    local texts = {}
    for _, record in ipairs(log_of("--single-transaction", "-f", path)) do
      texts[#texts + 1] = record.message:match("^statement: (.*)$")
    end
    assert.are.equal("BEGIN", table.remove(texts, 1))
    assert.are.equal("COMMIT", table.remove(texts))
    return without_empty(texts)
  end

  --- What the server's parser makes of the whole text; function bodies run by it are left out.
  local function parsed_by_server(path)
    local file, texts = support.read(path), {}
    local settings = "SET debug_print_parse = on; SET check_function_bodies = off"
    for _, record in ipairs(log_of("-c", settings, "-c", file)) do
      local top = record.context == "" and record.query == file
      if record.message == "parse tree:" and top then
        local start, length = record.detail:match(
          ":stmt_location%s+(%d+)%s+:stmt_len%s+(%d+)%s*}%s*$")
        local stop = length == "0" and -1 or start + length
        texts[#texts + 1] = file:sub(start + 1, stop)
      end
    end
    return without_empty(texts)
  end

  setup(function()
    server = scratch.start({
      settings = {
        logging_collector = "on",
        log_destination = "csvlog",
        log_filename = "oracle.log",
        log_rotation_age = "0",
        log_rotation_size = "0",
        log_statement = "all",
        log_disconnections = "on",
      },
    })
    log_path = psql("postgres", "-c",
      "SELECT current_setting('data_directory') || '/' || pg_current_logfile('csvlog')")
      :match("[^\n]+")
  end)

  teardown(function()
    if server then
      server:stop()
    end
  end)

  for _, path in ipairs(list_fixtures(FIXTURES)) do
    it("finds the statements that psql sends: " .. path:sub(#FIXTURES + 1), function()
      compare(path, statements_of(path), sent_by_psql(path), true)
    end)
  end

  for _, name in ipairs(WITH_COPY_DATA) do
    it("sends the COPY data that psql sends: " .. name .. ".sql", function()
      local path = FIXTURES .. name .. ".sql"
      assert.are.equal(dump_after_psql(path), dump_after_migrate(path))
    end)
  end

  for _, path in ipairs(list_fixtures(FIXTURES .. "server/")) do
    it("finds the statements that the server's parser finds: " .. path:sub(#FIXTURES + 1),
      function()
        compare(path, statements_of(path), parsed_by_server(path), false)
      end)
  end

  for _, path in ipairs(list_fixtures(FIXTURES .. "refused/")) do
    it("refuses what psql accepts: " .. path:sub(#FIXTURES + 1), function()
      sent_by_psql(path)
      local ok, err = pcall(pgmig.parse, path)
      assert.is_false(ok)
      assert.is_true(pgmig.is_error(err, "parse"))
      assert.are.equal(support.read(path):match("^%-%- Refused in line (%d+):"), tostring(err.line))
    end)
  end

  it("finds the statements that psql sends, on lines of megabytes", function()
    local path = support.write(support.tempdir(), "long.sql", table.concat({
      "SELECT length('", ("é;'' -- /* $$ "):rep(100000), "') -- ", ("; '"):rep(100000), "\n;",
      ("SELECT ';';"):rep(500), "SELECT $a$", ("$$;\n\n'"):rep(100000), "$a$",
    }))
    compare(path, statements_of(path), sent_by_psql(path), true)
  end)

  for _, path in ipairs(list_fixtures(FIXTURES)) do
    it("finds the same between section markers: " .. path:sub(#FIXTURES + 1), function()
      local text = support.read(path):gsub("^\239\187\191", "")
      local alone = statements_of(path)
      local marked = pgmig.parse("-- UP\n" .. text .. "\n-- DOWN\nSELECT 'down';\n")
      assert.are.equal(#alone, #marked.up.statements)
      for i, statement in ipairs(marked.up.statements) do
        assert.are.equal(alone[i].sql, statement.sql)
        assert.are.equal(alone[i].copy_data, statement.copy_data)
      end
      assert.are.equal("SELECT 'down'", marked.down.statements[1].sql)
    end)
  end

  it("follows standard_conforming_strings on the same line, where psql is a line late", function()
    local text = "SET standard_conforming_strings = off; SELECT '\\';', 1; SELECT '\\\\', 2"
    local list = pgmig.parse(text).up.statements
    assert.are.equal(3, #list)
    assert.are.equal("SELECT '\\';', 1", list[2].sql)
    psql("postgres", "-c", list[1].sql, "-c", list[2].sql, "-c", list[3].sql)
  end)

  it("goes on behind an empty statement after COPY data, where psql stops", function()
    local statements = pgmig.parse("COPY c FROM STDIN;\nx\n\\.\n;\nSELECT 1;\n").up.statements
    assert.are.equal(2, #statements)
    assert.are.equal("x\n", statements[1].copy_data)
    assert.are.equal("SELECT 1", statements[2].sql)
  end)

  it("is compared over at least 400 statements", function()
    local count = 0
    for _, path in ipairs(list_fixtures(FIXTURES)) do
      count = count + #statements_of(path)
    end
    assert.is_true(count >= 400, count .. " statements")
  end)
end)
