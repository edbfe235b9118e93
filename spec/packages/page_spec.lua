-- What docs/install.md tells a new user to type, word for word, on a Debian 12 that has sudo and
-- nothing else. Apt asks nothing, and LuaRocks' usual server is a folder.
local packages = require "spec.packages.support"
local support = require "spec.support"

local why_not = packages.why_not()

if why_not then
  describe("the page", function() it("is right", function() pending(why_not) end) end)
  return
end

local page = support.read "docs/install.md"

--- The commands of a section's blocks, one string each.
local function blocks(title)
  local section = (page .. "\n## "):match("\n## " .. title .. "\n(.-)\n## ")
  local list = {}
  for block in section:gmatch "```sh\n(.-)```" do list[#list + 1] = block end
  return list
end

describe("the page", function()
  local debian

  before_each(function()
    debian = packages.chroot()
    support.write(debian.folder, "etc/apt/apt.conf.d/spec",
      'APT::Get::Assume-Yes "true"; APT::Install-Recommends "false";\n')
    debian:must "echo 127.0.0.1 $(hostname) >>/etc/hosts"
    debian:install "sudo"
    debian:copy(packages.release .. "/.", "/srv/release")
  end)
  after_each(function() debian:remove() end)
  teardown(packages.stop)

  local function type_in(block) return debian:must("set -e; cd /srv/release\n" .. block) end

  it("leads to the executable", function()
    assert.matches("pgmig 0", type_in(blocks("One executable")[1]))
    debian:assert_program_works("pgmig", "page_executable")
  end)

  it("leads to the Debian packages", function()
    type_in(blocks("Debian packages")[1])
    debian:assert_program_works("pgmig", "page_debian")
    type_in(page:match "`(sudo apt%-get purge [^`]*)`")
    assert.equal("1\n", debian:must "which pgmig >/dev/null; echo $?")
  end)

  for i, way in ipairs { "source", "binary" } do
    it(("leads to the %s rock"):format(way), function()
      debian:copy(packages.dependencies() .. "/*.rock", "/srv/usual")
      local install, rest = blocks("LuaRocks")[i]:match "^([^\n]*\n)(.*)$"
      type_in(install)
      debian:must "luarocks-admin make-manifest /srv/usual"
      debian:must [[echo 'rocks_servers = { "/srv/usual" }' >>/etc/luarocks/config-5.4.lua]]
      type_in(rest)
      debian:assert_program_works("pgmig", "page_" .. way)
    end)
  end
end)
