--- What the specs of packages share: a release, copies of a minimal Debian, and a server that can
-- be reached from them.
local assert = require "luassert"
local pgmig = require "pgmig"
local scratch = require "pgmig.scratch"
local support = require "spec.support"

local M = {}
local chroot = {}
chroot.__index = chroot

local q = support.quote

--- The folder that script/release has made; nil where these specs do not run.
M.release = os.getenv "PGMIG_RELEASE"

--- Why these specs cannot run; nil when they can.
function M.why_not()
  if not M.release then return "script/test --packages runs it" end
  if support.run "[ $(id -u) = 0 ] && [ -x build/chroot/bin/sh ]" ~= 0 then
    return "needs root, and build/chroot of script/bootstrap --packages"
  end
end

--- Run a command that has to succeed; returns what it prints.
function M.must(command)
  local code, out, err = support.run(command)
  if code ~= 0 then error(("%s\nexit status %s\n%s%s"):format(command, code, out, err), 2) end
  return out
end

--- The path of the release's list of components.
function M.bom() return M.must("echo " .. M.release .. "/*.cdx.json"):match "[^\n]+" end

-- Makes the rocks of modules in Lua, for all machines, in the folder where it runs.
local stand_in = [[
set -e
make() { # NAME VERSION
  mkdir $1-$2
  cp /usr/share/lua/5.4/$1.lua $1-$2
  tar czf $1-$2.tar.gz $1-$2
  cat >$1-$2-1.rockspec <<TEXT
package = "$1"
version = "$2-1"
source = { url = "file://$PWD/$1-$2.tar.gz" }
dependencies = { "lua >= 5.1, < 5.5" }
build = { type = "none", install = { lua = { $1 = "$1.lua" } } }
TEXT
  luarocks --lua-version=5.4 --tree $PWD/tree build --pack-binary-rock $1-$2-1.rockspec
}
make argparse 0.7.1
make dkjson 2.6
]]

local dependencies

--- A folder with the rocks that pgmig depends on, made of what Debian's packages have.
function M.dependencies()
  if not dependencies then
    dependencies = support.tempdir()
    M.must(("cd %s; %s"):format(dependencies, stand_in))
  end
  return dependencies
end

--- A new Debian 12 with nothing but its minimum.
function M.chroot()
  local self = setmetatable({ folder = support.tempdir() }, chroot)
  M.must(("cp -a build/chroot/. %s"):format(q(self.folder)))
  return self
end

--- Run a command in it, as root, with an empty environment.
-- @return exit status, standard output, standard error
function chroot:run(command)
  return support.run(("%s env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "
    .. "HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive chroot %s sh -c %s"):format(
      support.timeout(600), q(self.folder), q(command)))
end

--- Run a command that has to succeed; returns what it prints.
function chroot:must(command)
  local code, out, err = self:run(command)
  if code ~= 0 then error(("%s\nexit status %s\n%s%s"):format(command, code, out, err), 2) end
  return out
end

--- Copy files into a folder of it.
function chroot:copy(files, folder)
  local target = self.folder .. folder
  M.must(("mkdir -p %s && cp -rL %s %s"):format(target, files, target))
end

--- Install Debian packages, by name or path, and only what they depend on.
function chroot:install(names)
  self:must("apt-get install -qq -y --no-install-recommends " .. names)
end

function chroot:remove() M.must("rm -rf " .. q(self.folder)) end

local server

--- The URL of a new database, which a chroot reaches, too: over TCP, with a password.
function M.database(name)
  local port = server and server.port or support.free_port()
  server = server or scratch.start {
    settings = { listen_addresses = "127.0.0.1", port = port },
  }
  support.psql(server:url(), "CREATE DATABASE " .. name)
  return ("postgresql://postgres:%s@127.0.0.1:%d/%s"):format(server.password, port, name)
end

function M.stop()
  if server then server:stop() end
  server = nil
end

--- A project in a chroot's /srv/shop, and its database in a file of variables.
function chroot:project(name)
  local url = M.database(name)
  M.must(("mkdir -p %s/srv/shop/migrations"):format(self.folder))
  support.write(self.folder, "srv/shop/migrations/001_a.sql",
    "-- UP\nCREATE TABLE a ();\n-- DOWN\nDROP TABLE a;\n")
  support.write(self.folder, "srv/shop/.env", "DATABASE_URL=" .. url .. "\n")
  return url
end

--- The program does its main job in a chroot.
function chroot:assert_program_works(program, name)
  local url = self:project(name)
  assert.equal("pgmig " .. pgmig._VERSION, self:must(program .. " --version"):match "^pgmig [%d.]+")
  local function pgmig_in_shop(words) return self:must("cd /srv/shop && " .. program .. words) end
  assert.matches("applied +001_a", pgmig_in_shop " up")
  assert.matches("1 applied, 0 pending", pgmig_in_shop " status")
  assert.equal("1", support.psql(url, "SELECT count(*) FROM pg_class WHERE relname = 'a'"))
  pgmig_in_shop " down"
  assert.equal("0", support.psql(url, "SELECT count(*) FROM pg_class WHERE relname = 'a'"))
end

local script = [[
local pgmig = require "pgmig"
local migrator = pgmig.migrator(pgmig.connect(arg[1]), "/srv/shop/migrations")
io.write(pgmig._VERSION, " ", #migrator:migrate())
]]

--- The module does its main job in a chroot, under an interpreter.
function chroot:assert_module_works(interpreter, name)
  local url = self:project(name)
  support.write(self.folder, "srv/run.lua", script)
  assert.equal(pgmig._VERSION .. " 1",
    self:must(("%s /srv/run.lua %s"):format(interpreter, q(url))))
end

return M
