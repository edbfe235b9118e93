-- migrations/: the history that the README and the demo run.
local pgmig = require "pgmig"
local support = require "spec.support"

describe("the sample history", function()
  local url, db, migrator

  before_each(function()
    url = support.database()
    db = pgmig.connect(url)
    migrator = pgmig.migrator(db, "migrations")
  end)

  after_each(function() db:close() end)

  local function add_user(username, role)
    db:query("INSERT INTO users (username, email, password_hash, role) VALUES ($1, $2, 'x', $3)",
      username, username .. "@example.org", role)
  end

  -- The schema's lines in order of the alphabet: a column that comes back comes back at the end.
  local function schema()
    local code, out, err = support.run(
      "set -o pipefail; pg_dump -s -T 'schema_migrations*' -d " .. support.quote(url)
      .. [[ | grep -v '^\\\(un\)\?restrict' | sed 's/,$//' | sort]])
    assert(code == 0, err)
    return out
  end

  local function roles()
    return support.psql(url, "SELECT username, role FROM users ORDER BY id")
  end

  it("undoes each of its migrations without a trace", function()
    local before = {}
    for version = 1, 5 do
      before[version] = schema()
      migrator:migrate(version)
    end
    for version = 5, 1, -1 do
      migrator:rollback()
      assert.equal(before[version], schema())
    end
  end)

  it("gives the users who are there their slugs", function()
    migrator:migrate(3)
    add_user("Ada Lovelace", "admin")
    db:exec "INSERT INTO orders (user_id, total) VALUES (1, 9.90)"
    migrator:migrate(4)
    assert.equal("ada-lovelace", support.psql(url, "SELECT slug FROM users"))
    migrator:rollback()
    assert.equal("9.90",
      support.psql(url, "SELECT total FROM orders JOIN users ON users.id = user_id"))
  end)

  it("refuses two usernames with one slug, and changes nothing then", function()
    migrator:migrate(3)
    add_user("ada.lovelace", "user")
    add_user("Ada Lovelace", "user")
    local before = schema()
    local ok, err = pcall(migrator.migrate, migrator)
    assert.is_false(ok)
    assert.equal("23505", err.sqlstate)
    assert.matches("users_slug_key", err.message)
    assert.equal("Key (slug)=(ada-lovelace) is duplicated.", err.detail)
    assert.equal(before, schema())
    assert.equal(2, migrator:status().pending_count)
  end)

  it("moves the roles out of users and back", function()
    migrator:migrate(3)
    add_user("ada", "admin")
    add_user("bob", "user")
    add_user("eve", "auditor")
    local before = roles()
    migrator:migrate()
    assert.equal("ada|admin\nbob|user\neve|auditor", support.psql(url, [[
      SELECT username, name FROM users JOIN user_roles ON user_id = users.id
      JOIN roles ON role_id = roles.id ORDER BY username]]))
    migrator:rollback()
    assert.equal(before, roles())
  end)
end)
