-- Projects of sqitch: the plan, its scripts, and what sqitch has recorded. The IDs and hashes are
-- those that sqitch 1.3.1 computes; spec/rivals runs the tool itself, where it is installed.
local pgmig = require "pgmig"
local history = require "spec.support.history"
local support = require "spec.support"

local labels, fails = history.labels, history.fails

local PLAN = [[
%syntax-version=1.0.0
%project=shop
%uri=HTTPS://Example.COM:443

app/schema 2024-01-15T10:30:00Z Ann Ørsted <ann@example.com> # The schema\nof all.
users [app/schema] 2024-01-15T10:31:00Z Ann Ørsted <ann@example.com> # Users.
@v1.0 2024-01-16T00:00:00Z Ann Ørsted <ann@example.com> # First.

orders [users other:thing !legacy] 2024-01-17T10:31:00Z Bo <bo@example.com>
users [users@v1.0 orders] 2024-01-18T10:31:00Z Bo <bo@example.com> # Adds a column.
]]

-- What the plan's changes are to sqitch.
local IDS = {
  "e7bd5f9ad43d2a26418979b084f9154cf9de7626", "a2b1793f5ad577f0db3391f751bca7254fbee59f",
  "a8ce45f4ccc563796fd238ebddc6a7f8fcbbcd77", "eb3e40e7bb234a1bca352c622cd8cbe027f9f078",
}

local SCRIPTS = {
  ["deploy/app/schema.sql"] = "BEGIN;\nCREATE SCHEMA app;\nCOMMIT;\n",
  ["revert/app/schema.sql"] = "BEGIN;\nDROP SCHEMA app;\nCOMMIT;\n",
  ["deploy/users@v1.0.sql"] = "BEGIN;\nCREATE TABLE app.users (id int);\nCOMMIT;\n",
  ["revert/users@v1.0.sql"] = "DROP TABLE app.users;\n",
  ["deploy/orders.sql"] = "\\set ON_ERROR_STOP on\n\\echo orders\n"
    .. "CREATE TABLE app.orders (id int);\nCREATE INDEX CONCURRENTLY o ON app.orders (id);\n",
  ["revert/orders.sql"] = "DROP TABLE app.orders;\n",
  ["deploy/users.sql"] = "ALTER TABLE app.users ADD name text;\n",
  ["revert/users.sql"] = "ALTER TABLE app.users DROP name;\n",
}

local ALL = "app/schema users@v1.0 orders users"

