-- FIFOs, sockets, devices and folders in the place of files: nobody waits for them, nobody passes
-- over them, and the message says which file it is and what.
local cli = require "spec.cli.helper"
local support = require "spec.support"


-- How one comes into a path; there is no other way to a socket than that of a server.
local kinds = {
  { "a FIFO", "mkfifo %s" },
  { "a device", "ln -s /dev/zero %s" },
  { "a socket", function()
    local server = support.server()
    return ("ln -s %s/.s.PGSQL.%s %%s"):format(server.host, server.port)
  end },
}

describe("instead of a file", function()
  local dir, url

  setup(function() url = support.database() end)
  before_each(function()
    dir = support.tempdir()
    support.run("mkdir " .. dir .. "/migrations")
    support.write(dir, "migrations/001_a.sql", "CREATE TABLE IF NOT EXISTS a ();")
  end)

  local function place(how, name)
    local command = type(how) == "function" and how() or how
    local path = cli.quote(dir .. "/" .. name)
    assert.equal(0, (support.run(("rm -rf %s; "):format(path) .. command:format(path))))
  end

  local function run(words, env)
    env = env or {}
    env.DATABASE_URL = env.DATABASE_URL or url
    return cli.run_command(("cd %s && %s"):format(cli.quote(dir),
      (cli.command(words, env):gsub("^env ", support.timeout(60) .. "env ", 1))))
  end

  --- The command ends, refuses, and names the file and what it is.
  local function refuses(name, kind, words, env)
    local code, out, err = run(words, env)
    assert.equal(2, code, words .. " with " .. kind .. " at " .. name .. ": " .. err .. out)
    assert.matches(name, err, 1, true)
    assert.matches(kind, err, 1, true)
  end

  for _, kind in ipairs(kinds) do
    it("of settings " .. kind[1] .. " is refused", function()
      for name, words in pairs {
        [".env"] = "status", ["pgmig.conf.lua"] = "config", ["own.lua"] = "--config own.lua config",
        ["format.lua"] = "--format format.lua status",
      } do
        place(kind[2], name)
        refuses(name, kind[1], words)
        os.remove(dir .. "/" .. name)
      end
    end)

    it("that libpq reads " .. kind[1] .. " is refused", function()
      place(kind[2], "given")
      local path = dir .. "/given"
      refuses("PGSERVICEFILE", kind[1], "status", { PGSERVICEFILE = path, PGSERVICE = "x" })
      refuses("passfile", kind[1], "status", { PGPASSFILE = path })
      for _, name in ipairs { "sslcert", "sslkey", "sslrootcert", "sslcrl" } do
        refuses(name, kind[1], "status", { ["PG" .. name:upper()] = path })
      end
    end)

    it("of a migration " .. kind[1] .. " is refused, and shown", function()
      for _, name in ipairs { "002_b.sql", "002_b.lua", "R__b.sql", "R__b.lua" } do
        place(kind[2], "migrations/" .. name)
        refuses(name, kind[1], "up")
        refuses(name, kind[1], "plan")
        local code, out, err = run "status"
        assert.same({ 0, true }, { code, (out .. err):find(kind[1], 1, true) ~= nil }, out .. err)
        os.remove(dir .. "/migrations/" .. name)
      end
      place(kind[2], "migrations/002_b.txt")
      assert.equal(0, (run "status"))
    end)
  end

  it("of settings the null device is an empty one", function()
    place("ln -s /dev/null %s", ".env")
    assert.equal(0, (run "status"))
    assert.equal(0, (run("status", { PGPASSFILE = "/dev/null", PGSERVICEFILE = "/dev/null" })))
    place("ln -s /dev/null %s", "migrations/002_b.sql")
    refuses("002_b.sql", "the null device", "up")
  end)

  it("a FIFO where an applied migration was is not waited for", function()
    support.write(dir, "migrations/002_b.sql", "-- UP\nCREATE TABLE b ();\n-- DOWN\nDROP TABLE b;")
    local code, _, err = run "up"
    assert.same({ 0, "" }, { code, err })
    place("mkfifo %s", "migrations/002_b.sql")
    for _, words in ipairs { "status", "plan", "doctor", "history", "repair", "up" } do
      assert.not_equal(124, (run(words)), words)
    end
    refuses("002_b.sql", "a FIFO", "down")
    local text = select(2, run "status")
    assert.matches("002_b", text, 1, true)
    assert.matches("unreadable", text, 1, true)
  end)
end)
