-- Text of others (names of files, roles and objects, queries, what a server says) on its way to a
-- terminal or a log: it is shown, and does nothing.
local cli = require "spec.cli.helper"
local core = require "pgmig.core"
local pgmig = require "pgmig"
local servers = require "spec.nginx.server"
local support = require "spec.support"

-- A title for the terminal, a colour, an 8-bit sequence, a line over this one, another direction;
-- and a line that looks like ours.
local EVIL = "\27]0;owned\7\27[31m\194\155" .. "2J\rover\8\127\226\128\174gpj\226\129\166\216\156"
local FORGED = "\npgmig: all is well\n[error] forged"

--- What is there that a terminal would obey, or nobody could show.
local function active(text)
  if not text:find "[%z\1-\8\11-\31\127-\255]" then return nil end
  for _, pattern in ipairs { "[%z\1-\8\11-\31\127]", "\194[\128-\159]",
    "\226\128[\142\143\168-\174]", "\226\129[\166-\169]", "\216\156" } do
    local found = text:match(pattern)
    if found then return ("%q"):format(found) end
  end
  return core.readable(text, "?") ~= text and "bytes that are no UTF-8" or nil
end

local function harmless(out, err)
  for _, text in ipairs { out, err } do
    assert.is_nil(active(text), text)
    assert.is_nil(("\n" .. text):find("\npgmig: all is well", 1, true), text)
    assert.is_nil(("\n" .. text):find("\n[error] forged", 1, true), text)
  end
end

describe("hostile text", function()
  local project, evil

  before_each(function()
    project = cli.project()
    evil = EVIL .. FORGED
  end)

  after_each(function() project.close() end)

  --- Run in both forms, and on a terminal without colours; return what was printed first.
  local function run(words, env)
    local first
    for _, more in ipairs { "", "--json ", "-v " } do
      local code, out, err = project.run(more .. words, env)
      first = first or { code, out, err }
      harmless(out, err)
    end
    local command = cli.command(project.words("--no-color " .. words), project.env(env))
    local _, out = support.run("script -qefc " .. cli.quote("TERM=dumb " .. command)
      .. " /dev/null </dev/null")
    harmless(out:gsub("\r\n", "\n"), "")
    return (unpack or table.unpack)(first)
  end

  it("is made visible, and stays readable", function()
    for text, shown in pairs {
      ["SELECT\t1;\r\n-- ä€😀"] = "SELECT\t1;\n-- ä€😀",
      ["a\27[31m\rb\0\127"] = "a\\x1b[31m\\x0db\\x00\\x7f",
      ["\194\155\216\156\226\128\174\226\129\166\226\128\168"] =
        "\\u009b\\u061c\\u202e\\u2066\\u2028",
      ["\255\226\128x\237\160\128"] = "\\xff\\xe2\\x80x\\xed\\xa0\\x80", [""] = "",
    } do
      assert.equal(shown, core.visible(text))
      assert.equal((shown:gsub("\n", "\\n")), core.visible(text, true))
    end
  end)

  it("in names of files", function()
    project.write("004_" .. evil:gsub("/", "") .. ".sql", "SELECT 1/0;")
    project.write("x" .. evil .. ".sql.txt", "")
    for _, words in ipairs { "status", "plan", "doctor", "pending", "up", "status", "history",
      "doctor", "repair 4" } do
      run(words)
    end
    project.write("004_\255b.sql", "")
    run "status"
    run "up"
  end)

  it("in what a server says, with its context, and in statements", function()
    local said = "$x$" .. evil .. "$x$"
    project.write("004_d.sql", table.concat({
      "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN",
      ("  RAISE NOTICE USING MESSAGE = %s, DETAIL = %s, HINT = %s;"):format(said, said, said),
      "  EXECUTE 'SELECT 1/0 -- ' || " .. said .. ";",
      "END $$;",
      "SELECT\t'" .. EVIL .. "', f();",
    }, "\n"))
    local _, _, err = run "up"
    assert.matches("QUERY: ", err, 1, true)
  end)

  it("in names of roles, in others' queries and applications, and in tables", function()
    local role = "evil " .. evil:gsub(":", "") -- what stands behind one is a password
    project.db:exec("CREATE ROLE " .. project.db:quote_ident(role) .. " SUPERUSER LOGIN")
    assert.equal(0, (project.run "up"))
    local other = pgmig.connect { url = project.url, user = role, application_name = evil }
    other:exec("BEGIN; LOCK TABLE a; SELECT $x$" .. evil .. "$x$")
    project.write("004_d.sql", "-- pgmig: lock_timeout=100ms\nALTER TABLE a ADD n int;")
    local _, _, err = run("--retries 0 up")
    assert.matches("evil", err, 1, true)
    other:exec "ROLLBACK"
    other:exec(("UPDATE schema_migrations SET name = %s WHERE version = 3"):format(
      other:quote_literal(evil)))
    os.remove(project.dir .. "/003_create_c.sql")
    for _, words in ipairs { "status", "doctor", "history", "down" } do run(words) end
    other:close()
    project.db:exec "DELETE FROM schema_migrations_history"
    project.db:exec("DROP OWNED BY " .. project.db:quote_ident(role))
    project.db:exec("DROP ROLE " .. project.db:quote_ident(role))
  end)

  it("in words and settings", function()
    for _, words in ipairs { "up --to " .. cli.quote(evil), cli.quote(evil), "--format "
      .. cli.quote(evil) .. " status", "create " .. cli.quote(evil), "--table " .. cli.quote(evil)
      .. " status", "--policy " .. cli.quote(evil) .. " up", "config" } do
      run(words, { PGMIG_DIR = evil, PGMIG_TABLE = evil })
    end
  end)

  it("in nginx's log", function()
    project.write("004_d.sql", ("DO $$ BEGIN RAISE WARNING $x$%s$x$; "
      .. "RAISE EXCEPTION $x$%s$x$; END $$;"):format(evil, evil))
    local nginx = servers.start {
      worker = servers.worker(("database = %q, dir = %q,"):format(project.url, project.dir)),
    }
    support.wait(function() return nginx:log():find("04_d.sql", 1, true) end,
      function() return nginx:log() end)
    local log, body = nginx:log(), select(2, nginx:get "/schema.json")
    nginx:stop()
    assert.matches("owned", log, 1, true)
    harmless(log, body)
  end)
end)
