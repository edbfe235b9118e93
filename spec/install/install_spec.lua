-- What is installed must work without the checkout. So everything here is built in a copy of the
-- checkout, which is removed before anything installed runs; and that runs in another folder, with
-- an empty environment.
local cli = require "spec.cli.helper"
local pgmig = require "pgmig"
local support = require "spec.support"

local q = support.quote

--- Run a command that has to succeed; returns what it prints.
local function must(command)
  local code, out, err = support.run(command)
  if code ~= 0 then error(("%s\nexit status %s\n%s%s"):format(command, code, out, err), 2) end
  return out
end

--- Run a command as a stranger would, in a home folder of its own.
local function away(command)
  return support.run(("cd / && %s env -i PATH=/usr/local/bin:/usr/bin:/bin HOME=%s %s")
    :format(support.timeout(60), q(support.tempdir()), command))
end

--- A copy of what git would commit.
local function copy()
  local dir = support.tempdir()
  must(("git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t %s")
    :format(q(dir)))
  return dir
end

local function remove(dir)
  must(("rm -rf %s && [ ! -e %s ]"):format(q(dir), q(dir)))
end

--- Configure and build a copy; `options` are CMake's.
local function build(dir, options)
  must(("cd %s && %s script/build build %s"):format(q(dir), support.timeout(300), options or ""))
end

local function cmake_install(dir, prefix)
  must(("%scmake --install %s/build --prefix %s"):format(support.timeout(60), q(dir), q(prefix)))
end

--- All files under a folder, sorted, one a line.
local function files_of(tree, pattern)
  return must(("cd %s && find . ! -type d -path '%s' | LC_ALL=C sort"):format(q(tree),
    pattern or "*"))
end

local function sample()
  local dir = support.tempdir()
  support.write(dir, "001_a.sql", "-- UP\nCREATE TABLE a ();\nSELECT pg_sleep(0.2);\n"
    .. "-- DOWN\nDROP TABLE a;\n")
  return dir
end

--- The program does its main job.
local function assert_program_works(program)
  local options = ("--database %s --dir %s"):format(q(support.database()), q(sample()))
  local code, out, err = away(program .. " --version")
  assert.same({ 0, "pgmig " .. pgmig._VERSION, "" }, { code, out:match "^[^\n]*", err })
  code, out, err = away(("%s %s up"):format(program, options))
  assert.same({ 0, "" }, { code, cli.without_place(err) })
  assert.matches("applied +001_a", out)
  code, out, err = away(("%s %s status"):format(program, options))
  assert.same({ 0, "" }, { code, cli.without_place(err) })
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

--- A C program builds with what pkg-config says, and does its main job.
local function assert_c_works(pkg_config_path, flags)
  local program, dir = support.tempdir() .. "/migrate", sample()
  must(([[flags=$(PKG_CONFIG_PATH=%s pkg-config --cflags --libs %s pgmig) &&
    cc -std=c11 -Wall -Werror spec/fixtures/c/migrate.c -o %s $flags]])
    :format(q(pkg_config_path), flags, q(program)))
  local code, out, err = away(("%s %s %s/001_a.sql"):format(program, q(support.database()), dir))
  assert.same({ 0, "" }, { code, err })
  assert.matches("done", out)
end

