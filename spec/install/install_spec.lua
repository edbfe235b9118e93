-- What is installed must work without the checkout: every command runs in another folder, with an
-- empty environment.
local pgmig = require "pgmig"
local support = require "spec.support"

local q = support.quote

--- Run a command as a stranger would.
local function away(command)
  return support.run("cd / && env -i PATH=/usr/local/bin:/usr/bin:/bin " .. command)
end

local function sample()
  local dir = support.tempdir()
  support.write(dir, "001_a.sql", "-- UP\nCREATE TABLE a ();\n-- DOWN\nDROP TABLE a;\n")
  return dir
end

--- The program does its main job.
local function assert_program_works(program)
  local url, dir = support.database(), sample()
  local options = ("--database %s --dir %s"):format(q(url), q(dir))
  local code, out, err = away(("%s %s up"):format(program, options))
  assert.same({ 0, "" }, { code, err })
  assert.matches("applied +001_a", out)
  code, out = away(("%s %s status"):format(program, options))
  assert.equal(0, code)
  assert.matches("1 applied, 0 pending", out)
end

local script = [[
local pgmig = require "pgmig"
io.write(pgmig._VERSION, " ", #pgmig.migrator(pgmig.connect(arg[1]), arg[2]):migrate())
]]

--- The module does its main job, under an interpreter, from a tree.
local function assert_module_works(interpreter, version, tree)
  local share = ("%s/share/lua/%s/"):format(tree, version)
  local paths = ("LUA_PATH='%s?.lua;%s?/init.lua' LUA_CPATH='%s/lib/lua/%s/?.so'")
    :format(share, share, tree, version)
  local code, out, err = away(("%s %s %s %s %s"):format(paths, interpreter,
      support.write(support.tempdir(), "run.lua", script), q(support.database()), sample()))
  assert.same({ 0, "" }, { code, err })
  assert.equal(pgmig._VERSION .. " 1", out)
end

local function files_of(tree)
  local _, out = support.run(("cd %s && find . -type f | LC_ALL=C sort"):format(q(tree)))
  return out
end

describe("cmake --install", function()
  local prefix

  setup(function()
    prefix = support.tempdir()
    local code, _, err = support.run("cmake --install build --prefix " .. q(prefix))
    assert.equal(0, code, err)
  end)

  it("gives a program that runs anywhere, on both VMs", function()
    assert_program_works(prefix .. "/bin/pgmig")
    assert_program_works("luajit " .. prefix .. "/bin/pgmig")
  end)

  it("gives a program that may be linked to", function()
    local dir = support.tempdir()
    assert.equal(0, (support.run(("ln -s %s/bin/pgmig %s/pgmig"):format(prefix, dir))))
    assert.equal(0, (away(dir .. "/pgmig --version")))
  end)

  it("gives the module for both ABIs", function()
    assert_module_works("lua5.4", "5.4", prefix)
    assert_module_works("luajit", "5.1", prefix)
  end)

  it("gives header, library and a pkg-config file for C", function()
    local url, dir = support.database(), sample()
    local program = support.tempdir() .. "/migrate"
    local code, _, err = support.run(([[export PKG_CONFIG_PATH=%s/lib/pkgconfig
      cc -std=c11 -Wall -Werror spec/fixtures/c/migrate.c -o %s \
        $(pkg-config --cflags --libs pgmig)]]):format(prefix, program))
    assert.equal(0, code, err)
    local out
    code, out = away(("%s %s %s/001_a.sql"):format(program, q(url), dir))
    assert.equal(0, code)
    assert.matches("done", out)
  end)

  it("writes nothing but what belongs to it", function()
    local unexpected = {}
    for path in files_of(prefix):gmatch "[^\n]+" do
      local known = path:find "^%./bin/pgmig$" or path:find "^%./include/pgmig%.h$"
        or path:find "^%./lib/libpgmig%.a$" or path:find "^%./lib/pkgconfig/pgmig%.pc$"
        or path:find "^%./lib/lua/5%.[14]/pgmig/core%.so$"
        or path:find "^%./share/lua/5%.[14]/pgmig/[%w_/]+%.lua$"
        or path == "./share/man/man1/pgmig.1"
        or path == "./share/bash-completion/completions/pgmig"
        or path == "./share/zsh/site-functions/_pgmig"
        or path:find "^%./share/doc/pgmig/%u+%.?m?d?$" or path:find "/LICENSE$"
      if not known then unexpected[#unexpected + 1] = path end
    end
    assert.same({}, unexpected)
  end)

  it("brings the man page and completions", function()
    for _, path in ipairs { "man/man1/pgmig.1", "bash-completion/completions/pgmig",
      "zsh/site-functions/_pgmig" } do
      assert.is_true(#support.read(prefix .. "/share/" .. path) > 0)
    end
  end)

  it("writes every module of the checkout", function()
    local _, modules = support.run "cd lua && find . -name '*.lua' | LC_ALL=C sort"
    local _, installed = support.run(("cd %s/share/lua/5.4 && find . -type f | LC_ALL=C sort")
      :format(q(prefix)))
    assert.equal(modules, installed)
  end)
end)

describe("luarocks make", function()
  --- A copy of what git tracks, so that two builds do not meet.
  local function copy()
    local dir = support.tempdir()
    local code, _, err = support.run(
      ("git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t %s")
        :format(q(dir)))
    assert.equal(0, code, err)
    return dir
  end

  for version, headers in pairs { ["5.4"] = "lua5.4", ["5.1"] = "luajit" } do
    it("builds a rock for Lua " .. version, function()
      local tree, dir = support.tempdir(), copy()
      local code, _, err = support.run(([[cd %s && luarocks --lua-version=%s --tree %s make \
        --deps-mode=none rockspec/pgmig-scm-1.rockspec \
        LUA_INCDIR="$(pkg-config --cflags-only-I %s | sed 's/^-I//; s/ *$//')"]])
        :format(dir, version, tree, headers))
      assert.equal(0, code, err)
      assert_program_works(tree .. "/bin/pgmig")
      assert_module_works(version == "5.4" and "lua5.4" or "luajit", version, tree)
    end)
  end
end)

describe("the version", function()
  it("is the same everywhere", function()
    local cmake = support.read "CMakeLists.txt":match "project%(pgmig VERSION ([%d.]+)"
    assert.equal(pgmig._VERSION, cmake)
    local _, out = support.run "lua5.4 bin/pgmig --version"
    assert.equal("pgmig " .. cmake .. "\n", out)
  end)
end)
