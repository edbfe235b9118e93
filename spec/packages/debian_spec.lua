-- The Debian packages, as a new user installs them on a machine that has nothing.
local packages = require "spec.packages.support"
local support = require "spec.support"

local why_not = packages.why_not()

if why_not then
  describe("the Debian packages", function() it("install", function() pending(why_not) end) end)
  return
end

--- What of pgmig is in a chroot, but for the packages themselves.
local function leftovers(debian)
  return debian:must "find / -xdev -name '*pgmig*' ! -path '/proc/*' ! -path '/tmp/*'"
end

describe("the Debian packages", function()
  local debian

  before_each(function()
    debian = packages.chroot()
    debian:copy(packages.release .. "/*.deb", "/tmp")
  end)
  after_each(function() debian:remove() end)
  teardown(packages.stop)

  it("give the program, with its manual and completions, and go without a trace", function()
    debian:install "/tmp/pgmig_*.deb /tmp/lua-pgmig_*.deb"
    debian:assert_program_works("pgmig", "program")
    for _, path in ipairs { "man/man1/pgmig.1.gz", "bash-completion/completions/pgmig",
      "zsh/vendor-completions/_pgmig", "fish/vendor_completions.d/pgmig.fish" } do
      -- A minimal Debian leaves out manuals, not the record that they belong to the package.
      assert.matches("/usr/share/" .. path .. "\n", debian:must "dpkg -L pgmig", 1, true)
    end
    debian:must "rm -r /srv/shop; apt-get purge -qq -y pgmig lua-pgmig"
    assert.equal("", leftovers(debian))
  end)

  it("give the modules to Lua 5.4 and LuaJIT, without the program", function()
    debian:install "/tmp/lua-pgmig_*.deb lua5.4 luajit2"
    debian:assert_module_works("lua5.4", "module54")
    debian:assert_module_works("luajit", "modulejit")
    assert.equal("1\n", debian:must "which pgmig >/dev/null; echo $?")
  end)

  it("give the library to C", function()
    debian:install "/tmp/libpgmig-dev_*.deb gcc libc6-dev pkg-config"
    local url = debian:project "library"
    debian:copy("spec/fixtures/c/migrate.c", "/srv")
    debian:must [[cc -Wall -Werror /srv/migrate.c -o /srv/migrate \
      $(pkg-config --cflags --libs pgmig)]]
    assert.matches("done", debian:must(("/srv/migrate %s /srv/shop/migrations/001_a.sql")
      :format(support.quote(url))))
  end)

  it("take the place of older ones, all together", function()
    debian:install "/tmp/lua-pgmig_*.deb dpkg-dev"
    -- Packages like these, of an earlier version.
    debian:must [[cd /tmp && mkdir old && for deb in pgmig_*.deb lua-pgmig_*.deb; do
      dpkg-deb -R $deb tree && sed -i -e '/^Version:/s/:.*/: 0.0.9-1/' \
        -e '/^Depends:/s/lua-pgmig ([^)]*)/lua-pgmig/g' tree/DEBIAN/control &&
      dpkg-deb -b tree old/$deb >/dev/null && rm -r tree || exit 1; done]]
    debian:must "apt-get purge -qq -y lua-pgmig"
    debian:install "/tmp/old/pgmig_*.deb /tmp/old/lua-pgmig_*.deb"
    assert.equal("0.0.9-1", debian:must "dpkg-query -W -f '${Version}' pgmig")
    local code, out, err = debian:run "apt-get install -y /tmp/pgmig_*.deb"
    assert.equal(100, code) -- the new program does not run on the old modules
    assert.matches("pgmig : Depends: lua%-pgmig", out .. err)
    debian:install "/tmp/pgmig_*.deb /tmp/lua-pgmig_*.deb"
    debian:assert_program_works("pgmig", "upgraded")
  end)
end)
