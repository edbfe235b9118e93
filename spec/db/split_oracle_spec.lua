--- The splitter against the server itself, over the made-up files in spec/fixtures/split.
--
-- Three kinds of files, three questions:
--   *.sql          psql runs the file on a server that logs every statement (log_statement = all,
--                  as CSV, which keeps texts of several lines exact). What the server was sent
--                  must be what pgmig.parse finds: the same statements, byte for byte.
--                  psql runs with --single-transaction, as a migration does; the BEGIN and
--                  COMMIT that this adds are left out.
--   server/*.sql   psql misreads these files (each says how). The server's own parser gets the
--                  whole text as one query, and debug_print_parse tells where it saw each
--                  statement begin and end.
--   refused/*.sql  psql accepts these; pgmig must refuse them in the line that their first line
--                  names, never read them in its own way.
--
-- pgmig's statement begins at its first token and ends at its last. The server's texts may have
-- comments and blanks around that and a semicolon behind; nothing else is made equal, except that
-- psql drops empty lines inside a statement (unless they stand in a literal or a comment).
local pgmig = require "pgmig"
local scratch = require "pgmig.scratch"

local FIXTURES = "spec/fixtures/split/"
local LOG_WAITS = 600 -- times 50 ms, for a line to reach the log

local function read_file(path, from)
  local file = assert(io.open(path, "rb"))
  file:seek("set", from or 0)
  local text = file:read("*a")
  file:close()
  return text
end

local function shell_quote(word)
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

--- Run a command; raise what it printed when it fails.
local function run(...)
  local words = {}
  for i, word in ipairs({ ... }) do
    words[i] = shell_quote(word)
  end
  local pipe = assert(io.popen("{ " .. table.concat(words, " ") .. "; echo \"status $?\"; } 2>&1"))
  local output = pipe:read("*a")
  pipe:close()
  local text, status = output:match("^(.*)status (%d+)\n$")
  if status ~= "0" then
    error(words[1] .. " failed:\n" .. (text or output), 2)
  end
  return text
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

-- The server's log --------------------------------------------------------------------------------

local CSV = { database = 3, message = 14, detail = 15, context = 19, query = 20 }

--- Read one field: its text and the place behind it, or nothing when it is cut off.
local function csv_field(text, at)
  if text:sub(at, at) ~= '"' then
    local stop = text:find("[,\n]", at)
    return stop and text:sub(at, stop - 1), stop
  end
  local stop = at
  repeat
    stop = text:find('"', stop + 1, true)
    local doubled = stop and text:sub(stop + 1, stop + 1) == '"'
    if doubled then
      stop = stop + 1
    end
  until not doubled
  if not stop or stop == #text then
    return nil
  end
  return (text:sub(at + 1, stop - 1):gsub('""', '"')), stop + 1
end

--- All complete records of a CSV text.
local function csv_records(text)
  local records, record, at = {}, {}, 1
  while at <= #text do
    local field, stop = csv_field(text, at)
    if not field then
      break
    end
    record[#record + 1] = field
    if text:sub(stop, stop) == "\n" then
      records[#records + 1] = record
      record = {}
    end
    at = stop + 1
  end
  return records
end

--- The log records of one database, complete once its session has ended.
local function session_log(log_path, from, database)
  for _ = 1, LOG_WAITS do
    local mine = {}
    for _, record in ipairs(csv_records(read_file(log_path, from))) do
      if record[CSV.database] == database then
        mine[#mine + 1] = record
        if record[CSV.message]:find("^disconnection:") then
          return mine
        end
      end
    end
    run("sleep", "0.05")
  end
  error("the session's end did not reach " .. log_path)
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

local function same_statement(ours, theirs, drops_empty_lines)
  local behind = match_start(ours, theirs, drops_empty_lines)
  if not behind then
    return false
  end
  behind = skip_blanks(theirs, behind)
  if theirs:sub(behind, behind) == ";" then
    behind = behind + 1
  end
  return behind == #theirs + 1
end

local function show(text)
  return text and (text:gsub("\r", "\\r")) or "(nothing)"
end

--- Raise the first difference, with its place in the file.
local function compare(path, statements, theirs, drops_empty_lines)
  for i = 1, math.max(#statements, #theirs) do
    local ours = statements[i]
    if not ours or not theirs[i] or not same_statement(ours.sql, theirs[i], drops_empty_lines) then
      error(("%s:%s: statement %d differs\nthe server saw: %s\npgmig saw: %s"):format(
        path, ours and ours.line or "end", i, show(theirs[i]), show(ours and ours.sql)), 0)
    end
  end
end

--- The statements of a file without markers, each a range of its bytes.
local function statements_of(path)
  local text, statements = read_file(path), pgmig.parse(path).up.statements
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

  local function log_size()
    local file = assert(io.open(log_path, "rb"))
    local size = file:seek("end")
    file:close()
    return size
  end

  local function psql(url, ...)
    return run("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, ...)
  end

  --- Run psql on a new database; returns what the server logged meanwhile.
  local function log_of(options, ...)
    databases = databases + 1
    local database = "split_" .. databases
    psql(server:url("postgres"), "-c", "CREATE DATABASE " .. database .. " TEMPLATE template0")
    local from = log_size()
    run("env", "PGCLIENTENCODING=UTF8", "PGOPTIONS=" .. options, "psql", "-X", "-q",
      "-v", "ON_ERROR_STOP=1", "-d", server:url(database), ...)
    local records = session_log(log_path, from, database)
    psql(server:url("postgres"), "-c", "DROP DATABASE " .. database)
    return records
  end

  --- What the server is sent when psql runs the file.
  local function sent_by_psql(path)
    local texts = {}
    for _, record in ipairs(log_of("", "--single-transaction", "-f", path)) do
      texts[#texts + 1] = record[CSV.message]:match("^statement: (.*)$")
    end
    assert.are.equal("BEGIN", table.remove(texts, 1))
    assert.are.equal("COMMIT", table.remove(texts))
    return without_empty(texts)
  end

  --- What the server's parser makes of the whole text; function bodies run by it are left out.
  local function parsed_by_server(path)
    local texts = {}
    local options = "-c debug_print_parse=on -c check_function_bodies=off"
    for _, record in ipairs(log_of(options, "-c", read_file(path))) do
      if record[CSV.message] == "parse tree:" and record[CSV.context] == "" then
        local start, length = record[CSV.detail]:match(
          ":stmt_location%s+(%d+)%s+:stmt_len%s+(%d+)%s*}%s*$")
        local stop = length == "0" and -1 or start + length
        texts[#texts + 1] = record[CSV.query]:sub(start + 1, stop)
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
    log_path = psql(server:url("postgres"), "-c",
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
      assert.are.equal(read_file(path):match("^%-%- Refused in line (%d+):"), tostring(err.line))
    end)
  end

  it("is compared over at least 400 statements", function()
    local count = 0
    for _, path in ipairs(list_fixtures(FIXTURES)) do
      count = count + #statements_of(path)
    end
    assert.is_true(count >= 400, count .. " statements")
  end)
end)
