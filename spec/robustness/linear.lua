-- What linear_spec.lua counts: each case with an input, and with one that is four times as large.
--
--     linear.lua URL DIR
local adopt = require "pgmig.takeover.adopt"
local core = require "pgmig.core"
local counted = require "counted"
local detect = require "pgmig.takeover.detect"
local dotenv = require "pgmig.cli.dotenv"
local texts = require "pgmig.texts"
local formats = require "pgmig.formats"
local output = require "pgmig.cli.output"
local pgmig = require "pgmig"
local origin = require "pgmig.cli.origin"
local status_table = require "pgmig.cli.status_table"

local url, dir = arg[1], arg[2]
local TIMES = 4

local db = pgmig.connect(url)
local folders = 0

-- ---- inputs ------------------------------------------------------------------

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  return path
end

--- A folder with files: fn(i) returns the name and the text of each.
local function folder(n, fn)
  folders = folders + 1
  local path = ("%s/%d"):format(dir, folders)
  os.execute("mkdir " .. path)
  for i = 1, n do
    local name, text = fn(i)
    write(path .. "/" .. name, text)
  end
  return path
end

--- n pieces, which know their number, joined.
local function pieces(n, fn)
  local list = {}
  for i = 1, n do list[i] = type(fn) == "string" and fn or fn(i) end
  return table.concat(list)
end

local cases = {}

