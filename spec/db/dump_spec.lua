-- Plain dumps as migrations: what pg_dump writes and pgmig applies must be what psql makes of it.
local pgmig = require "pgmig"
local support = require "spec.support"

describe("a dump of pg_dump's", function()
  local source

  --- Run pg_dump; the spec is pending where that is older than the server.
  local function dump(url, options)
    local code, text, err = support.run(("pg_dump %s -d %s"):format(options, support.quote(url)))
    if err:find "server version mismatch" then pending "pg_dump is older than the server" end
    assert.equal(0, code, err)
    return text
  end

  --- All that is in a database but for pgmig's tables, large objects by their contents.
  local function state(url)
    local text = dump(url, "-B -T 'schema_migrations*'")
    return text:gsub("\n\\u?n?restrict [^\n]*", "") .. support.psql(url, [[
      SELECT oid, lomowner::regrole, lomacl, md5(lo_get(oid)),
        obj_description(oid, 'pg_largeobject')
      FROM pg_largeobject_metadata ORDER BY oid]])
  end

  local function restore(url, path)
    local code, _, err = support.run(
      ("psql -Xq -v ON_ERROR_STOP=1 -o /dev/null -d %s -f %s"):format(support.quote(url), path))
    assert.equal(0, code, err)
  end

  local function migrate(url, dir, options)
    local db = pgmig.connect(url)
    local ok, err = pcall(function() pgmig.migrator(db, dir, options):migrate() end)
    db:close()
    assert(ok, tostring(err))
  end

  --- Apply a dump with psql and with pgmig, to databases that `prepare` has had in hand.
  local function same(text, options, prepare)
    local dir = support.tempdir()
    local path = support.write(dir, "001_dump.sql", text)
    local by_psql, by_pgmig = support.database(), support.database()
    for _, url in ipairs { by_psql, by_pgmig } do
      if prepare then prepare(url) end
    end
    restore(by_psql, path)
    migrate(by_pgmig, dir, options)
    assert.equal(state(by_psql), state(by_pgmig))
    return by_pgmig
  end

  setup(function()
    support.psql(support.server():url(), [[CREATE ROLE down; CREATE ROLE "spec ""reader"]])
    source = support.database()
    restore(source, "spec/fixtures/dumped.sql")
  end)

  it("makes what it was made of", function()
    assert.equal(state(source), state(same(dump(source, ""))))
  end)

  for _, options in ipairs {
    "--inserts", "--verbose --quote-all-identifiers --disable-dollar-quoting",
    "--no-owner --no-acl --column-inserts --rows-per-insert=3",
  } do
    it("makes what it makes with psql, with " .. options, function()
      local text = dump(source, options)
      assert.is_true(#text > 1048576) -- a file that is not held
      same(text)
    end)
  end

  it("makes what it makes with psql when it is held, and without a transaction", function()
    local text = dump(source, "")
    same(text, { pipeline = false })
    same("-- pgmig: transaction=off\n" .. text)
  end)

  it("may remove first what is there", function()
    same(dump(source, "--clean --if-exists"))
    local whole = support.write(support.tempdir(), "all.sql", dump(source, ""))
    same(dump(source, "--clean"), nil, function(url) restore(url, whole) end)
  end)

  it("may have the data alone", function()
    local schema = support.write(support.tempdir(), "schema.sql", dump(source, "--schema-only"))
    same(dump(source, "--data-only --disable-triggers"), nil, function(url)
      restore(url, schema)
      support.psql(url, "SELECT lo_unlink(oid) FROM pg_largeobject_metadata")
    end)
  end)
end)

describe("large objects in a migration", function()
  local db, dir

  before_each(function()
    db = pgmig.connect(support.database())
    dir = support.tempdir()
  end)

  after_each(function() db:close() end)

  local function content(oid)
    return db:query("SELECT convert_from(lo_get($1), 'UTF8') AS v", oid)[1].v
  end

  local WRITE = "BEGIN;\nSELECT pg_catalog.lo_open('%d', 131072);\n"
    .. "SELECT pg_catalog.lowrite(0, '%s');\nSELECT pg_catalog.lo_close(0);\nCOMMIT;\n"

  it("come and go with it", function()
    local text = "SELECT lo_create(1), lo_create(2);\n" .. WRITE:format(1, "one")
      .. "CREATE TABLE between ();\n" .. WRITE:format(2, "two")
    support.write(dir, "001_lo.sql", text .. "SELECT nowhere;\n")
    local migrator = pgmig.migrator(db, dir)
    local ok, err = pcall(migrator.migrate, migrator)
    assert.same({ false, 13 }, { ok, err.line })
    assert.equal(0, db:query "SELECT count(*) AS n FROM pg_largeobject_metadata"[1].n)
    support.write(dir, "001_lo.sql", text)
    migrator:migrate()
    assert.same({ "one", "two" }, { content(1), content(2) })
  end)
end)
