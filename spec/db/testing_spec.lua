local pgmig = require "pgmig"
local support = require "spec.support"
local testing = require "pgmig.testing"

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

  it("is on the server that the URL names", function()
    local db = testing.database { url = support.server():url() }
    assert.is_true(exists(db.database_name))
    testing.drop(db)
    assert.is_false(exists(db.database_name))
  end)

  describe("of another process", function()
    local function names_made_by(ending)
      local _, out, err = support.run(support.lua_command(([[
        local testing = require "pgmig.testing"
        for _ = 1, 2 do print(testing.database({ url = %q }).database_name) end
        io.stdout:flush()
        %s
      ]]):format(support.server():url(), ending)))
      assert.equal("", (err:gsub("Killed\n", "")))
      return out:match "^(%S+)\n(%S+)\n$"
    end

    it("is dropped when the process ends", function()
      for _, ending in ipairs { "", "os.exit(0, true)" } do
        local one, two = names_made_by(ending)
        assert.is_false(exists(one))
        assert.is_false(exists(two))
      end
    end)

    it("is dropped by the next process when its own was killed", function()
      local one = names_made_by [[os.execute "kill -KILL $PPID"]]
      assert.is_true(exists(one))
      names_made_by ""
      assert.is_false(exists(one))
    end)
  end)
end)