--- A case.
-- @param name of it
-- @param n how large
-- @param prepare fn(n) makes the input, which is not counted
-- @param work fn(input)
local function case(name, n, prepare, work)
  cases[#cases + 1] = { name = name, n = n, prepare = prepare, work = work }
end

-- ---- texts -------------------------------------------------------------------

--- All that is done with a text before it runs; a refusal is an end, too.
local function read(text, format)
  local ok, script = pcall(formats.load(format or "pgmig").parse, formats.load(format or "pgmig"),
    text, "x.sql")
  if not ok then return end
  local up = script:describe().up
  for i, statement in ipairs(up and up.statements or {}) do
    texts.excerpt(statement.sql)
    script:statement("up", i)
  end
end

local function text(name, n, head, piece, tail, format)
  case(name, n, function(size)
    return head .. pieces(size, piece) .. (type(tail) == "function" and tail(size) or tail)
  end, function(input) read(input, format) end)
end

text("statements in one line", 500, "", "SELECT 1;", "\n")
text("statements in lines", 500, "", "SELECT 1;\n", "\n")
text("blanks in a statement", 3000, "SELECT 1", " ", "+ 1;\n")
text("line ends in a statement", 3000, "SELECT 1", "\n", "+ 1;\n")
text("lines that end with CR", 5000, "SELECT ", "--\r", " 1;\n")
text("comments in a statement", 500, "SELECT\n", "-- x\n/* y */\n", "1;\n")
text("comments behind each other", 500, "SELECT 1;\n", "/**/ ", "\nSELECT 1;\n")
text("comments that name a direction", 300, "SELECT 1;\n", "-- remove it\nDROP TABLE a;\n", "")
text("a heading of many words", 1000, "SELECT 1;\n-- ", "roll - back ", "\nDROP TABLE a;\n")
text("a comment of many lines", 500, "SELECT 1;\n/*", "drop it\n   \n", "*/\nDROP TABLE a;\n")
text("comments in comments", 1000, "SELECT 1 ", "/*", function(n) return ("*/"):rep(n) .. ";\n" end)
text("parentheses in parentheses", 1000, "SELECT ", "(", function(n)
  return "1" .. (")"):rep(n) .. ";\n"
end)
text("a parenthesis that is not closed", 1000, "SELECT ", "(", "1;\n")
text("dollar quotes of many names", 500, "SELECT ", function(i)
  return ("$a%d$ $b$ $a%d$,"):format(i, i)
end, "1;\n")
text("dollars", 1000, "SELECT ", "$ $a ", "1;\n")
text("half an end of a dollar quote", 1000, "SELECT $a$", "$a", "$a$;\n")
text("literals in lines", 500, "SELECT 'a'", "\n'a' -- x", "\n;\n")
text("a literal of many quotes", 1000, "SELECT '", "''", "';\n")
text("COPY data", 1000, "COPY t FROM stdin;\n", "1\t2\n", "\\.\n")
text("COPYs", 200, "", "COPY t FROM stdin;\n1\n\\.\n", "")
text("transactions", 300, "-- pgmig: transaction=off\n", "BEGIN; SELECT 1; COMMIT;\n", "")
text("large objects", 200, "", "BEGIN; SELECT pg_catalog.lo_create(1); COMMIT;\n", "")
text("words of a directive", 1000, "-- pgmig: lint-ignore=a", ",a", "\nSELECT 1;\n")
text("functions of BEGIN ATOMIC", 300, "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC ",
  "SELECT CASE WHEN true THEN 1 END;", " END;\n")
text("sections of dbmate", 200, "", "-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 2;\n", "",
  "dbmate")
text("blocks of goose", 200, "-- +goose Up\n",
  "-- +goose StatementBegin\nSELECT 1;\n-- +goose StatementEnd\n", "", "goose")
text("markers at the margin", 500, "", "--! no-transaction\n", "SELECT 1;\n", "graphile-migrate")
text("half a divider of tern", 1000, "SELECT '", "---- create above / drop ", "';\n", "tern")

text("what may open a placeholder", 1000, "SELECT '", "{{{${", "';\n")
text("halves of a placeholder", 200, "SELECT '", "${" .. (" "):rep(20) .. "{{a ", "';\n")
text("placeholders in comments", 200, "", "SELECT '{{1}}' /* ${x} */;\n", "")

for format, open in pairs {
  pgmig = "${", flyway = "${", tern = "{{", ["graphile-migrate"] = ":DATABASE_",
} do
  for kind, piece in pairs { ["not closed"] = open, ["of blanks"] = open .. (" "):rep(20) } do
    case(("placeholders of %s, %s"):format(format, kind), 500, function(n)
      return write(("%s/%s.sql"):format(dir, n), "SELECT '" .. pieces(n, piece) .. "';\n")
    end, function(path) pcall(formats.load(format, {}).read, formats.load(format, {}), path) end)
  end
end

case("placeholders that nothing but their end encloses", 1000, function(n)
  return pieces(n, "%(1 ") .. ")s"
end, function(input)
  local own = { name = "own", naming = formats.find "pgmig".naming, vocabulary = {
    placeholder = "%(", placeholder_end = ")s",
  } }
  pcall(formats.load(own).parse, formats.load(own), "SELECT '" .. input .. "';\n", "x.sql")
end)

case("a literal in a file that is read in pieces", 550000, function(n)
  return write(dir .. "/large.sql", "SELECT '" .. ("''"):rep(n) .. "';\n")
end, function(path) core.read_script(path, nil, true) end)

-- ---- settings ----------------------------------------------------------------

local function variables(name, n, head, piece, tail)
  case("a variable with " .. name, n, function(size)
    return write(dir .. "/env", "A=" .. head .. pieces(size, piece) .. tail .. "\n")
  end, function(path) pcall(dotenv.read, path) end)
end

variables("blanks", 3000, "a", " ", "b")
variables("numbers", 1000, "a", " #", "b")
variables("braces that are not closed", 2000, "", "${", "")

case("a URL that is shown", 1000, function(n)
  return "postgres://u:" .. (":"):rep(n) .. "@h/d?application_name=" .. ("?%41"):rep(n)
end, origin.mask)

case("key words that are shown", 1000, function(n)
  return "user='" .. ("\\'"):rep(n) .. "' " .. ("password = \\ x "):rep(n)
end, origin.mask)

-- ---- files -------------------------------------------------------------------

local function sample(i)
  local sql = "-- UP\nCREATE TABLE t%d ();\n-- DOWN\nDROP TABLE t%d;\n"
  return ("%06d_table_%d.sql"):format(i, i), sql:format(i, i)
end

case("status", 250, function(n) return pgmig.migrator(db, folder(n, sample)) end, function(migrator)
  status_table.write(output.new { quiet = true }, migrator:status(), {})
end)

case("the format of a folder", 100, function(n)
  return folder(n, function(i) return ("%03d_a.up.sql"):format(i), "-- a\n" end)
end, function(path) pcall(detect.format, { path }) end)

case("a line that tells the format", 3000, function(n)
  return folder(1, function() return "1_a.sql", "-- +goose Up" .. (" "):rep(n) .. "x\n" end)
end, function(path) detect.format { path } end)

case("a version that doctor gives to each of those that clash", 200, function(n)
  local migrator = pgmig.migrator(db, folder(n, sample), { table = "replaced_" .. n })
  local path = migrator.dirs[1]
  migrator:baseline(n)
  for i = 1, n do
    os.remove(("%s/%06d_table_%d.sql"):format(path, i, i))
    write(("%s/%06d_other_%d.sql"):format(path, i, i), "SELECT 1;\n")
  end
  return migrator
end, function(migrator) migrator:doctor() end)

-- ---- rows of another tool ------------------------------------------------------

case("rows that are taken over by their names", 250, function(n)
  db:exec "DROP TABLE IF EXISTS pgmigrations; CREATE TABLE pgmigrations (id serial, name text, \z
    run_on timestamp)"
  db:query([[INSERT INTO pgmigrations (name, run_on)
    SELECT pg_catalog.lpad(i::text, 6, '0') || '_table_' || i, pg_catalog.now()
    FROM pg_catalog.generate_series(1, $1::int) AS i]], n)
  return pgmig.migrator(db, folder(n, function(i)
    return ("%06d_table_%d.sql"):format(i, i), "-- Up Migration\nSELECT 1;\n"
  end), { format = "node-pg-migrate" })
end, function(migrator) adopt.plan(migrator, migrator.format, {}) end)

