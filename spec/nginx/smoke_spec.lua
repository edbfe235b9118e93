-- pgmig in a worker of nginx: the same module on LuaJIT, in a timer.
local pgmig = require "pgmig"
local program = require "spec.nginx.program"
local support = require "spec.support"

local CONFIGURATION = [[
MODULES
user root; # ignored unless root starts it
worker_processes WORKERS;
daemon off;
pid DIR/nginx.pid;
error_log DIR/error.log notice;
events {}
http {
  access_log off;
  client_body_temp_path DIR;
  proxy_temp_path DIR;
  fastcgi_temp_path DIR;
  uwsgi_temp_path DIR;
  scgi_temp_path DIR;
  lua_package_path "ROOT/lua/?.lua;ROOT/lua/?/init.lua;;";
  lua_package_cpath "ROOT/BUILD/luajit/?.so;;";
  init_worker_by_lua_file DIR/worker.lua;
}
]]

local WORKER = [[
local function migrate()
  local pgmig = require "pgmig"
  local db = pgmig.connect "URL"
  local applied = pgmig.migrator(db, "ROOT/migrations"):migrate()
  db:close()
  return ("%d applied, the last is %s"):format(#applied, tostring(applied[#applied]))
end

ngx.timer.at(0, function()
  local _, result = pcall(migrate)
  local path = "DIR/result" .. ngx.worker.id()
  local file = assert(io.open(path .. ".new", "w"))
  file:write(tostring(result))
  file:close()
  os.rename(path .. ".new", path)
end)
]]

describe("in nginx", function()
  local dir, url, nginx, workers

  local function fill(template)
    local _, root = support.run "pwd"
    local values = {
      MODULES = program.load_modules, DIR = dir, URL = url, ROOT = root:match "[^\n]+",
      BUILD = os.getenv "PGMIG_BUILD" or "build", WORKERS = tostring(workers),
    }
    return (template:gsub("%u%u%u+", values))
  end

  -- The pipe's end, also when this process is killed, stops nginx.
  local function start_nginx(configuration)
    return assert(io.popen(("exec >%s/out 2>&1; %s -e %s/error.log -c %s &"
      .. " cat >/dev/null; kill $!; wait"):format(dir, program.command, dir, configuration), "w"))
  end

  --- Start nginx with so many workers, each of which migrates; what each says, sorted.
  local function results(count)
    workers = count
    dir = support.tempdir()
    url = support.database()
    support.write(dir, "worker.lua", fill(WORKER))
    nginx = start_nginx(support.write(dir, "nginx.conf", fill(CONFIGURATION)))
    local list = {}
    for i = 1, count do
      local path = ("%s/result%d"):format(dir, i - 1)
      support.wait(function() return os.rename(path, path) end,
        function() return support.read(dir .. "/error.log") .. support.read(dir .. "/out") end)
      list[i] = support.read(path)
    end
    table.sort(list)
    return list
  end

  after_each(function() nginx:close() end)

  it("four workers at once migrate a database once", function()
    assert.same({
      "0 applied, the last is nil", "0 applied, the last is nil", "0 applied, the last is nil",
      "5 applied, the last is 005_restructure_permissions",
    }, results(4))
  end)

  it("a timer of a worker migrates a database", function()
    assert.same({ "5 applied, the last is 005_restructure_permissions" }, results(1))
    local db = pgmig.connect(url)
    assert.equal(0, pgmig.migrator(db, "migrations"):status().pending_count)
    db:close()
  end)
end)
