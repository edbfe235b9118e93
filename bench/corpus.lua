--- What is run: migrations, and the form in which each tool wants them.
-- A migration is { name =, statements = fn(emit), down = SQL }. `emit` takes a statement with its
-- semicolon, or a line of COPY data.
local shell = require "bench.shell"

local M = {}

-- ---- migrations ------------------------------------------------------------

--- N migrations of a table and an index each.
function M.small(n)
  local list = {}
  for i = 1, n do
    list[i] = {
      name = "t" .. i,
      statements = function(emit)
        emit(("CREATE TABLE t%d (id int, name text);"):format(i))
        emit(("CREATE INDEX i%d ON t%d (name);"):format(i, i))
      end,
      down = ("DROP TABLE t%d;"):format(i),
    }
  end
  return list
end

local BIG = "CREATE TABLE big (id int, name text, note text);"
local NOTE = "a note; with semicolons; and of quite some length" -- makes an INSERT of 100 bytes

--- One migration that fills a table by INSERTs of 100 bytes.
function M.inserts(rows)
  return { {
    name = "big",
    down = "DROP TABLE big;",
    statements = function(emit)
      emit(BIG)
      for i = 1, rows do
        emit(("INSERT INTO big VALUES (%7d, 'name %07d', '%s');"):format(i, i, NOTE))
      end
    end,
  } }
end

--- The same rows as COPY data.
function M.copy(rows)
  return { {
    name = "big",
    down = "DROP TABLE big;",
    statements = function(emit)
      emit(BIG)
      emit "COPY big FROM stdin;"
      for i = 1, rows do emit(("%d\tname %07d\t%s"):format(i, i, NOTE)) end
      emit "\\."
    end,
  } }
end

local BODY = [[
CREATE FUNCTION f%d(a int, b text) RETURNS text LANGUAGE plpgsql AS $body$
DECLARE
  result text := '';
BEGIN
%s  RETURN result || 'it''s done; really';
END;
$body$;]]

local BODY_LINE = "  IF a > %d THEN result := result || b || '; step %d'; END IF; -- one; more\n"

--- One migration of functions, about 2.5 kB each, with semicolons in their bodies.
function M.functions(n)
  local lines = {}
  for i = 1, 31 do lines[i] = BODY_LINE:format(i, i) end
  local body = table.concat(lines)
  local names = {}
  for i = 1, n do names[i] = "f" .. i end
  return { {
    name = "functions",
    down = ("DROP FUNCTION %s;"):format(table.concat(names, ", ")),
    statements = function(emit)
      for i = 1, n do emit(BODY:format(i, body)) end
    end,
  } }
end

-- ---- layouts ---------------------------------------------------------------

local function number(i) return ("%05d"):format(i) end

--- Write one file; `fill` gets a function that writes a line.
local function write_file(path, fill)
  local file = assert(io.open(path, "wb"))
  file:setvbuf("full", 1048576)
  fill(function(line) assert(file:write(line, "\n")) end)
  file:close()
end

--- A file for each migration, with a tool's markers.
local function marked(up, down)
  return function(folder, migrations)
    for i, m in ipairs(migrations) do
      write_file(("%s/%s_%s.sql"):format(folder, number(i), m.name), function(line)
        line(up)
        m.statements(line)
        line(down)
        line(m.down)
      end)
    end
  end
end

local TRACK = "CREATE TABLE schema_migrations (version int PRIMARY KEY, name text NOT NULL, " ..
  "applied_at timestamptz NOT NULL DEFAULT now());"

--- A migration with what a tool would do around it.
local function transaction(i, m, line)
  line "BEGIN;"
  m.statements(line)
  line(("INSERT INTO schema_migrations (version, name) VALUES (%d, '%s');"):format(i, m.name))
  line "COMMIT;"
end

local function psql_files(folder, migrations)
  write_file(folder .. "/00000_track.sql", function(line) line(TRACK) end)
  for i, m in ipairs(migrations) do
    write_file(("%s/%s_%s.sql"):format(folder, number(i), m.name),
      function(line) transaction(i, m, line) end)
  end
end

local function psql_one(folder, migrations)
  write_file(folder .. "/all.sql", function(line)
    line(TRACK)
    for i, m in ipairs(migrations) do transaction(i, m, line) end
  end)
end

--- Statements each ended by a NUL byte, for pipeline.c.
local function pipeline(folder, migrations)
  local file = assert(io.open(folder .. "/all", "wb"))
  local function emit(statement) assert(file:write(statement, "\0")) end
  emit(TRACK)
  for i, m in ipairs(migrations) do transaction(i, m, emit) end
  file:close()
end

--- The statements alone.
local function plain(folder, migrations)
  write_file(folder .. "/all.sql", function(line)
    for _, m in ipairs(migrations) do m.statements(line) end
  end)
end

local PLAN_LINE = "%s_%s 2026-01-01T00:00:%02dZ Bench <bench@example.org> # a change"

local function sqitch(folder, migrations)
  os.execute("mkdir -p " .. shell.quote(folder .. "/deploy"))
  shell.write(folder .. "/sqitch.conf", "[core]\n\tengine = pg\n")
  write_file(folder .. "/sqitch.plan", function(line)
    line "%syntax-version=1.0.0\n%project=bench\n"
    for i, m in ipairs(migrations) do line(PLAN_LINE:format(number(i), m.name, i % 60)) end
  end)
  for i, m in ipairs(migrations) do
    write_file(("%s/deploy/%s_%s.sql"):format(folder, number(i), m.name), function(line)
      line "BEGIN;"
      m.statements(line)
      line "COMMIT;"
    end)
  end
end

local layouts = {
  pgmig = marked("-- UP", "-- DOWN"),
  dbmate = marked("-- migrate:up", "-- migrate:down"),
  node_pg_migrate = marked("-- Up Migration", "-- Down Migration"),
  psql_files = psql_files,
  psql_one = psql_one,
  pipeline = pipeline,
  plain = plain,
  sqitch = sqitch,
}

--- Write migrations in a layout; returns the folder.
function M.write(layout, migrations, name)
  local folder = shell.folder(name)
  layouts[layout](folder, migrations)
  return folder
end

return M