-- ---- runs ----------------------------------------------------------------------

--- Apply what is in a folder, with a tracking table of its own; a failure is an end, too.
local function run(input)
  local options = { table = ("runs_%d"):format(folders), hooks = input.hooks }
  pcall(pgmig.migrator(db, input.path, options).migrate, pgmig.migrator(db, input.path, options))
end

local function file(name, n, make, hooks)
  case(name, n, function(size)
    return { path = folder(1, function() return "1_a.sql", make(size) end), hooks = hooks }
  end, run)
end

file("statements with hooks", 100, function(n)
  return "SELECT '" .. ("x\n"):rep(200 * n) .. "';\n" .. pieces(n, "SELECT 1;\n")
end, { before_statement = function() end })

file("a failure below routines of one name", 200, function(n)
  return pieces(n, function(i)
    return ("CREATE FUNCTION pg_temp.f(a%d int) RETURNS int LANGUAGE plpgsql AS "):format(i)
      .. "'BEGIN RETURN 1 / a1; END';\nDROP FUNCTION pg_temp.f(int);\n"
  end) .. "CREATE FUNCTION pg_temp.f(a int) RETURNS int LANGUAGE plpgsql AS\n"
    .. "'BEGIN RETURN CASE WHEN a = 0 THEN 1 / a ELSE pg_temp.f(a - 1) END; END';\n"
    .. ("SELECT pg_temp.f(%d);\n"):format(n)
end)

case("notices of migrations that are sent ahead", 200, function(n)
  return { path = folder(4, function(i)
    return ("%d_a.sql"):format(i), ("DO $$ BEGIN FOR i IN 1..%d LOOP RAISE NOTICE 'n'; END LOOP; "
      .. "END $$;\n"):format(n)
  end) }
end, run)

-- ---- counting ------------------------------------------------------------------

local function count(one, size)
  local input = one.prepare(size)
  collectgarbage()
  collectgarbage "stop"
  counted.start()
  one.work(input)
  counted.stop(("%d:%s"):format(size == one.n and 1 or TIMES, one.name))
  collectgarbage "restart"
end

for _, one in ipairs(cases) do
  count(one, one.n)
  count(one, TIMES * one.n)
end
