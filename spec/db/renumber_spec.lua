-- New numbers after a merge: which file stays, and what the others are called then.
local pgmig = require "pgmig"
local support = require "spec.support"

local SQL = "-- UP\nSELECT 1;\n-- DOWN\n-- pgmig: empty\n"

local function write(dir, ...)
  for _, name in ipairs { ... } do
    os.execute("mkdir -p " .. support.quote(dir .. "/" .. (name:match "^(.*)/" or "")))
    support.write(dir, name, SQL .. "-- " .. name .. "\n")
  end
end

local function names(dir)
  local _, out = support.run("cd " .. support.quote(dir) .. " && find . -type f "
    .. "-not -path '*/.git/*' | cut -c 3- | LC_ALL=C sort | tr '\\n' ' '")
  return out:match "^(.-)%s*$"
end

local function git(dir, words)
  local command = ("git -C %s -c user.name=x -c user.email=x@example.org %s"):format(
    support.quote(dir), words)
  assert.equal(0, (support.run(command)))
end

local function raises(kind, fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  assert.is_true(pgmig.is_error(err, kind), tostring(err))
  return err
end

describe("renumber", function()
  local db, dir

  setup(function() db = pgmig.connect(support.database()) end)
  teardown(function() db:close() end)
  before_each(function() dir = support.tempdir() end)
  after_each(function() db:exec "DROP SCHEMA public CASCADE; CREATE SCHEMA public" end)

  local function renumber(options, given, on)
    return pgmig.migrator(on == nil and db or on or nil, dir, given):renumber(options)
  end

  it("leaves what is applied, and gives the others the next numbers, in their order", function()
    write(dir, "001_a.sql", "002_b.sql", "003_c.sql")
    pgmig.migrator(db, dir):migrate(2)
    write(dir, "002_other.sql", "002_more.lua", "001_x.sql")
    local found = renumber { dry_run = true, keep = dir .. "/003_c.sql" }
    assert.equal("001_a.sql 001_x.sql 002_b.sql 002_more.lua 002_other.sql 003_c.sql", names(dir))
    assert.same({ { path = dir .. "/001_a.sql", reason = "applied" },
      { path = dir .. "/002_b.sql", reason = "applied" } }, found.kept)
    assert.same({ from = dir .. "/001_x.sql", to = dir .. "/004_x.sql" }, found.renamed[1])
    assert.equal("001_x ran before 003_c and now runs behind: check that they do not need it",
      found.notes[1])
    renumber()
    assert.equal("001_a.sql 002_b.sql 003_c.sql 004_x.sql 005_more.lua 006_other.sql", names(dir))
    assert.same({}, renumber().renamed)
  end)

  it("knows an applied one that was renamed by its text, and guesses nothing", function()
    write(dir, "001_a.sql")
    pgmig.migrator(db, dir):migrate()
    os.rename(dir .. "/001_a.sql", dir .. "/001_renamed.sql")
    write(dir, "001_b.sql")
    assert.equal("applied", renumber({ dry_run = true }).kept[1].reason)
    support.write(dir, "001_renamed.sql", "SELECT 2;")
    local err = raises("naming", renumber)
    assert.matches("001_b.sql and .*001_renamed.sql have version 001, and which of them is applied "
      .. "is not known", err.message)
    assert.matches("%-%-keep .*001_b.sql, or %-%-keep", err.hint)
    assert.matches("001_renamde.sql is none of the migration files: it cannot stay",
      raises("usage", renumber, { keep = dir .. "/001_renamde.sql" }).message)
    assert.equal("as told", renumber({ keep = dir .. "/001_renamed.sql" }).kept[1].reason)
    assert.equal("001_renamed.sql 002_b.sql", names(dir))
  end)

  it("without a database, or where none is applied, leaves what is on the main branch", function()
    write(dir, "001_a.sql", "002_b.sql")
    git(dir, "init -q -b trunk .")
    git(dir, "add .")
    git(dir, "commit -qm one")
    write(dir, "002_a.sql")
    for _, on in ipairs { false, db } do
      assert.matches("nothing tells which of them was there first",
        raises("naming", renumber, {}, {}, on).message)
      assert.matches("git knows no branch",
        raises("usage", renumber, { base = "x" }, {}, on).message)
      local found = renumber({ base = "trunk", dry_run = true }, {}, on)
      assert.same({ { path = dir .. "/002_b.sql", reason = "on branch trunk" } }, found.kept)
    end
    git(dir, "branch -q -m trunk main")
    renumber({}, {}, false)
    assert.equal("001_a.sql 002_b.sql 003_a.sql", names(dir))
    write(dir, "003_c.sql")
    git(dir, "add .")
    git(dir, "commit -qm both")
    assert.matches("branch main does not tell them apart", raises("naming", renumber).message)
    assert.equal("001_a.sql 002_b.sql 003_a.sql 003_c.sql", names(dir))
  end)

  it("moves what is below the newest applied one on request only", function()
    write(dir, "001_a.sql", "003_c.sql", "004_d.sql")
    pgmig.migrator(db, dir):migrate(3)
    write(dir, "002_b.sql")
    assert.same({}, renumber().renamed)
    renumber { out_of_order = true }
    assert.equal("001_a.sql 003_c.sql 004_d.sql 005_b.sql", names(dir))
    raises("usage", renumber, { out_of_order = true }, {}, false)
  end)

  it("moves pairs, folders and what else belongs to a migration, in each format", function()
    for format, case in pairs {
      ["golang-migrate"] = { "01_a.up.sql", "01_a.down.sql", "01_b.down.sql 01_b.up.sql",
        "01_a.down.sql 01_a.up.sql 02_b.down.sql 02_b.up.sql" },
      sqlx = { "1_a.sql", "1_b.down.sql", "1_b.up.sql", "1_a.sql 2_b.down.sql 2_b.up.sql" },
      diesel = { "2024-01-15-103000_a/up.sql", "2024-01-15-103000_b/up.sql",
        "2024-01-15-103000_b/metadata.toml",
        "2024-01-15-103000_a/up.sql NEW_b/metadata.toml NEW_b/up.sql" },
      dbmate = { "20240115103000_a.sql", "20240115103000_b.sql",
        "20240115103000_a.sql NEW_b.sql" },
      flyway = { "V1.9__a.sql", "V1.9__b.sql", "U1.9__b.sql",
        "V1.9__a.sql V2__b.sql U2__b.sql" },
      popx = { "20240115103000_a.up.sql", "20240115103000_b.up.sql",
        "20240115103000_b.postgres.up.sql",
        "20240115103000_a.up.sql NEW_b.postgres.up.sql NEW_b.up.sql" },
      tern = { "001_a.sql", "001_b.sql", "001_a.sql 002_b.sql" },
      ["postgres-migrations"] = { "1_a.sql", "1_b.sql", "1_a.sql 2_b.sql" },
      refinery = { "V1__a.sql", "V1__b.sql", "V1__a.sql V2__b.sql" },
    } do
      dir = support.tempdir()
      local before = table.concat(case, " ", 1, #case - 1)
      for name in before:gmatch "%S+" do write(dir, name) end
      local first = names(dir):match "%S*a[./]%S*"
      renumber({ keep = dir .. "/" .. first }, { format = format }, false)
      local list = {}
      for name in case[#case]:gmatch "%S+" do list[#list + 1] = name end
      local after = names(dir):gsub("20[2-9]%d%-?%d%d%-?%d%d%-?%d%d%d%d%d%d_b", "NEW_b")
      table.sort(list)
      assert.equal(table.concat(list, " "), after, format)
    end
  end)

  it("renames nothing where one file cannot be", function()
    write(dir, "001_a.sql", "001_b.sql", "001_c.sql")
    os.execute(("mkdir %s/003_c.sql"):format(support.quote(dir)))
    local err = raises("io", renumber, { keep = dir .. "/001_a.sql" })
    assert.matches("003_c.sql", tostring(err))
    assert.matches("nothing was renamed", err.hint)
    assert.equal("001_a.sql 001_b.sql 001_c.sql", names(dir))
  end)

  it("is refused where numbers are not those of names, or nothing belongs together", function()
    assert.matches("commit", raises("usage", renumber, {}, { format = "graphile-migrate" }).message)
    raises("usage", renumber, {}, { format = "sql-migrate" })
    assert.matches("order of these migrations is that of", raises("usage", renumber, {},
      { format = "sqitch" }, false).message)
    write(dir, "001_a.up.sql", "001_a.down.sql", "001_b.down.sql")
    assert.matches("no UP file", raises("naming", renumber, {},
      { format = "golang-migrate" }, false).message)
    dir = support.tempdir()
    write(dir, "001_a.sql", "001_a.lua")
    assert.matches("version 001 and one name", raises("naming", renumber, {}, {}, false).message)
  end)
end)
