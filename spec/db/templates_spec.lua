-- Texts that become others before they are run: psql's variables, beside psql itself, and render.
local core = require "pgmig.core"
local pgmig = require "pgmig"
local support = require "spec.support"

local VALUES = {
  x = "a.b", y = "1 + :x", z = ":z :'x'", q = "'it''s'", o = "'open", s = "it's \\ \"so\"",
  e = "", d = "$$d$$", n = "E'\\''", c = "/* c */", big = ("v"):rep(200), ["1"] = "one",
}

-- What a text is made of; after each comes nothing, a blank or a line's end.
local PIECES = {
  ":x", ":y", ":z", ":q", ":o", ":e", ":d", ":n", ":c", ":1", ":big", ":'x'", ":'s'", ":'q'",
  ":'e'",
  ':"x"', ':"s"', ":{?x}", ":{?no}", "a[1:no]", "a[1:x]", "a[:no]", "::text", "::x", ":=", ":",
  "':x'", "'it''s :x'", "E'\\':x'", "e'a\\\\' :x", "U&':x'", "b'0'", "'a'\n':x'", "'a' ':x'",
  "E'a'\n  ':x'", "'a' -- c\n ':x'", '":x"', '"a"":x"', "$$:x$$", "$t$ :x $$ $t$", "a$b$:x$b$",
  "-- :x\n", "/* :x /* :x */ :x */", "(", ")", "[", "]", "1", "x", "$1", "+", "-", "*/", "||", ",",
  ":x:x", "x:x", "1:x", ":'x':\"x\"", ": x", ":'x", ":{x}", ":-x", "é:x", ":é", "$x", "$", "1e'x'",
}

--- Pseudo-random numbers, the same each time.
local function random(seed)
  return function(most)
    seed = (seed * 1103515245 + 12345) % 2147483648
    return math.floor(seed / 65536) % most + 1
  end
end

