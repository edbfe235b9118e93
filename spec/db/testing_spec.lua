local pgmig = require "pgmig"
local support = require "spec.support"
local testing = require "pgmig.testing"

local engine = rawget(_G, "jit") and "luajit" or "lua5.4"

describe("a database for a spec", function()
  local function count(db, sql) return db:query("SELECT count(*) AS n FROM " .. sql)[1].n end

  local function exists(name)
    return support.psql(support.server():url(),
      ("SELECT count(*) FROM pg_database WHERE datname = '%s'"):format(name)) == "1"
  end

  it("has all migrations applied", function()
    local db = testing.database { dir = "migrations" }
    assert.equal(5, pgmig.migrator(db, "migrations"):status().applied_count)
    assert.equal(0, count(db, "orders"))
    testing.drop(db)
  end)

  it("is a copy of its own", function()
    local one, two = testing.database(), testing.database()
    one:exec "INSERT INTO roles (name) VALUES ('guest')"
    assert.equal(2, count(one, "roles"))
    assert.equal(1, count(two, "roles"))
    testing.drop(one)
    testing.drop(two)
  end)

  it("is reached by its URL, too", function()
    local db = testing.database()
    assert.equal(db.database_name, support.psql(db.database_url, "SELECT current_database()"))
    testing.drop(db)
  end)

  it("has what the files hold now, not what they held before", function()
    local dir = support.tempdir()
    support.write(dir, "001_one.sql", "CREATE TABLE one ();")
    testing.drop(testing.database { dir = dir })
    support.write(dir, "002_two.sql", "CREATE TABLE two ();")
    local db = testing.database { dir = dir, table = "done" }
    assert.equal(0, count(db, "two"))
    assert.equal(2, count(db, "done"))
    testing.drop(db)
  end)

  it("is not made of a migration that fails, which raises its error", function()
    local dir = support.tempdir()
    support.write(dir, "001_bad.sql", "SELECT nix;")
    local ok, err = pcall(testing.database, { dir = dir, url = support.server():url() })
    assert.is_false(ok)
    assert.equal("42703", err.sqlstate)
    assert.equal("0", support.psql(support.server():url(),
      "SELECT count(*) FROM pg_database WHERE datname LIKE 'pgmig_test_%'"))
  end)

  it("has what a repeatable migration holds now", function()
    local dir = support.tempdir()
    for _, name in ipairs { "one", "two" } do
      support.write(dir, "R__v.sql", ("CREATE VIEW v AS SELECT text '%s' AS n;"):format(name))
      local db = testing.database { dir = dir }
      assert.equal(name, db:query("SELECT n FROM v")[1].n)
      testing.drop(db)
    end
  end)

  it("takes the options of the migrator", function()
    local dir = support.tempdir()
    support.write(dir, "V1__a.sql", "CREATE TABLE ${name} ();")
    support.write(dir, "v1-b.sql", "-- UP\nCREATE TABLE b ();\n")
    local placeholders = { name = "x" }
    local function made(options)
      options.dir = dir
      local db = testing.database(options)
      local name = db:query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        .. " AND tablename !~ 'migrations'")[1].tablename
      testing.drop(db)
      return name
    end
    assert.equal("x", made { format = "flyway", placeholders = placeholders })
    placeholders.name = "y"
    assert.equal("y", made { format = "flyway", placeholders = placeholders })
    assert.equal("b", made { naming = {
      parse = function(path)
        local version, name = path:match "^v(%d+)%-(.+)%.sql$"
        return version and { version = version, name = name }
      end,
      format = function(version, name) return ("v%s-%s.sql"):format(version, name) end,
    } })
    assert.error_matches(function() made { formt = "flyway" } end, "unknown option formt")
  end)

  it("is not there after a before_each that failed, which drop accepts", function()
    testing.drop(nil)
    local dir = support.tempdir()
    local spec = support.write(dir, "bad_spec.lua", ([[
      local testing = require "pgmig.testing"
      describe("with a broken migration", function()
        local db
        before_each(function() db = testing.database { dir = %q, url = %q } end)
        after_each(function() testing.drop(db) end)
        it("fails", function() end)
      end)]]):format(dir, support.server():url()))
    support.write(dir, "001_bad.sql", "SELECT nix;")
    local code, out = support.run("busted --lua=$(type -P " .. engine .. ") --output=TAP " .. spec)
    assert.equal(1, code)
    assert.matches('001_bad.sql:1:8: column "nix" does not exist', out, 1, true)
    assert.matches("\n1%.%.1\n$", out)
  end)

  it("is on the server that the URL names", function()
    local db = testing.database { url = support.server():url() }
    assert.is_true(exists(db.database_name))
    testing.drop(db)
    assert.is_false(exists(db.database_name))
  end)

  describe("of another process", function()
    -- The process prints what its databases' names have in common, and ends as `ending` says.
    local function prefix_made_by(ending)
      local _, out, err = support.run(support.lua_command(([[
        local testing = require "pgmig.testing"
        for _ = 1, 2 do print((testing.database({ url = %q }).database_name:gsub("%%d+$", ""))) end
        io.stdout:flush()
        %s
      ]]):format(support.server():url(), ending)))
      assert.equal("", (err:gsub("Killed\n", "")))
      return out:match "^(%S+)\n%1\n$"
    end

    local function left(prefix)
      return tonumber(support.psql(support.server():url(),
        ("SELECT count(*) FROM pg_database WHERE strpos(datname, '%s') = 1"):format(prefix)))
    end

    it("is dropped when the process ends, with the template and the copies made ahead", function()
      for _, ending in ipairs { "", "os.exit(0, true)" } do
        assert.equal(0, left(prefix_made_by(ending)))
      end
    end)

    it("is dropped by the next process when its own was killed", function()
      local prefix = prefix_made_by [[os.execute "kill -KILL $PPID"]]
      assert.is_true(left(prefix) >= 3)
      prefix_made_by ""
      assert.equal(0, left(prefix))
    end)
  end)
end)
