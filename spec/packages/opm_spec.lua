-- The layout for OpenResty's package manager; opm itself checks it where it is installed.
local packages = require "spec.packages.support"
local pgmig = require "pgmig"
local support = require "spec.support"

local why_not = packages.why_not()

if why_not then
  describe("the layout for opm", function() it("is complete", function() pending(why_not) end) end)
  return
end

local must = packages.must

describe("the layout for opm", function()
  local folder

  setup(function()
    folder = support.tempdir()
    must(("tar xzf %s/pgmig-*-opm.tar.gz -C %s --strip-components=1"):format(packages.release,
      folder))
  end)
  teardown(packages.stop)

  it("has what `opm build` asks for", function()
    local given = {}
    for key, value in support.read(folder .. "/dist.ini"):gmatch "\n([%l_]+) = ([^\n]+)" do
      given[key] = value
    end
    for _, key in ipairs { "name", "abstract", "author", "is_original", "license", "repo_link" } do
      assert.is_string(given[key], key)
    end
    assert.matches("^https://", given.repo_link)
    assert.equal("lib", given.lib_dir) -- as opm's server wants it
    must(("[ -f %s/%s ] && [ -f %s/README.md ]"):format(folder, given.main_module, folder))
    local source = support.tempdir()
    must(("tar xzf %s/pgmig-%s.tar.gz -C %s --strip-components=1 && diff -r %s/lua %s/lib")
      :format(packages.release, pgmig._VERSION, source, source, folder))
    must(("find %s/lib -name '*.lua' -exec sh -c 'luajit -b $1 /dev/null' sh {} ';'")
      :format(folder))
    if support.run "command -v opm" == 0 then
      local home = support.tempdir()
      support.write(home, ".opmrc", [[
github_account=somebody
github_token=0123456789012345678901234567890123456789
upload_server=https://127.0.0.1
download_server=https://127.0.0.1
]])
      must(("cd %s && HOME=%s opm build"):format(folder, home))
    end
  end)

  it("works with the C module of the Debian package", function()
    local debian = packages.chroot()
    debian:copy(packages.release .. "/lua-pgmig_*.deb", "/tmp")
    debian:copy(folder .. "/lib", "/srv/site")
    debian:install "/tmp/lua-pgmig_*.deb luajit2"
    debian:must "rm -r /usr/share/lua/5.1/pgmig"
    debian:assert_module_works("env 'LUA_PATH=/srv/site/lib/?.lua;/srv/site/lib/?/init.lua' luajit",
      "opm")
    debian:remove()
  end)
end)
