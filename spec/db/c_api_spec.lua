-- The header alone must be enough for a C program: this one is compiled here, with nothing of Lua.
local pgmig = require "pgmig"
local support = require "spec.support"

local build = os.getenv "PGMIG_BUILD" or "build"
local run_with = os.getenv "PGMIG_RUN_WITH" or "" -- valgrind

describe("a C program", function()
  local program, url, dir

  setup(function()
    program = support.tempdir() .. "/migrate"
    local flags = build:find "asan" and "-fsanitize=address,undefined" or ""
    local code, _, err = support.run(("cc -std=c11 -Wall -Wextra -Werror %s -Icore " ..
      "spec/fixtures/c/migrate.c -o %s %s/libpgmig.a $(pkg-config --cflags --libs libpq libcrypto)")
      :format(flags, program, build))
    assert.equal(0, code, err)
  end)

  before_each(function()
    url = support.database()
    dir = support.tempdir()
  end)

  local function run(arguments)
    return support.run(("%s %s '%s' %s"):format(run_with, program, url, arguments))
  end

  it("applies and rolls back with libpgmig", function()
    local one = support.write(dir, "001_one.sql", "-- UP\nCREATE TABLE one (a int);\n" ..
      "COPY one FROM STDIN;\n1\n2\n\\.\n-- DOWN\nDROP TABLE one;\n")
    local two = support.write(dir, "002_two.sql", "SELECT generate_series(1, 1000);")
    local code, out = run(one .. " " .. two)
    assert.equal(0, code)
    assert.equal(("done %s\ndone %s\n"):format(one, two), out)
    local db = pgmig.connect(url)
    assert.equal(2, db:query("SELECT count(*) AS n FROM one")[1].n)
    assert.equal(2, db:query("SELECT count(*) AS n FROM schema_migrations")[1].n)
    assert.equal(0, (run("down " .. one)))
    assert.equal(1, db:query("SELECT count(*) AS n FROM schema_migrations")[1].n)
    db:close()
  end)

  it("gets errors with their place", function()
    local bad = support.write(dir, "001_bad.sql", "SELECT 1;\nSELECT nix;\n")
    local code, _, err = run(bad)
    assert.equal(1, code)
    assert.matches(bad .. ":2:8: sql: column \"nix\" does not exist", err, 1, true)
    local code_of_parse, _, parse = run(support.write(dir, "001_open.sql", "SELECT 'x"))
    assert.equal(1, code_of_parse)
    assert.matches("parse: unterminated quoted string", parse, 1, true)
  end)

  it("gets an error when there is no server", function()
    local code, _, err = support.run(run_with .. " " .. program .. " host=/nonexistent")
    assert.equal(1, code)
    assert.matches("^connect: ", err)
  end)
end)
