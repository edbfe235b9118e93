-- Which files of a folder are migrations, which are named, and which nobody needs to hear of.
local files = require "pgmig.files.list"
local formats = require "pgmig.formats"
local history = require "spec.support.history"
local support = require "spec.support"

--- Read a folder with these files, and folders whose names end with a slash, as a format does.
local function read(format, names)
  local dir, texts = support.tempdir(), {}
  for _, name in ipairs(names) do
    if name:sub(-1) == "/" then
      os.execute(("mkdir '%s/%s'"):format(dir, name))
    else
      texts[name] = "SELECT 1;"
    end
  end
  history.write(dir, texts)
  local given = formats.load(format)
  local set = files.read({ dir }, given.naming, given)
  assert.same({}, set.wrong)
  local reasons = {}
  for _, path in ipairs(set.ignored) do reasons[path:sub(#dir + 2)] = set.reasons[path] end
  return history.labels(set.list), reasons, given.naming.pattern
end

-- The files that the tool runs, and their labels.
local run = {
  { "sql-migrate", { "1-a.sql", "2_b.sql", "3.sql", "04.c.sql", "5 d.sql" },
    "1-a 2_b 3 04.c 5 d" },
  { "sql-migrate", { "2_a.sql", "2-b.sql", "02-c.sql", "2-a.sql", "10-d.sql" },
    "02-c 2-a 2-b 2_a 10-d" },
  { "maragu", { "1_b.up.sql", "1-c.up.sql", "1.up.sql" }, "1 1-c 1_b" },
  { "maragu", { "1.up.sql", "1.down.sql", "2-b.up.sql", "2-b.down.sql", "3_c_up.sql" },
    "1 2-b 3_c" },
  { "node-pg-migrate", { "1718000000000.sql", "1718000000001-b.sql", "1718000000002c.sql",
    "1718000000003_d-e.sql", "1718000000004.f.sql" },
    "1718000000000 1718000000001-b 1718000000002c 1718000000003_d-e 1718000000004.f" },
  { "golang-migrate", { "1_a.up.pgsql", "1_a.down.pgsql", "2_.up.sql", "3_c.up.SQL",
    "4_d.up.psql" }, "1_a 2_ 3_c 4_d" },
  { "popx", { "20240101000001_a.pg.up.sql", "20240101000002_b.pgx.autocommit.up.sql",
    "20240101000003_c.all.up.sql", "sub/20240101000004_d.postgresql.up.sql" },
    "20240101000001_a 20240101000002_b 20240101000003_c 20240101000004_d" },
  { "flyway", { "V1.sql", "V2__.sql", "V3_1__c.sql", "V4__d__e.sql", "a/b/V5__f.sql" },
    "1 2 3_1_c 4_d__e 5_f" },
  { "graphile-migrate", { "committed/000001.sql", "committed/000002-b_c.sql" },
    "000001 000002-b_c" },
  { "graphile-migrate", { "000001.sql", "2-.sql" }, "000001 2-" },
  { "dbmate", { "1.sql", "2a.sql", "3-c.sql" }, "1 2a 3-c" },
  { "sqlx", { "1_a.sql", "2_.sql", "3_b.up.sql" }, "1_a 2_ 3_b" },
  { "pgmig", { "001_a.sql.sql", "2_b.lua", "3_c d.sql" }, "001_a.sql 2_b 3_c d" },
}

-- Files that look like migrations, and do not run.
local named = {
  pgmig = {
    "002_b.SQL", "003_c.sql.txt", "004_d.psql", "005_e.pgsql", "006_f.sql ", "007_g.sql\t",
    "008_h.sql\194\160", "009_i.sql.", "010_j.sql (1)", "011_k.sql.gz", "012_l.sq", "013_m.slq",
    "014_n", "015_o.LUA", "016_p.lua ", "017-q.sql", "018.sql", " 019_r.sql", "schema.sql",
    "020_s.Sql.TXT", "021_t.ddl", "022_u.", "023_v/", "024/", "025_w.sql/",
  },
  flyway = { "v1__a.sql", "V2_b.sql", "V3__c.SQL", "R_d.sql", "afterMigrate.sql",
    "V4__f.java", "V5__g.sql.txt", "V6__h.sql " },
  ["golang-migrate"] = { "1_a.sql", "2-b.up.sql", "3_c.up.go", "4_d.up.json", "5_e.down.sql",
    "6_f.up.sql.bak" },
  maragu = { "1_a.sql", "init.up.sql", "2_b.up.go" },
  popx = { "1_a.oracle.up.sql", "2_b.up.fizz", "3_c.sql", "4_d.up.SQL" },
  ["graphile-migrate"] = { "committed/000001(2).sql", "committed/x.sql", "5-hook.sql",
    "committed/000002_b.sql" },
  sqlx = { "1-a.sql", "b.sql", "2_c.SQL", "3_d.up/" },
  goose = { "1-a.sql", "2_b.SQL", "3_c.go", "4_d/" },
  ["sql-migrate"] = { "init.sql", "1-a.SQL" },
  ["node-pg-migrate"] = { "a.sql", "1718000000000-b.ts", "1718000000001_c.SQL" },
  diesel = { "a/up.sql", "2024-01-01-000000_b/Up.sql", "2024-01-01-000001_c.sql",
    "2024-01-01-000002_d/upp.sql" },
  dbmate = { "a.sql", "1_b.SQL", "2_c.lua" },
  tern = { "001.sql", "1-a.sql" },
}

-- What has nothing to do with it.
local silent = {
  pgmig = { "001_a.sql~", "#001_a.sql#", "001_a.sql.bak", "001_a.sql.orig", "001_a.sql.swp",
    "README.md", "a.lua", "notes.txt", "archive/", "data.sqlite", "001_a.sqlite3", "seed/001_a.sql",
    "001_a.csv" },
  popx = { "1_a.mysql.up.sql", "2_b.cockroach.down.sql", "3_c.sqlite3.up.sql", "testdata/1_x.sql" },
  ["graphile-migrate"] = { "current.sql", "afterReset.sql", "fixtures/a.sql", "current/1-a.sql" },
  ["golang-migrate"] = { "embed.go", "README.md" },
  goose = { "README.md", "testdata/1_x.sql" },
}

describe("a folder", function()
  for _, row in ipairs(run) do
    it(("runs as %s does: %s"):format(row[1], row[3]), function()
      local labels, reasons = read(row[1], row[2])
      assert.same({ row[3], {} }, { labels, reasons })
    end)
  end

  for format, names in pairs(named) do
    it("names what looks like a migration of " .. format, function()
      local labels, ignored, pattern = read(format, names)
      assert.equal("", labels)
      for _, name in ipairs(names) do
        local reason = assert.is_string(ignored[name], name)
        assert.is_truthy(reason:find(pattern, 1, true) or reason:find "is code"
          or reason:find "has no UP file", name .. " " .. reason)
      end
    end)
  end

  for format, names in pairs(silent) do
    it("says nothing of other files beside those of " .. format, function()
      local labels, ignored = read(format, names)
      assert.same({ "", {} }, { labels, ignored })
    end)
  end

  it("that a link leads to is named", function()
    local dir, other = support.tempdir(), support.tempdir()
    os.execute(("ln -s %s %s/001_a"):format(other, dir))
    local given = formats.load "pgmig"
    local set = files.read({ dir }, given.naming, given)
    assert.same({ dir .. "/001_a/" }, set.ignored)
    assert.matches("is a folder", set.reasons[dir .. "/001_a/"])
    os.execute(("mv %s/001_a %s/shared; mkdir -p %s/1/2/3/4/5/6/7/8/9"):format(dir, dir, dir))
    given = formats.load "flyway"
    set = files.read({ dir }, given.naming, given)
    assert.same({ dir .. "/1/2/3/4/5/6/7/8/9/", dir .. "/shared/" }, set.ignored)
    assert.matches("symbolic link", set.reasons[dir .. "/shared/"])
  end)
end)
