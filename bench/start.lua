--- What it takes to start, and how large what is installed is: pgmig in its forms, beside dbmate.
-- Processor time of the process, user and system, by perf stat: the mean of 40 runs, in turn.
-- Run by bench/README.md's words.
local scratch = require "pgmig.scratch"

local ROUNDS, RUNS = 4, 10

local function output(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read "*a"
  pipe:close()
  return text
end

local root = output "pwd":gsub("\n", "")
local server = scratch.start()
local folder = output "mktemp -d":gsub("\n", "")
local file = assert(io.open(folder .. "/001_a.sql", "w"))
file:write "-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 1;\n"
file:close()

local url = server:url()
local dbmate = root .. "/build/rivals/node_modules/@dbmate/linux-x64/bin/dbmate"
local of_pgmig = " --database '" .. url .. "' --format dbmate --dir " .. folder .. " status"
local programs = {
  { name = "bin/pgmig, Lua 5.4", run = "lua5.4 " .. root .. "/bin/pgmig" },
  { name = "bin/pgmig, LuaJIT", run = "luajit " .. root .. "/bin/pgmig" },
}
for _, form in ipairs { "dynamic", "mostly", "static", "luajit" } do
  local path = ("%s/build/single-%s/single/pgmig"):format(root, form)
  programs[#programs + 1] = { name = "executable, " .. form, run = path, path = path }
end
programs[#programs + 1] = {
  name = "dbmate", run = dbmate, path = dbmate,
  status = (" --url '%s&sslmode=disable' --migrations-dir %s status"):format(url, folder),
}

--- Milliseconds of processor time of a command, of its own and of what it starts.
local function cpu(command)
  local text = output(("perf stat -x, -e task-clock -r %d sh -c 'exec \"$@\" >/dev/null' - %s 2>&1")
    :format(RUNS, command))
  return assert(tonumber(text:match "([%d.]+),msec,task%-clock"), text)
end

for _, program in ipairs(programs) do program.version, program.at_work = 0, 0 end
for _ = 1, ROUNDS do
  for _, program in ipairs(programs) do
    program.version = program.version + cpu(program.run .. " --version") / ROUNDS
    program.at_work = program.at_work + cpu(program.run .. (program.status or of_pgmig)) / ROUNDS
  end
end

print "| | bytes | `--version` | `status`, one file |"
print "|---|---:|---:|---:|"
for _, program in ipairs(programs) do
  local size = program.path and output("stat --format=%s " .. program.path):gsub("\n", "") or ""
  print(("| %s | %s | %.1f ms | %.1f ms |"):format(program.name, size, program.version,
    program.at_work))
end
os.execute("rm -r " .. folder)
server:stop()