local function made_up(pick)
  local parts = { "SELECT" }
  for _ = 1, pick(6) do
    parts[#parts + 1] = ({ " ", "\n", "", " " })[pick(4)]
    parts[#parts + 1] = PIECES[pick(#PIECES)]
  end
  return table.concat(parts)
end

--- A text without its empty lines, which psql leaves out.
local function lines_of(text)
  return (text:gsub("\n%s*\n", "\n"):gsub("%s+$", ""))
end

--- Whether a text has one of psql's commands: a backslash that no quote holds.
local function has_command(text)
  local ok, err = pcall(core.parse_script, text, "t.sql")
  return not ok and err.message:find "psql command" ~= nil
end

describe("psql's variables", function()
  local db, dir, url

  before_each(function()
    url = support.database()
    db, dir = pgmig.connect(url), support.tempdir()
  end)

  after_each(function() db:close() end)

  local function write(name, text) return support.write(dir, name, text) end

  local function migrator(options)
    options.templates = options.templates or options.render == nil and "psql" or nil
    return pgmig.migrator(db, dir, options)
  end

  local function fails(m)
    local ok, err = pcall(m.migrate, m)
    assert.is_false(ok)
    return err
  end

  --- What psql makes of each text: it prints what it would send, or nothing where a quote is open.
  local function by_psql(texts)
    local script, args = {}, {}
    for i, text in ipairs(texts) do
      -- each in a file of its own: an open quote ends with it
      write(("t%d"):format(i), text .. "\n\\p\n\\r\n")
      script[#script + 1] = ("\\echo <<%d>>\n\\i %s/t%d\n\\r\n"):format(i, dir, i)
    end
    for name, value in pairs(VALUES) do
      args[#args + 1] = "-v " .. support.quote(name .. "=" .. value)
    end
    write("all", table.concat(script) .. "\\echo <<end>>\n")
    local _, out = support.run(("psql -X -q -d %s %s -f %s/all 2>/dev/null"):format(
      support.quote(url), table.concat(args, " "), dir))
    local printed = {}
    for i in ipairs(texts) do
      local mark = ("<<%d>>\n"):format(i)
      local from = assert(select(2, out:find(mark, 1, true)), mark)
      printed[i] = out:sub(from + 1, assert(out:find("<<", from, true)) - 1)
    end
    return printed
  end

  it("are replaced where psql replaces them", function()
    local pick, texts = random(20261129), {}
    for i, piece in ipairs(PIECES) do texts[i] = "SELECT " .. piece end
    for _ = 1, 600 do texts[#texts + 1] = made_up(pick) end
    local printed, compared = by_psql(texts), 0
    for i, text in ipairs(texts) do
      local ok, filled = pcall(core.fill_variables, text .. "\n", "t.sql", VALUES)
      local sent = printed[i]
      if not ok then
        assert.matches("has no value", filled.message)
      elseif sent ~= "" and not has_command(filled) then
        compared = compared + 1
        assert.equal(lines_of(sent), lines_of(filled), text)
      end
    end
    assert.is_true(compared > 400, compared)
  end)

  it("reach the server as psql sends them", function()
    write("001_a.sql", "-- UP\nCREATE SCHEMA :\"schema\";\n"
      .. "CREATE TABLE :schema.t AS SELECT :'text'::text AS v, $$:text$$::text AS w, "
      .. "':text'::text AS u, :{?no}::text AS n;\n"
      .. "COPY :schema.t FROM stdin; -- it's data\n:text\t:schema\t'\tno\n\\.\n"
      .. "INSERT INTO :schema.t (v) VALUES (:'schema');\n-- DOWN\nDROP SCHEMA :schema CASCADE;\n")
    local values = { schema = "app", text = "it's \\ \"so\"" }
    local m = migrator { placeholders = values }
    m:migrate()
    assert.same({
      { v = values.text, w = ":text", u = ":text", n = "false" },
      { v = ":text", w = ":schema", u = "'", n = "no" }, { v = "app" },
    }, db:query "SELECT * FROM app.t")
    assert.equal(core.file_checksum(dir .. "/001_a.sql"),
      db:query "SELECT checksum FROM schema_migrations_history"[1].checksum)
    m:rollback()
    assert.is_false(db:query "SELECT to_regnamespace('app') IS NOT NULL AS there"[1].there)
  end)

  it("without a value are refused with their place, but for slices", function()
    write("001_a.sql", "CREATE TABLE a AS SELECT (ARRAY[1,2,3])[1:n] FROM (SELECT 2 AS n) AS s;\n")
    local path = write("002_b.sql", "SELECT ':no';\nSELECT 'é', :'no' || :x;\n")
    local err = fails(migrator { placeholders = { x = 1 } })
    assert.same({ "parse", "variable :'no' has no value", path, 2, 13 },
      { err.kind, err.message, err.file, err.line, err.column })
    assert.matches("--set NAME=VALUE", err.hint, 1, true)
    write("002_b.sql", "SELECT 1;\n")
    assert.equal(2, #migrator({}):migrate())
  end)

  it("are told by their places in the file", function()
    local path = write("001_a.sql", "SELECT :x,\n  :x, :'y', nope;\n")
    local err = fails(migrator { placeholders = { x = "1, 2,\n3", y = ("y"):rep(50) } })
    assert.same({ "sql", path, 2, 13 }, { err.kind, err.file, err.line, err.column })
    assert.matches("\n    2 |   :x, :'y', nope;\n", tostring(err), 1, true)
  end)

  it("leave ${name} alone, and are no option beside a tool's own placeholders", function()
    write("001_a.sql", "CREATE TABLE a AS SELECT '${x}'::text AS v;\n")
    local warned = {}
    migrator({}):migrate { on_event = function(e)
      if e.type == "warning" then warned[#warned + 1] = e.message end
    end }
    assert.same({}, warned)
    assert.equal("${x}", db:query "SELECT v FROM a"[1].v)
    for _, wrong in ipairs { { templates = "jinja" }, { format = "flyway" },
      { placeholders = { ["a.b"] = "x" } }, { environment = { 1 } } } do
      local ok, err = pcall(migrator, wrong)
      assert.is_false(ok)
      assert.equal("usage", err.kind)
    end
  end)

  it("come from the environment where it is named", function()
    write("001_a.sql", "CREATE TABLE a AS SELECT :'TENANT'::text AS v;\n")
    local function up(flags)
      return support.run(("env TENANT=acme bin/pgmig -d %s --dir %s --templates psql %s up"):format(
        support.quote(url), dir, flags))
    end
    assert.equal(2, (up "--env OTHER"))
    assert.equal(0, (up "--env OTHER --env TENANT"))
    assert.equal("acme", db:query "SELECT v FROM a"[1].v)
    write("002_b.sql", "CREATE TABLE b AS SELECT :'TENANT'::text AS v;\n")
    assert.equal(0, (up "--env TENANT --set TENANT=given"))
    assert.equal("given", db:query "SELECT v FROM b"[1].v)
  end)

  describe("and render", function()
    local function render(fn, given)
      given = given or {}
      given.render = fn
      return migrator(given)
    end

    it("makes the text that is run, of which the checksum is not", function()
      local path = write("001_a.sql", "-- UP\nCREATE TABLE <name> (id int);\n"
        .. "-- DOWN\nDROP TABLE <name>;\n")
      local seen
      local m = render(function(text, migration)
        seen = migration
        return (text:gsub("<name>", migration.name .. "_${x}"))
      end, { placeholders = { x = 1 } })
      assert.equal("CREATE TABLE a_1 (id int)", m:describe(m:plan()[1], "up").statements[1].sql)
      m:migrate()
      assert.same({ path = path, id = "1", version = 1, name = "a", label = "001_a" }, seen)
      assert.is_true(db:query "SELECT to_regclass('a_1') IS NOT NULL AS there"[1].there)
      assert.equal(core.file_checksum(path),
        db:query "SELECT checksum FROM schema_migrations_history"[1].checksum)
      assert.equal("applied", m:status().applied[1].state)
      assert.is_true(m:verify().ok)
      m:rollback()
    end)

    it("tells of a file of a pair which way it goes", function()
      write("1_a.up.sql", "x")
      write("1_a.down.sql", "x")
      local ways = {}
      local m = render(function(_, migration)
        ways[migration.direction] = true
        return "SELECT 1;"
      end, { format = "golang-migrate" })
      m:migrate()
      m:rollback()
      assert.same({ up = true, down = true }, ways)
    end)

    for says, fn in pairs {
      ["render fails: .*broken"] = function() error "broken" end,
      ["render must return a string, not a nil"] = function() end,
      ["render must not wait"] = function() coroutine.yield() end,
    } do
      it("is refused with the file: " .. says, function()
        local path = write("001_a.sql", "SELECT 1;\n")
        local err = fails(render(fn))
        assert.same({ "hook", path }, { err.kind, err.file })
        assert.matches(says, err.message)
      end)
    end
  end)
end)
