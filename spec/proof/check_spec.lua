-- What check says of pending migrations: on clones, by the corpus of dangerous and harmless ones,
-- and in all the ways in which a statement can be written.
local checks = require "pgmig.proof.check"
local cli = require "spec.cli.helper"
local clones = require "pgmig.proof.clone"
local corpus = dofile "spec/fixtures/check_corpus.lua"
local dkjson = require "dkjson"
local pgmig = require "pgmig"
local scratch = require "pgmig.scratch"
local support = require "spec.support"

local unpack = unpack or table.unpack

--- A folder of migrations, by name.
local function folder(files)
  local dir = support.tempdir()
  for name, text in pairs(files) do support.write(dir, name, text) end
  return dir
end

--- The findings that are more than notes, as "id relation", sorted and without doubles.
local function told(result)
  local set, list = {}, {}
  for _, finding in ipairs(result.findings) do
    local word = finding.id .. (finding.relation and " " .. finding.relation or "")
    if finding.severity ~= "note" and not finding.accepted and not set[word] then
      set[word] = true
      list[#list + 1] = word
    end
  end
  table.sort(list)
  return table.concat(list, ", ")
end

--- The findings of an id.
local function of(result, id)
  local list = {}
  for _, finding in ipairs(result.findings) do
    if finding.id == id then list[#list + 1] = finding end
  end
  return list
end

-- One clone for all: a server takes a second to start.
local clone

setup(function() clone = clones.open {} end)
teardown(function() clone:close() end)

--- Check a folder.
local function check(dir, options, given)
  options = options or {}
  local session = checks.session(pgmig.migrator(nil, dir, given), options, clone)
  return session:check(options.applied_to or 1)
end

local goose = { format = "goose" }
local goose_base = "-- +goose Up\n-- +goose StatementBegin\n" .. corpus.base
  .. "\n-- +goose StatementEnd\n"

local bases = {} -- migrators by their folders: each has its template in the clone

--- Check one file behind the corpus's schema.
-- @param name of the file
-- @param given of the migrator; nil
local function check_file(name, text, options, given)
  local key = name .. (given and given.format or "")
  if not bases[key] then
    local dir = folder { ["001_base.sql"] = given == goose and goose_base or corpus.base }
    bases[key] = { dir = dir, migrator = pgmig.migrator(nil, dir, given) }
  end
  support.write(bases[key].dir, name, text)
  return checks.session(bases[key].migrator, options or {}, clone):check(1)
end

local function check_sql(text, options) return check_file("002_b.sql", text, options) end

local function base_and(name, text)
  return folder { ["001_base.sql"] = corpus.base, [name] = text }
end

describe("of the corpus, check", function()
  local dir, migrator

  setup(function()
    dir = base_and("002_case.sql", "")
    migrator = pgmig.migrator(nil, dir)
  end)

  local function is_to_come(case) return clone.version < (case.since or 0) * 10000 end

  local function result_of(case, sql)
    support.write(dir, "002_case.sql", (case.off and "-- pgmig: transaction=off\n" or "") .. sql)
    local session = checks.session(migrator, { facts = case.facts and corpus.facts }, clone)
    return session:check(1)
  end

  it("finds all that is dangerous", function()
    local missed = {}
    for _, case in ipairs(corpus.dangerous) do
      local found = false
      for _, finding in ipairs(of(result_of(case, case[3]), case[2])) do
        found = found or finding.severity ~= "note"
      end
      if not found and not is_to_come(case) then missed[#missed + 1] = case[1] end
    end
    assert.same({}, missed)
  end)

  it("blames nothing that is harmless", function()
    local blamed = {}
    for _, case in ipairs(corpus.harmless) do
      local words = is_to_come(case) and "" or told(result_of(case, case[2]))
      if words ~= "" then blamed[#blamed + 1] = case[1] .. ": " .. words end
    end
    assert.same({}, blamed)
  end)
end)

describe("a finding", function()
  it("has its place, what waits, why, and the safe way with the real names", function()
    local result = check_sql("-- UP\nSELECT 1;\n\n  CREATE INDEX orders_placed "
      .. "ON orders (placed);\n-- DOWN\nDROP INDEX orders_placed;\n")
    local finding = of(result, "index-build-blocks")[1]
    assert.same({ 4, 3, 2, "002_b", "public.orders", "SHARE" }, {
      finding.line, finding.column, finding.statement, finding.migration, finding.relation,
      finding.lock,
    })
    assert.matches("writes to orders wait until COMMIT (SHARE)", finding.message, 1, true)
    assert.matches("CREATE INDEX CONCURRENTLY orders_placed ON orders (placed);", finding.rewrite,
      1, true)
    assert.equal("docs/check.md#index-build-blocks", finding.link)
  end)

  --- The safe way that is told for a statement.
  local function rewrite_of(id, sql)
    local finding = of(check_sql(sql), id)[1]
    return finding and finding.rewrite or "no finding " .. id
  end

  it("tells a way that works, for constraints", function()
    local sql = rewrite_of("scan-under-lock",
      "ALTER TABLE orders ADD CONSTRAINT many CHECK (quantity > 0);")
    local first, second = sql:match "^(.-)%-%- and in the next migration:\n(.*)$"
    assert.equal("", told(check(folder {
      ["001_base.sql"] = corpus.base, ["002_a.sql"] = first, ["003_b.sql"] = second,
    })))
  end)

  it("tells a way that works, for NOT NULL", function()
    support.needs(pending, 12, "NOT NULL by way of a CHECK")
    local sql = rewrite_of("scan-under-lock", "ALTER TABLE users ALTER COLUMN role SET NOT NULL;")
    local files, n = { ["001_base.sql"] = corpus.base }, 1
    for part in (sql .. "\n-- and in the next migration:\n"):gmatch
      "(.-)%-%- and in the next migration:\n" do
      n = n + 1
      files[("00%d_step.sql"):format(n)] = part
    end
    assert.equal(4, n)
    assert.equal("", told(check(folder(files))))
  end)

  it("tells a way that works, for a unique constraint", function()
    local sql = rewrite_of("index-build-blocks",
      "ALTER TABLE orders ADD CONSTRAINT orders_ref_key UNIQUE (ref);")
    local first, second = sql:match "^(.-)%-%- and in the next migration:\n(.*)$"
    assert.equal("", told(check(folder {
      ["001_base.sql"] = corpus.base, ["002_a.sql"] = first, ["003_b.sql"] = second,
    })))
  end)

  it("is the same for SQL, a DO block, a migration in Lua and goose's format", function()
    for _, sql in ipairs {
      "ALTER TABLE orders ALTER COLUMN quantity TYPE bigint", "CREATE INDEX o ON orders (placed)",
      "ALTER TABLE users DROP COLUMN bio", "UPDATE users SET role = 'x'",
      "ALTER TABLE users ADD COLUMN plan text NOT NULL", "ALTER TABLE users RENAME bio TO about",
      "ALTER TABLE items ADD FOREIGN KEY (order_id) REFERENCES orders",
      "ALTER TABLE users ADD COLUMN nick text",
    } do
      local expected = told(check_sql(sql .. ";"))
      local block = "DO $$ BEGIN " .. sql .. "; END $$;"
      assert.equal(expected, told(check_sql(block)), block)
      local code = ("return { up = function(db)\n  db:exec [[%s]]\nend }"):format(sql)
      assert.equal(expected, told(check_file("002_b.lua", code)), code)
      local marked = "-- +goose Up\n" .. sql .. ";\n"
      assert.equal(expected, told(check_file("002_b.sql", marked, nil, goose)), marked)
    end
  end)

  it("is not made for what the pending migrations have made themselves", function()
    local dir = folder {
      ["001_a.sql"] = "CREATE TABLE a (id bigint PRIMARY KEY, n int);",
      ["002_b.sql"] = "CREATE INDEX i ON a (n); ALTER TABLE a ALTER n TYPE bigint;",
      ["003_c.sql"] = "ALTER TABLE a RENAME n TO m; ALTER TABLE a ADD CHECK (m > 0);",
      ["004_d.sql"] = "UPDATE a SET m = 1; ALTER TABLE a ADD COLUMN c int NOT NULL; DROP TABLE a;",
    }
    assert.equal("", told(check(dir, { applied_to = "none" })))
  end)

  it("is made for a table that is dropped, though one of its name is made again", function()
    assert.equal("breaks-application public.items",
      told(check_sql "DROP TABLE items; CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL);"))
  end)

  it("is made for a way back that does not lead back, and one that cannot be parsed", function()
    local result = check_sql("-- UP\nALTER TABLE users ADD COLUMN a int, ADD COLUMN b int;\n"
      .. "-- DOWN\nALTER TABLE users DROP COLUMN a;\n")
    local finding = of(result, "down")[1]
    assert.equal("warning", finding.severity)
    assert.matches("rolling back leaves something behind: .*column b", finding.message)
    assert.same({}, of(check_sql("-- UP\nALTER TABLE users ADD COLUMN a int;\n-- DOWN\n"
      .. "ALTER TABLE users DROP COLUMN a;\n"), "down"))
    local dir = folder {
      ["1_a.up.sql"] = "CREATE TABLE a (id int PRIMARY KEY);", ["1_a.down.sql"] = "DROP TABLE $$a;",
    }
    result = check(dir, { applied_to = "none" }, { naming = pgmig.naming.paired })
    finding = of(result, "syntax")[1]
    assert.same({ "warning", "1_a", 1 }, { finding.severity, finding.migration, finding.line })
  end)

  it("weighs what production's tables have, and says how long", function()
    local dir = base_and("002_b.sql", "CREATE INDEX o ON orders (placed);\n"
      .. "CREATE INDEX c ON countries (name);")
    local result = check(dir, { facts = corpus.facts })
    local large, small = unpack(of(result, "index-build-blocks"))
    assert.same({ "error", "note", true }, { large.severity, small.severity, small.small })
    assert.matches("orders, 11 GB: writes blocked about %d+ %a+ %(at the speed of this machine%)",
      large.forecast)
    assert.is_nil(small.forecast)
  end)
end)

describe("an acceptance", function()
  local function result_of(...) return check_sql(table.concat({ ... }, "\n")) end
  local INDEX = "CREATE INDEX o ON orders (placed);"

  it("at the top counts for the file, with its reason", function()
    local result = result_of("-- pgmig: lint-ignore=index-build-blocks at night, nobody writes",
      "SELECT 1;", INDEX)
    local finding = of(result, "index-build-blocks")[1]
    assert.equal("at night, nobody writes", finding.accepted)
    assert.same({ 0, 0, 1 }, { result.counts.error, result.counts.warning, result.counts.accepted })
  end)

  it("between statements counts for the next one", function()
    local result = result_of("-- UP", "SELECT 1;", "-- pgmig: lint-ignore=index-build-blocks small",
      INDEX, "CREATE INDEX p ON orders (code);")
    local first, second = unpack(of(result, "index-build-blocks"))
    assert.same({ "small" }, { first.accepted, second.accepted })
    assert.equal(1, result.counts.error)
  end)

  it("that is unknown, unneeded or without a reason is a finding", function()
    local result = result_of("-- pgmig: lint-ignore=rewirte,rewrite because",
      "-- pgmig: lint-ignore=index-build-blocks", INDEX)
    local words = {}
    for i, finding in ipairs(of(result, "lint-ignore")) do
      words[i] = ("%d %s %s"):format(finding.line, finding.severity, finding.message)
    end
    assert.same({
      "1 warning lint-ignore=rewirte: there is no such finding",
      "1 warning lint-ignore=rewrite: nothing here needs it",
      "2 note lint-ignore=index-build-blocks has no reason",
    }, words)
  end)

  it("works in a migration in Lua and in goose's format", function()
    local accepted = "-- pgmig: lint-ignore=index-build-blocks small\n"
    local code = accepted .. "return { up = function(db) db:exec [[" .. INDEX .. "]] end }"
    assert.equal("", told(check_file("002_b.lua", code)))
    local marked = "-- +goose Up\n" .. accepted .. INDEX .. "\n"
    assert.equal("", told(check_file("002_b.sql", marked, nil, goose)))
  end)
end)

describe("rules in Lua", function()
  --- The config in the documents.
  local function documented()
    local code = support.read("docs/check.md"):match "```lua\n(%-%- pgmig%.conf%.lua.-)```"
    return assert(load(code))()
  end

  it("of the documents do what is said of them", function()
    local dir = base_and("002_b.sql", "ALTER TABLE items ADD COLUMN price2 money;\n"
      .. "CREATE INDEX by_sku ON items (sku);\nALTER TABLE orders ADD COLUMN v varchar(5);\n"
      .. "UPDATE keyless SET a = 1;")
    local result = check(dir, { facts = corpus.facts }, documented())
    assert.equal("column price2 is money; use numeric", of(result, "no-money")[1].message)
    assert.equal("warning", of(result, "no-money")[1].severity)
    assert.equal("index by_sku should be called items_...", of(result, "index-names")[1].message)
    assert.equal("orders has 90000000 rows: ask the database team first",
      of(result, "large-tables")[1].message:gsub("public%.", ""))
    assert.same({}, of(result, "varchar-limit"))
    assert.equal("error", of(result, "mass-write")[1].severity)
  end)

  it("replace one of pgmig's own, and are refused where they are wrong", function()
    local dir = base_and("002_b.sql", "UPDATE keyless SET a = 1;")
    local result = check(dir, {
      rules = { ["mass-write"] = function(_, _, report)
        report { message = "mine", severity = "note" }
      end },
    })
    assert.equal("mine", of(result, "mass-write")[1].message)
    for _, wrong in ipairs {
      { ["mass-write"] = "loud" }, { ["no-such"] = false }, { x = 3 },
      { x = function(_, _, report) report { severity = "note" } end },
    } do
      local ok, err = pcall(check, dir, { rules = wrong })
      assert.is_true(not ok and pgmig.is_error(err, "usage"), tostring(err))
    end
    local ok, err = pcall(check, dir, { rules = { x = function() error "no" end } })
    assert.is_true(not ok and pgmig.is_error(err, "lua"), tostring(err))
    assert.matches("rule x: .*no", err.message)
  end)
end)

describe("queries of an application", function()
  local queries = {
    "SELECT * FROM users WHERE id = $1", "SELECT email FROM users WHERE id = $1",
    "SELECT bio FROM users WHERE email = $1", "UPDATE users SET bio = $1 WHERE id = $2",
    "INSERT INTO users (id, email) VALUES ($1, $2)",
    "INSERT INTO users (id, email) VALUES ($1, $2) RETURNING *", "SELECT nope FROM users",
    "SELECT id, name FROM users WHERE feeling = $1", "SELECT count(*) FROM orders",
    "SELECT id FROM users WHERE seen > $1 AND state = ANY ($2)",
  }

  --- Which of them break, and how: numbers, with "c" where only as prepared before.
  local function broken(sql)
    local result, list = check_sql(sql, { queries = queries }), {}
    for _, finding in ipairs(of(result, "breaks-application")) do
      local number = finding.query and finding.message:match "query (%d+) of 10"
      if number then
        local only_cached = finding.severity == "warning" and "c" or ""
        list[#list + 1] = number .. only_cached .. ":" .. finding.line
      end
    end
    table.sort(list)
    return table.concat(list, " "), result
  end

  it("are told where they break, by which statement, prepared before or anew", function()
    local words, result = broken "SELECT 1;\nALTER TABLE users DROP COLUMN bio;"
    assert.equal("1c:2 3:2 4:2 6c:2", words)
    assert.matches("1 of 10 queries do not work on the schema as it is", table.concat(result.notes))
    assert.equal("1c:1 6c:1", (broken "ALTER TABLE users ADD COLUMN nick text;"))
    assert.equal("1c:1 3:1 4:1 6c:1", (broken "ALTER TABLE users RENAME COLUMN bio TO about;"))
    assert.equal("1c:1 6c:1 8c:1", (broken "ALTER TABLE users ALTER COLUMN name TYPE text;"))
    assert.equal("10:3 1:3 2:3 3:3 4:3 5:3 6:3 8:3",
      (broken "SELECT 1;\nSELECT 2;\nALTER TABLE users RENAME TO people;"))
    assert.equal("1c:1 5:1 6:1", (broken "ALTER TABLE users ADD COLUMN plan text NOT NULL;"))
    assert.equal("1c:1 6c:1 9:2",
      (broken "ALTER TABLE users ADD COLUMN a int;\nDROP TABLE orders CASCADE;"))
    assert.equal("", (broken "CREATE INDEX o ON orders (placed);"))
  end)

  it("are told in a migration in Lua and in one without a transaction", function()
    local code = "return { up = function(db) db:exec 'ALTER TABLE users DROP COLUMN bio' end }"
    local result = check_file("002_b.lua", code, { queries = queries })
    assert.equal(4, #of(result, "breaks-application") - 1) -- one is of the column itself
    assert.equal("1c:2 3:2 4:2 6c:2",
      (broken "-- pgmig: transaction=off\nALTER TABLE users DROP COLUMN bio;"))
  end)

  it("are those that the database has seen, with their calls", function()
    local server = scratch.start { settings = { shared_preload_libraries = "pg_stat_statements" } }
    local db = pgmig.connect(server:url())
    db:exec("CREATE EXTENSION pg_stat_statements; CREATE TABLE t (id bigint PRIMARY KEY, a int)")
    for i = 1, 3 do db:query("SELECT a FROM t WHERE id = $1", i) end
    local dir = folder {
      ["001_a.sql"] = "CREATE TABLE t (id bigint PRIMARY KEY, a int);",
      ["002_b.sql"] = "ALTER TABLE t DROP COLUMN a;",
    }
    local result = pgmig.migrator(db, dir):check { queries = "pg_stat_statements", applied_to = 1 }
    local found = {}
    for _, finding in ipairs(result.findings) do
      if finding.query then found[#found + 1] = finding end
    end
    db:close()
    server:stop()
    assert.equal(1, #found)
    assert.same({ "SELECT a FROM t WHERE id = $1", 3, "42703" }, {
      found[1].query, found[1].calls, found[1].sqlstate,
    })
  end)

  it("are read from a file, one a line", function()
    local dir = base_and("002_b.sql", "ALTER TABLE users DROP COLUMN bio;")
    local path = support.write(support.tempdir(), "q.sql",
      "-- mine\n\nSELECT bio FROM users;\r\n  SELECT id FROM users WHERE id = $1 ;\n")
    local result = check(dir, { queries = path })
    assert.matches("query 1 of 2 fails: column \"bio\" does not exist", of(result,
      "breaks-application")[1].message, 1, true)
  end)
end)

local HARMLESS = "-- UP\nCREATE TABLE d (id bigint PRIMARY KEY);\n-- DOWN\nDROP TABLE d;\n"

describe("the command", function()
  local project, process

  before_each(function()
    project = cli.project()
    project.write("004_d.sql", "-- UP\nCREATE INDEX a_id ON a (id);\n-- DOWN\nDROP INDEX a_id;\n")
    project.run "up --to 3"
  end)
  after_each(function()
    if process and process:is_running() then process:kill "KILL" end
    project.close()
  end)

  it("exits with 3, shows line and caret, and what to do instead", function()
    local code, out, err = project.run "check"
    assert.same({ 3, "" }, { code, err })
    assert.matches("004_d.sql:2:1: error: index a_id is built; writes to a wait until COMMIT "
      .. "(SHARE) [index-build-blocks]\n    2 | CREATE INDEX a_id ON a (id);\n        ^\n", out, 1,
      true)
    assert.matches("CREATE INDEX CONCURRENTLY a_id ON a (id);", out, 1, true)
    assert.matches("checked 1 migration with 1 statement: 1 error, 0 warnings, ", out, 1, true)
  end)

  it("fails on warnings where that is asked for", function()
    project.write("004_d.sql", "-- UP\nALTER TABLE a DROP COLUMN id;\n-- DOWN\nSELECT 1;\n")
    assert.equal(0, (project.run "check"))
    assert.equal(3, (project.run "check --fail-on warning"))
  end)

  it("reports in JSON, SARIF, Markdown and for GitHub", function()
    local _, out = project.run "--json check"
    local object = dkjson.decode(out:match "[^\n]+%s*$")
    assert.same({ "index-build-blocks", 2, 1 }, {
      object.findings[1].id, object.findings[1].line, object.counts.error,
    })
    local sarif = dkjson.decode((select(2, project.run "check --report sarif")))
    local first = sarif.runs[1].results[1]
    assert.same({ "2.1.0", "index-build-blocks", "error", 2 }, {
      sarif.version, first.ruleId, first.level,
      first.locations[1].physicalLocation.region.startLine,
    })
    assert.equal(first.ruleId, sarif.runs[1].tool.driver.rules[first.ruleIndex + 1].id)
    _, out = project.run "check --report github"
    assert.matches("^::error file=[^\n]*004_d.sql,line=2,col=1,title=pgmig check%%3A "
      .. "index%-build%-blocks::index a_id is built; [^\n]*%%0Awhy: ", out)
    _, out = project.run "check --report markdown"
    assert.matches("### error: index a\\_id is built; ", out, 1, true)
    assert.matches("```sql\n.*CREATE INDEX CONCURRENTLY a_id", out)
  end)

  it("keeps `up --check` from beginning", function()
    local code, out = project.run "up --check"
    assert.equal(3, code)
    assert.matches("error: index a_id is built", out, 1, true)
    assert.equal("a b c schema_migrations", cli.tables(project.db))
    assert.equal(3, project.db:query("SELECT count(*) AS n FROM schema_migrations")[1].n)
    project.write("004_d.sql", HARMLESS)
    assert.equal(0, (project.run "up --check"))
    assert.equal("a b c d schema_migrations", cli.tables(project.db))
  end)

  it("reads what `stats` has written", function()
    local code, out = project.run "stats"
    assert.equal(0, code)
    local facts = dkjson.decode(out)
    assert.same({ "r", 0 }, { facts.relations["public.a"].kind, facts.relations["public.a"].bytes })
    assert.is_string(facts.settings.TimeZone)
    local path = support.write(support.tempdir(), "stats.json", out)
    assert.equal(0, (project.run("check --facts " .. path))) -- it is small
    path = support.write(support.tempdir(), "x.json", "{}")
    local _, _, err = project.run("check --facts " .. path)
    assert.matches("this is no file of `pgmig stats`", err, 1, true)
  end)

  it("tells a mistyped file, with its place", function()
    project.write("004_d.sql", "-- UP\nSELECT 'a;\n-- DOWN\n")
    local code, out = project.run "check"
    assert.equal(3, code)
    assert.matches("004_d.sql:2:8: error: unterminated quoted string [syntax]", out, 1, true)
  end)

  it("takes queries that the database has seen, or says what is missing", function()
    local code, _, err = project.run "check --queries pg_stat_statements"
    assert.equal(2, code)
    assert.matches("does not have the extension pg_stat_statements", err, 1, true)
  end)

  it("checks the newest file again when it is saved", function()
    process = cli.start(project.words "check --watch", project.env())
    process:pid() -- its output is there then
    support.wait(function() return process:out():find "checked 1 migration" end, "a first check")
    project.write("004_d.sql", HARMLESS)
    support.wait(function() return process:out():find "0 errors, 0 warnings" end, "a second check")
    process:kill "INT"
    assert.equal(130, process:code())
  end)
end)
