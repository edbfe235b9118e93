--- Real nginx servers for specs: started on a free loopback port, stopped with the process.
local socket = require "socket"
local http = require "socket.http"
local program = require "spec.nginx.program"
local support = require "spec.support"

local M = {}
local server = {}
server.__index = server

http.TIMEOUT = 60

local CONFIGURATION = [[
{modules}
user root; # ignored unless root starts it
worker_processes {workers};
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
{main}
events {}
http {
  access_log off;
  keepalive_requests 1000000;
  client_body_temp_path {folder};
  proxy_temp_path {folder};
  fastcgi_temp_path {folder};
  uwsgi_temp_path {folder};
  scgi_temp_path {folder};
  lua_package_path "{root}/lua/?.lua;{root}/lua/?/init.lua;;";
  lua_package_cpath "{root}/{build}/luajit/?.so;;";
  {http}
  init_worker_by_lua_file {folder}/worker.lua;
  exit_worker_by_lua_block { require("pgmig.nginx").on_exit() }
  server {
    listen 127.0.0.1:{port};
    location / {
      access_by_lua_block { require("pgmig.nginx").gate() }
      content_by_lua_block { ngx.say "application" }
    }
    location = /alive { content_by_lua_block { ngx.say(ngx.worker.pid()) } }
    location = /schema.json { content_by_lua_block { require("pgmig.nginx").status() } }
    location = /schema { content_by_lua_block { require("pgmig.nginx").dashboard() } }
    {locations}
  }
}
]]

local function checkout()
  local _, root = support.run "pwd"
  return root:match "[^\n]+"
end

local function fill(template, values)
  return (template:gsub("{(%l+)}", values))
end

--- What init_worker_by_lua runs for these options of `pgmig.nginx.setup`, as Lua.
function M.worker(options)
  return ("require('pgmig.nginx').setup {\n%s\n}\n"):format(options)
end

--- What happened to a database, in order.
function M.history(url)
  return support.psql(url, "SELECT string_agg(event || ' ' || name, ', ' ORDER BY id) "
    .. "FROM schema_migrations_history")
end

--- Start nginx.
-- @param options { worker = Lua code for init_worker_by_lua; workers = 1, main, http, locations =
--   further directives }; by default there are a dictionary and a thread pool
-- @return the server: folder, port
function M.start(options)
  local self = setmetatable({ folder = support.tempdir(), port = support.free_port() }, server)
  self:deploy(options.worker)
  self.values = {
    modules = program.load_modules, root = checkout(),
    folder = self.folder, port = tostring(self.port),
    build = os.getenv "PGMIG_BUILD" or "build", workers = tostring(options.workers or 1),
    main = options.main or "thread_pool pgmig threads=1;",
    http = options.http or "lua_shared_dict pgmig 1m;", locations = options.locations or "",
  }
  self:run(support.write(self.folder, "nginx.conf", fill(CONFIGURATION, self.values)))
  return self
end

--- Start nginx with a configuration as it is: in the foreground, on a port of this machine.
-- @param folder for its error log
-- @param pid path of its pid file
-- @param flags of nginx; nil
-- @param environment words of a shell, NAME=value; nil
function M.start_as_is(configuration, folder, port, pid, flags, environment)
  local self = setmetatable({ folder = folder, port = port, pid = pid }, server)
  self:run(configuration, flags, environment)
  return self
end

--- Whether a process has ended, whose parent has not yet asked for its status.
local function has_ended(pid) return support.read(("/proc/%d/stat"):format(pid)):find "%) Z" end

-- The pipe's end, also when this process is killed, stops nginx.
function server:run(configuration, flags, environment)
  self.pipe = assert(io.popen(("exec >%s/out 2>&1; "
    .. "%s %s %s -e %s/error.log -c %s & echo $! >%s/started; cat >/dev/null; kill $!; wait")
    :format(self.folder, environment or "", program.command, flags or "", self.folder,
      configuration, self.folder), "w"))
  local function said() return self:log() .. support.read(self.folder .. "/out") end
  local pid = support.wait(function()
    local file = io.open(self.folder .. "/started")
    local number = file and file:read "*n"
    if file then file:close() end
    return number
  end, said)
  support.wait(function()
    if has_ended(pid) then error("nginx has ended: " .. said(), 0) end
    local probe = socket.tcp()
    local there = probe:connect("127.0.0.1", self.port)
    probe:close()
    return there
  end, said)
end

--- Change what the next workers run.
function server:deploy(worker) support.write(self.folder, "worker.lua", worker) end

--- Ask for a path.
-- @return status, body, headers; nil and why when there is no answer
function server:get(path, method)
  local parts = {}
  local ok, status, headers = http.request {
    url = ("http://127.0.0.1:%d%s"):format(self.port, path), method = method,
    sink = function(piece)
      parts[#parts + 1] = piece
      return 1
    end,
  }
  if not ok then return nil, status end
  return status, table.concat(parts), headers
end

--- Wait until the gate is open.
-- @return seconds
function server:open()
  local _, seconds = support.wait(function() return self:get "/" == 200 end,
    function() return self:log() end)
  return seconds
end

--- The error log.
function server:log() return support.read(self.folder .. "/error.log") end

--- The log's entries, of any number of lines, that have a text in them, as it is.
-- @param level "error", "warn", ...; nil: any
function server:logged(text, level)
  local list = {}
  local entries = self:log():gsub("\n(%d+/%d%d/%d%d )", "\0%1")
  for entry in entries:gmatch "[^%z]+" do
    local fits = not level or entry:find("[" .. level .. "]", 1, true)
    if fits and entry:find(text, 1, true) then list[#list + 1] = entry end
  end
  return list
end

function server:master() return tonumber(support.read(self.pid or self.folder .. "/nginx.pid")) end

--- Reload, and wait until only new workers take requests.
function server:reload()
  local _, old = self:get "/alive"
  self:signal "HUP"
  local fresh = 0
  support.wait(function()
    local _, pid = self:get "/alive"
    fresh = pid ~= old and fresh + 1 or 0
    return fresh >= 5
  end)
end

--- Send a signal, by its name, to the master or another process.
function server:signal(name, pid)
  assert(os.execute(("kill -%s %d"):format(name, pid or self:master())))
end

--- The worker that migrates: its pid; nil.
function server:migrating()
  local _, body = self:get "/schema.json"
  return body and tonumber(body:match '"worker":(%d+)')
end

local function alive(pid) return (support.run("kill -0 " .. pid)) == 0 end

--- Wait until a process has ended.
-- @return seconds
function M.wait_for_end(pid)
  local _, seconds = support.wait(function() return not alive(pid) end)
  return seconds
end

--- Stop it; a second call does nothing.
function server:stop()
  if self.pipe then self.pipe:close() end
  self.pipe = nil
end

return M