--- The files that a prefix has to hold, as files_of() gives them.
local function expected_files()
  local expected = {
    "./bin/pgmig", "./include/pgmig.h", "./lib/libpgmig.a", "./lib/pkgconfig/pgmig.pc",
    "./lib/lua/5.1/pgmig/core.so", "./lib/lua/5.4/pgmig/core.so", "./share/man/man1/pgmig.1",
    "./share/bash-completion/completions/pgmig", "./share/zsh/site-functions/_pgmig",
    "./share/fish/vendor_completions.d/pgmig.fish",
    "./share/doc/pgmig/CHANGELOG.md", "./share/doc/pgmig/LICENSE", "./share/doc/pgmig/README.md",
    "./share/doc/pgmig/SECURITY.md",
  }
  for path in files_of("docs", "*.md"):gmatch "%./([^\n]+)" do
    expected[#expected + 1] = "./share/doc/pgmig/docs/" .. path
  end
  for path in files_of("lua", "*.lua"):gmatch "%./([^\n]+)" do
    expected[#expected + 1] = "./share/lua/5.1/" .. path
    expected[#expected + 1] = "./share/lua/5.4/" .. path
  end
  table.sort(expected)
  return table.concat(expected, "\n") .. "\n"
end

describe("cmake --install", function()
  local prefix, jit_only, stage, final -- `final`: where what is in `stage` would go later

  setup(function()
    prefix, jit_only, stage = support.tempdir(), support.tempdir(), support.tempdir()
    final = support.tempdir() .. "/final"
    local dir = copy()
    build(dir)
    cmake_install(dir, prefix)
    build(dir, "-DPGMIG_LUA=luajit")
    cmake_install(dir, jit_only)
    build(dir, ("-DCMAKE_INSTALL_PREFIX=%s -DCMAKE_INSTALL_LIBDIR=lib/machine"):format(q(final)))
    must(("DESTDIR=%s %s cmake --install %s/build"):format(q(stage), support.timeout(60), q(dir)))
    remove(dir)
  end)

  it("gives a program that runs anywhere, on both VMs", function()
    assert_program_works(prefix .. "/bin/pgmig")
    assert_program_works("luajit " .. prefix .. "/bin/pgmig")
  end)

  it("gives a program that may be linked to", function()
    local dir = support.tempdir()
    must(("ln -s %s/bin/pgmig %s/pgmig"):format(prefix, dir))
    assert_program_works(dir .. "/pgmig")
  end)

  it("gives the module for both ABIs", function()
    assert_module_works("lua5.4", "5.4", prefix)
    assert_module_works("luajit", "5.1", prefix)
    assert_module_works("lua5.1", "5.1", prefix) -- which cannot yield where the others do
  end)

  it("gives header, library and a pkg-config file for C", function()
    assert_c_works(prefix .. "/lib/pkgconfig", "")
    assert_c_works(prefix .. "/lib/pkgconfig", "--static")
  end)

  it("writes what belongs to it, and nothing else", function()
    assert.equal(expected_files(), files_of(prefix))
  end)

  it("leaves the files as they are in the checkout", function()
    for installed, path in pairs {
      ["bin/pgmig"] = "bin/pgmig", ["include/pgmig.h"] = "core/pgmig.h",
      ["share/man/man1/pgmig.1"] = "man/pgmig.1",
      ["share/bash-completion/completions/pgmig"] = "completions/pgmig.bash",
      ["share/zsh/site-functions/_pgmig"] = "completions/_pgmig",
      ["share/fish/vendor_completions.d/pgmig.fish"] = "completions/pgmig.fish",
      ["share/lua/5.1/pgmig/init.lua"] = "lua/pgmig/init.lua",
    } do
      assert.equal(support.read(path), support.read(prefix .. "/" .. installed))
    end
  end)

  it("gives a program for LuaJIT when that is the only engine", function()
    assert.equal("./lib/lua/5.1/pgmig/core.so\n", files_of(jit_only, "*.so"))
    assert_program_works(jit_only .. "/bin/pgmig")
  end)

  it("honours DESTDIR, and a library folder that lies deeper", function()
    assert_program_works("luajit " .. stage .. final .. "/bin/pgmig")
    assert_c_works(stage .. final .. "/lib/machine/pkgconfig", "")
    must("[ ! -e " .. q(final) .. " ]")
  end)
end)

describe("luarocks make", function()
  --- As docs/install.md says, but for the dependencies, which are no rocks here; a copy for each,
  -- so that two builds do not meet.
  local function make(version, variables)
    local tree, dir = support.tempdir(), copy()
    must(("cd %s && %s luarocks --lua-version=%s --tree %s make --deps-mode=none %s %s"):format(
      q(dir), support.timeout(300), version, q(tree), "rockspec/pgmig-scm-1.rockspec", variables))
    remove(dir)
    return tree
  end

  --- The tree has what that version needs, and nothing of another one.
  local function assert_only(version, tree)
    assert.equal(("./lib/lua/%s/pgmig/core.so\n"):format(version), files_of(tree, "*.so"))
    assert.equal(files_of("lua", "*.lua"), files_of(tree .. "/share/lua/" .. version))
    assert.equal(version .. "\n", must(("ls %s/share/lua"):format(q(tree))))
  end

  it("builds a rock for Lua 5.4", function()
    local tree = make("5.4", "")
    assert_only("5.4", tree)
    assert_program_works(tree .. "/bin/pgmig")
    assert_module_works("lua5.4", "5.4", tree)
  end)

  it("builds a rock for Lua 5.1 with LuaJIT's headers", function()
    local tree = make("5.1", "LUA_INCDIR=/usr/include/luajit-2.1")
    assert_only("5.1", tree)
    assert_program_works(tree .. "/bin/pgmig")
    assert_program_works("luajit " .. tree .. "/lib/luarocks/rocks-5.1/pgmig/scm-1/bin/pgmig")
    assert_module_works("luajit", "5.1", tree)
  end)
end)

describe("the version", function()
  local cmake = support.read "CMakeLists.txt":match "project%(pgmig VERSION ([%d.]+)"

  it("is the same everywhere", function()
    assert.equal(pgmig._VERSION, cmake)
    assert.equal(cmake, support.read "packaging/debian/changelog":match "^pgmig %(([%d.]+)%-")
    assert.equal(cmake, support.read "packaging/opm/dist.ini":match "\nversion = (%S+)")
    local _, out = support.run "lua5.4 bin/pgmig --version"
    assert.equal("pgmig " .. cmake, out:match "^[^\n]*")
  end)

  it("is the newest one in the changelog, below what is not released", function()
    local headings = {}
    for heading in support.read "CHANGELOG.md":gmatch "\n## ([^\n]*)" do
      headings[#headings + 1] = heading
    end
    assert.equal("Unreleased", headings[1])
    assert.matches("^" .. pgmig._VERSION:gsub("%.", "%%.") .. " %(%d%d%d%d%-%d%d%-%d%d%)$",
      headings[2])
  end)
end)
