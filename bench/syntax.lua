--- What it costs that the server parses all statements before a run: processor time of the check by
-- itself, and of a run of the same migrations without it. See bench/README.md.
local machine = require "bench.machine"
local pgmig = require "pgmig"
local scratch = require "pgmig.scratch"
local shell = require "bench.shell"
local syntax = require "pgmig.run.syntax"

local MIGRATIONS = 1000
local CHECKS = tonumber(arg[1]) or 200
local RUNS = tonumber(arg[2]) or 5
local TICK = 10 -- milliseconds of a clock tick in /proc

local MIGRATION = "-- UP\nCREATE TABLE t%d (a int);\nINSERT INTO t%d VALUES (1);\n"
  .. "-- DOWN\nDROP TABLE t%d;\n"

local function write_migrations()
  local dir = shell.folder "syntax"
  for i = 1, MIGRATIONS do
    shell.write(("%s/%04d_m.sql"):format(dir, i), (MIGRATION:format(i, i, i)))
  end
  return dir
end

--- Milliseconds that a process has worked.
local function worked(pid)
  local file = assert(io.open(("/proc/%d/stat"):format(pid)))
  local fields = {}
  for field in file:read "*a":gsub(".*%) ", ""):gmatch "%S+" do fields[#fields + 1] = field end
  file:close()
  return (fields[12] + fields[13]) * TICK
end

--- What a function costs, client and server: milliseconds of processor time.
local function cost(db, fn)
  local client, server = os.clock(), worked(db:backend_pid())
  fn()
  return (os.clock() - client) * 1000, worked(db:backend_pid()) - server
end

--- The run: reading the files, and applying them.
local function of_runs(server, dir)
  local client, backend = 0, 0
  for i = 1, RUNS do
    local admin = pgmig.connect(server:url())
    admin:exec("CREATE DATABASE run_" .. i)
    admin:close()
    local db = pgmig.connect(server:url("run_" .. i))
    local c, s = cost(db, function()
      pgmig.migrator(db, dir, { syntax_check = false }):migrate()
    end)
    client, backend = client + c, backend + s
    db:close()
  end
  return client / RUNS, backend / RUNS
end

local function of_checks(server, dir)
  local db = pgmig.connect(server:url())
  local migrator = pgmig.migrator(db, dir, { syntax_check = false })
  local plan = migrator:plan()
  migrator.syntax_check = true
  local client, backend = cost(db, function()
    for _ = 1, CHECKS do assert(#syntax.find(migrator, plan, "up") == 0) end
  end)
  db:close()
  return client / CHECKS, backend / CHECKS
end

local dir, server = write_migrations(), scratch.start()
print(("%s; %.0f %% busy"):format(machine.describe(), machine.busy_share() * 100))
print "\n| 1,000 migrations | client | server |\n|---|---:|---:|"
local run_client, run_server = of_runs(server, dir)
local client, backend = of_checks(server, dir)
print(("| run | %.0f ms | %.0f ms |"):format(run_client, run_server))
print(("| check | %.1f ms | %.1f ms |"):format(client, backend))
print(("| | %.1f %% | %.1f %% |"):format(client / run_client * 100, backend / run_server * 100))
server:stop()
shell.remove(dir)
