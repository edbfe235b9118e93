--- script/bench: measures pgmig beside its rivals, and writes results.md and results.svg.
local machine = require "bench.machine"
local measure = require "bench.measure"
local options = require "bench.options"
local picture = require "bench.picture"
local report = require "bench.report"
local server = require "bench.server"
local shell = require "bench.shell"
local workloads = require "bench.workloads"

local ROOM = 20 -- GB that a whole run needs

local function log(line) io.stderr:write(line, "\n") end

local function show(parts, part)
  parts[#parts + 1] = part
  print(part)
  io.stdout:flush()
end

local function warn(given)
  local busy, room = machine.busy_share(), machine.free_space()
  if busy > machine.QUIET then
    log(("warning: %.0f %% of the processors are busy otherwise: differences mean little")
      :format(busy * 100))
  end
  if not given.quick and room < ROOM then
    log(("warning: %d GB are free for temporary files; a whole run needs %d"):format(room, ROOM))
  end
end

local function run(given)
  local place = server.start(given.quick)
  local parts, results = {}, {}
  warn(given)
  show(parts, report.head { quick = given.quick, rounds = given.rounds, server = server.version(),
    settings = server.settings, load_average = machine.load_average() })
  for _, w in ipairs(workloads) do
    if not given.names or given.names[w.key] then
      local result = measure.workload(w, given, place, log)
      show(parts, report.table_of(w, result))
      results[#results + 1] = { w, result }
    end
  end
  return parts, results
end

local function write(given, parts, results)
  os.execute("mkdir -p " .. shell.quote(given.output))
  shell.write(given.output .. "/results.md", table.concat(parts, "\n"))
  shell.write(given.output .. "/results.svg", picture.of(results,
    ("Seconds (median), and multiples of psql's (scanning: libpg_query's). %s%s, %s"):format(
      given.quick and "Quick form. " or "", machine.describe():match "^[^,]+, [^,]+",
      os.date "!%Y-%m-%d")))
  log(("written: %s/results.md, %s/results.svg"):format(given.output, given.output))
end

local given = options.parse(workloads, arg)
local ok, parts, results = xpcall(run, debug.traceback, given)
if ok then write(given, parts, results) end
pcall(server.stop)
if not ok then
  log(parts)
  os.exit(1)
end
