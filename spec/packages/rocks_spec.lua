-- The rocks, installed by one command: with a compiler, and without one. Instead of LuaRocks' own
-- server there is a folder, which has what pgmig depends on, as Debian's packages have it.
local packages = require "spec.packages.support"

local why_not = packages.why_not()

if why_not then
  describe("the rocks", function() it("install", function() pending(why_not) end) end)
  return
end

describe("the rocks", function()
  local debian

  before_each(function()
    debian = packages.chroot()
    debian:install "luarocks unzip lua5.4 luajit2"
  end)
  after_each(function() debian:remove() end)
  teardown(packages.stop)

  --- What a server of rocks has: a folder of the release, and the dependencies.
  local function serve(folder)
    debian:copy(("%s/%s/*.rock"):format(packages.release, folder), "/srv/rocks")
    debian:copy(packages.dependencies() .. "/*.rock", "/srv/rocks")
    debian:must "luarocks-admin make-manifest /srv/rocks"
  end

  it("are built from source for Lua 5.4 and for LuaJIT", function()
    debian:install "gcc libc6-dev cmake make pkg-config libpq-dev libssl-dev liblua5.4-dev"
    serve "rocks"
    debian:must "luarocks --lua-version=5.4 --only-server=/srv/rocks install pgmig"
    debian:assert_program_works("pgmig", "source54")
    debian:assert_module_works("lua5.4", "source54module")
    debian:install "libluajit2-5.1-dev"
    debian:must "luarocks --lua-version=5.1 --only-server=/srv/rocks install pgmig"
    debian:assert_module_works("luajit", "sourcejit")
  end)

  for version, interpreter in pairs { ["5.4"] = "lua5.4", ["5.1"] = "luajit" } do
    it("need no compiler on Lua " .. version, function()
      debian:install "libpq5 libssl3"
      serve("rocks/" .. version)
      assert.equal("1\n", debian:must "which gcc >/dev/null; echo $?")
      debian:must(("luarocks --lua-version=%s --only-server=/srv/rocks install pgmig")
        :format(version))
      debian:assert_program_works("pgmig", "binary" .. version:gsub("%.", ""))
      debian:assert_module_works(interpreter, "module" .. version:gsub("%.", ""))
    end)
  end
end)
