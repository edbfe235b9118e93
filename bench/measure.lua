--- Runs contenders in turn, and says what each run took and whether it did its work.
local backend = require "bench.backend"
local contenders = require "bench.contenders"
local core = require "pgmig.core"
local corpus = require "bench.corpus"
local delay = require "bench.delay"
local machine = require "bench.machine"
local programs = require "bench.programs"
local server = require "bench.server"
local shell = require "bench.shell"

local M = {}

--- Seconds: what a single run may take, and after how many in all a contender runs no more.
M.RUN_LIMIT = 900
M.ROW_LIMIT = 150
local SAMPLE = 0.05 -- seconds between looks at the server's memory
local SHOWN = 90 -- characters of what a failed command has printed

-- ---- one command -----------------------------------------------------------

local function environment(env)
  local words = {}
  for name, value in pairs(env or {}) do words[#words + 1] = name .. "=" .. shell.quote(value) end
  return table.concat(words, " ")
end

--- The line of a log that tells most: one that names an error, else the last.
local function telling_line(log)
  local last = "it printed nothing"
  for line in log:gmatch "[^\r\n]*%S[^\r\n]*" do
    last = line
    if line:lower():find "error: *%S" then break end
  end
  return last:sub(1, SHOWN)
end

local function parse(text, log)
  local wall, user, system, memory, status = text:match "^(%S+) (%S+) (%S+) (%d+) (%d+)"
  local run = {
    wall = tonumber(wall),
    cpu = tonumber(user) + tonumber(system),
    memory = tonumber(memory),
    log = log,
  }
  if status == "124" then
    run.failed = ("stopped after %d s, or printed too much"):format(M.RUN_LIMIT)
  elseif status ~= "0" then
    run.failed = telling_line(log)
  end
  return run
end

--- Run a command; while it runs, `look` is called now and then.
local function run_command(command, look)
  local folder = shell.folder "run"
  local log, result = folder .. "/log", folder .. "/result"
  shell.remove(result)
  local pipe = assert(io.popen(("cd %s && %s exec %s %s"):format(shell.quote(folder),
    environment(command.env), shell.join { programs.path "run", M.RUN_LIMIT, log, result },
    shell.join(command.words))))
  local limit = core.now() + M.RUN_LIMIT + 10
  while look and not shell.exists(result) and core.now() < limit do
    look()
    core.poll({}, {}, SAMPLE)
  end
  pipe:close()
  return parse(assert(shell.read(result), "the benchmark's runner failed"), shell.read(log))
end

-- ---- one run ---------------------------------------------------------------

--- What is wrong with a table after a run; nil: nothing.
local function wrong_count(database, from, expected)
  local ok, count = pcall(server.count, database, "SELECT count(*) AS count FROM " .. from)
  if not ok then return tostring(count):match "[^\n]+" end
  if count ~= expected then
    return ("%d instead of %d rows in %s"):format(count, expected, from)
  end
end

--- What is wrong with a database after a run; nil: nothing.
local function wrong(w, row, database)
  return wrong_count(database, row.contender.tracking, row.migrations) or
    (not w.nothing and wrong_count(database, w.rows, row.size)) or nil
end

local function run_on_server(w, row, place, command)
  local database = row.database or server.new_database()
  local link = w.delay and delay.start(place, w.delay)
  local host = link or place
  local most = 0
  local run = run_command(command {
    folder = row.folder, host = host.host, port = host.port, database = database,
  }, w.memory and function() most = math.max(most, backend.private_memory(database)) end)
  if link then run.connections, run.round_trips = link.stop() end
  if most > 0 then run.server_memory = most end -- or it was over before the first look
  run.failed = run.failed or wrong(w, row, database)
  return run, database
end

local function run_once(w, row, place)
  if not w.scan then return (run_on_server(w, row, place, row.contender.command)) end
  local run = run_command(row.contender.command { folder = row.folder })
  if row.contender.counts and tonumber(run.log) ~= row.size + 1 then -- one CREATE TABLE
    run.failed = run.failed or ("%s instead of %d statements"):format(run.log, row.size + 1)
  end
  return run
end

-- ---- a workload ------------------------------------------------------------

local function new_row(w, entry, size)
  local key = type(entry) == "table" and entry[1] or entry
  local share = type(entry) == "table" and entry.share or 1
  local contender = contenders.list[key]
  return {
    key = key,
    contender = contender,
    name = contender.name,
    share = share,
    weight = w.nothing and 1 or share, -- how much of the work it does
    size = math.floor(size * share),
    missing = not contenders.is_there(contender),
    runs = {},
    total = 0, -- seconds
  }
end

--- Write the files of all rows, each form once.
local function write_files(w, rows)
  local folders = {}
  for _, row in ipairs(rows) do
    local name = ("%s_%s_%d"):format(w.key, row.contender.layout, row.size)
    local migrations = w.make(row.size)
    row.migrations = #migrations
    folders[name] = folders[name] or
      corpus.write(row.contender.layout, migrations, name)
    row.folder = folders[name]
  end
  return folders
end

--- Bring databases to where nothing is left to do, one for each folder.
local function prepare(w, rows, place)
  local databases = {}
  for _, row in ipairs(rows) do
    if not databases[row.folder] then
      local run, database = run_on_server(w, row, place,
        row.contender.prepare or row.contender.command)
      row.failed = run.failed
      databases[row.folder] = database
    end
    row.database = databases[row.folder]
  end
end

local function run_row(w, row, place, log)
  local run = run_once(w, row, place)
  log(("%s: %s: %.3f s%s"):format(w.key, row.name, run.wall,
    run.failed and ", failed: " .. run.failed or ""))
  row.failed = run.failed
  row.total = row.total + run.wall
  table.insert(row.runs, run)
end

--- Run the rows in turn, each round beginning with another one.
local function run_rounds(w, rows, rounds, place, log)
  local load = 0
  for round = 1, rounds do
    load = math.max(load, machine.busy_share())
    for i = 1, #rows do
      local row = rows[(round + i - 2) % #rows + 1]
      if not row.failed and row.total < M.ROW_LIMIT then run_row(w, row, place, log) end
    end
  end
  return load
end

--- Run a workload.
-- @param w from workloads.lua
-- @param options { quick =, rounds = }
-- @param place the server: { host =, port = }
-- @param log fn(line)
-- @return { rows =, load = the share of the processors that others used, size =, bytes = }; a row
--   has `name`, `runs`, `failed` (why), `missing` (not installed), `size`, `share`, `weight`
function M.workload(w, options, place, log)
  local size = options.quick and w.size.quick or w.size.full
  local all, present = {}, {}
  for _, entry in ipairs(w.contenders) do
    local row = new_row(w, entry, size)
    if row.contender.wanted ~= false then all[#all + 1] = row end
    if row.contender.wanted ~= false and not row.missing then present[#present + 1] = row end
  end
  local folders = write_files(w, present)
  if w.nothing then prepare(w, present, place) end
  if not options.quick then os.execute "sync" end -- or the kernel would write our files meanwhile
  local load = run_rounds(w, present, options.rounds, place, log)
  local bytes = shell.output_of(("cat %s/* | wc -c"):format(present[1].folder))
  for _, folder in pairs(folders) do shell.remove(folder) end
  return { rows = all, load = load, size = size, bytes = tonumber(bytes) }
end

return M