describe("a project of sqitch", function()
  local db, dir

  before_each(function()
    db = pgmig.connect(support.database())
    dir = support.tempdir()
  end)

  after_each(function() db:close() end)

  local function write(files, plan)
    history.write(dir, files)
    support.write(dir, "sqitch.plan", plan or PLAN)
  end

  local function migrator(options)
    options = options or {}
    options.format = options.format or "sqitch"
    return pgmig.migrator(db, dir, options)
  end

  --- What is wrong with a plan, and its line.
  local function wrong_with(plan, files)
    write(files or {}, plan)
    local m = migrator()
    local err = fails(m.migrate, m)
    return { err.kind, err.line, (err.message:gsub(dir .. "/", "")) }
  end

  local function has(column)
    return db:query([[SELECT count(*)::int AS n FROM pg_attribute
      WHERE attrelid = to_regclass('app.users') AND attname = $1]], column)[1].n == 1
  end

  describe("runs", function()
    it("in the order of its plan, with what was planned again", function()
      write(SCRIPTS)
      support.write(dir .. "/deploy", "spare.sql", "SELECT 1;\n")
      support.write(dir, "notes.sql", "SELECT 1;\n")
      local m = migrator()
      local plan = m:plan()
      assert.equal(ALL, labels(plan))
      assert.same({ dir .. "/deploy/spare.sql" }, plan.ignored)
      assert.equal("is not listed in sqitch.plan", m:files().reasons[plan.ignored[1]])
      assert.equal("app/schema users@v1.0", labels(m:migrate "@v1.0"))
      assert.is_false(has "name")
      assert.equal("orders users", labels(m:migrate()))
      assert.is_true(has "name")
      assert.equal("users orders", labels(m:rollback { to = "users@v1.0" }))
      assert.is_false(has "name")
      assert.equal("users@v1.0 app/schema", labels(m:rollback { to = 0 }))
    end)

    it("up to a change that the command line names", function()
      write(SCRIPTS)
      local function pgmig_does(words)
        return support.run(("bin/pgmig -d %s --format sqitch --dir %s %s"):format(
          support.quote(support.server():url(db:query("SELECT current_database() AS n")[1].n)), dir,
          words))
      end
      assert.equal(0, (pgmig_does "up --to @v1.0"))
      assert.is_false(has "name")
      assert.equal(0, (pgmig_does "goto users"))
      assert.is_true(has "name")
      local code, _, err = pgmig_does "up --to nothing"
      assert.equal(2, code)
      assert.matches("there is no migration nothing", err, 1, true)
      code, _, err = pgmig_does "renumber"
      assert.equal(2, code)
      assert.matches("that of sqitch.plan", err, 1, true)
    end)

    it("without a word about each script's own BEGIN and COMMIT", function()
      write(SCRIPTS)
      local warnings = {}
      migrator():migrate { on_event = function(e)
        if e.type == "warning" then warnings[#warnings + 1] = e.migration.label end
      end }
      assert.same({ "orders" }, warnings) -- it runs statement by statement
    end)

    it("from the folders that sqitch.conf names", function()
      local conf = '[core]\n\tengine = pg ; ours\n\ttop_dir = "./db"\n\textension = ddl\n'
        .. '[engine "pg"]\n\ttarget = live\n[target "live"]\n\turi = db:pg:shop\n'
        .. "\tplan_file = plans/live.plan\n\trevert_dir = back\n\treworked_dir = old\n"
      for path, text in pairs(SCRIPTS) do
        local name = path:gsub("%.sql$", ".ddl")
        if name:find "@" then name = "old/" .. name else name = "db/" .. name end
        history.write(dir, { [(name:gsub("^db/revert", "back"))] = text })
      end
      history.write(dir, { ["sqitch.conf"] = conf, ["plans/live.plan"] = PLAN })
      local m = migrator { format = "auto" }
      assert.equal(ALL, labels(m:migrate()))
      assert.equal("users orders users@v1.0 app/schema", labels(m:rollback { to = 0 }))
    end)
  end)

  describe("is refused with its line", function()
    local head = "%project=shop\n\n"
    local when = " 2024-01-15T10:30:00Z A <a@example.com>\n"
    local rows = {
      { "a" .. when, 1, "does not name its project" },
      { head .. "a" .. when .. "b [c]" .. when .. "c" .. when, 4,
        "b requires c, which is not planned before it" },
      { head .. "a" .. when .. "b [!a]" .. when, 4, "b conflicts with a" },
      { head .. "a" .. when .. "a" .. when, 4, "a is planned already on line 3" },
      { head .. "a 2024-01-15 A <a@example.com>\n", 3, "must end with a time and a planner" },
      { head .. "@v1" .. when, 3, "before the first change" },
      { head .. "-a" .. when, 3, "planned revert" },
      { head .. "a:b" .. when, 3, "invalid name a:b" },
      { head .. "a" .. when, 3, "the deploy script of a does not exist: deploy/a.sql" },
    }
    for _, row in ipairs(rows) do
      it(row[3], function()
        local found = wrong_with(row[1], { ["deploy/b.sql"] = "SELECT 1;" })
        assert.same({ "naming", row[2] }, { found[1], found[2] })
        assert.matches(row[3], found[3], 1, true)
      end)
    end

    it("for another engine, outside the folder, and without a plan", function()
      support.write(dir, "sqitch.conf", "[core]\n\tengine = mysql\n")
      assert.matches("for mysql", fails(migrator().files, migrator()).message)
      support.write(dir, "sqitch.conf", '[core]\n\tengine = mysql\n[engine "pg"]\n\ttop_dir = pg\n')
      assert.equal(dir .. "/pg/sqitch.plan", fails(migrator().files, migrator()).file)
      support.write(dir, "sqitch.conf", "[core]\n\ttop_dir = ../db\n")
      assert.matches("outside the project: ../db", fails(migrator().files, migrator()).message, 1,
        true)
      support.write(dir, "sqitch.conf", "")
      assert.matches("plan does not exist", fails(migrator().files, migrator()).message)
    end)

    -- What psql would do, and nobody here does.
    for _, command in ipairs { "\\ir common.sql", "\\set name value", "\\set ON_ERROR_STOP off",
      "\\set QUIET `rm x`", "\\echo a \\\\ DROP TABLE x;", "SELECT 1 \\gexec", "\\c other",
      "\\encoding LATIN1" } do
      it("for the psql command " .. command, function()
        write({ ["deploy/a.sql"] = "BEGIN;\n" .. command .. "\nCOMMIT;\n" },
          head .. "a" .. when)
        local m = migrator()
        local err = fails(m.migrate, m)
        assert.same({ "parse", dir .. "/deploy/a.sql", 2 }, { err.kind, err.file, err.line })
        assert.matches("^psql command \\", err.message)
      end)
    end
  end)

  describe("is taken over", function()
    --- What sqitch's tables say after it has deployed some of the changes.
    local function deploy(rows)
      db:exec [[
        CREATE SCHEMA sqitch;
        CREATE TABLE sqitch.changes (change_id text PRIMARY KEY, script_hash text,
          change text NOT NULL, project text NOT NULL, note text NOT NULL DEFAULT '',
          committed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
          planned_at timestamptz NOT NULL DEFAULT now());
        CREATE SCHEMA app; CREATE TABLE app.users (id int)]]
      for _, row in ipairs(rows) do
        db:query([[INSERT INTO sqitch.changes (change_id, script_hash, change, project)
          VALUES ($1, $2, $3, $4)]], row[1], row[2], row[3], row[4] or "shop")
      end
    end

    local SCHEMA = { IDS[1], "a7ecba0a32b1ee9f0d8f7a8a4b32d1aa1b77e0ab", "app/schema" }
    local USERS = { IDS[2], nil, "users" }

    before_each(function()
      write(SCRIPTS)
      local sum = select(2, support.run("sha1sum " .. dir .. "/deploy/app/schema.sql"))
      SCHEMA[2] = sum:match "^%x+"
    end)

    it("by the IDs of its changes", function()
      deploy { SCHEMA, USERS, { ("1"):rep(40), nil, "thing", "other" } }
      local m = migrator()
      local err = fails(m.migrate, m)
      assert.matches("sqitch has applied migrations here", err.message, 1, true)
      assert.equal("take them over first: pgmig --format sqitch adopt", err.hint)
      local plan = m:adopt()
      assert.equal("app/schema users@v1.0", labels(plan))
      assert.matches("other projects than shop is left out: other", plan.notes[1], 1, true)
      assert.equal("orders users", labels(m:migrate()))
    end)

    it("but not beside another project alone", function()
      deploy { { ("1"):rep(40), nil, "thing", "other" } }
      db:exec "DROP SCHEMA app CASCADE"
      assert.equal(ALL, labels(migrator():migrate()))
    end)

    it("unless a script is not the one that was deployed", function()
      deploy { SCHEMA, USERS }
      support.write(dir .. "/deploy/app", "schema.sql", "CREATE SCHEMA app; -- edited\n")
      local m = migrator()
      assert.matches("schema.sql is not the file that was applied: its checksum differs",
        fails(m.adopt, m).message, 1, true)
    end)

    it("unless the plan is not the one that was deployed", function()
      deploy { SCHEMA, USERS }
      write({}, (PLAN:gsub("# Users%.", "# All users.")))
      local m = migrator()
      local err = fails(m.adopt, m)
      assert.equal("drift", err.kind)
      assert.matches("users is planned otherwise than it was applied", err.message, 1, true)
    end)
  end)

  describe("grows by", function()
    local who = "SQITCH_FULLNAME='Ann Smith' SQITCH_EMAIL=ann@example.com "

    local function create(words, env)
      return support.run(("env HOME=/nowhere %s bin/pgmig --format sqitch --dir %s create %s")
        :format(env or who, dir, support.quote(words)))
    end

    it("a change that is planned as sqitch add does", function()
      write(SCRIPTS)
      assert.equal(0, (create "Add all carts"))
      local text = support.read(dir .. "/sqitch.plan")
      assert.equal(PLAN, text:sub(1, #PLAN))
      assert.matches("^add_all_carts %d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%dZ Ann Smith "
        .. "<ann@example%.com> # Add all carts\n$", text:sub(#PLAN + 1))
      assert.equal("-- Deploy shop:add_all_carts to pg\n\nBEGIN;\n\n-- XXX Add DDLs here.\n\n"
        .. "COMMIT;\n", support.read(dir .. "/deploy/add_all_carts.sql"))
      assert.matches("ROLLBACK;\n$", support.read(dir .. "/verify/add_all_carts.sql"))
      assert.equal(ALL .. " add_all_carts", labels(migrator():migrate()))
    end)

    it("none whose name is taken, or whose planner has no name", function()
      write(SCRIPTS)
      local code, _, err = create "orders"
      assert.equal(2, code)
      assert.matches("sqitch.plan:9: there is a change orders already", err, 1, true)
      code, _, err = create("more", "")
      assert.equal(2, code)
      assert.matches("SQITCH_FULLNAME", err, 1, true)
      assert.equal(PLAN, support.read(dir .. "/sqitch.plan"))
    end)
  end)
end)
