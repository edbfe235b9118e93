--- What pgmig.testing costs a spec: its database and the dropping of it, beside a copy made and
-- dropped by hand. See bench/README.md.
local connection = require "pgmig.db.connection"
local machine = require "bench.machine"
local scratch = require "pgmig.scratch"
local socket = require "socket"
local testing = require "pgmig.testing"

local DIR = "migrations"
local ROUNDS = tonumber(arg[1]) or 60
local SPECS = { 0, 0.02 } -- seconds that a spec takes

--- A copy by hand, on a server: { before, after }, as in a spec.
local function by_hand(server)
  local admin, count = connection.connect(server:url()), 0
  local template = testing.database { dir = DIR, url = server:url() }
  template:close()
  local function before()
    count = count + 1
    local name = "by_hand_" .. count
    admin:exec(("CREATE DATABASE %s TEMPLATE %s"):format(name, template.database_name))
    local db = connection.connect(server:url(name))
    db.database_name = name
    return db
  end
  local function after(db)
    db:close()
    admin:exec("DROP DATABASE " .. db.database_name)
  end
  return { before, after }
end

local function with_testing(url)
  return { function() return testing.database { dir = DIR, url = url } end, testing.drop }
end

local disk = scratch.start()
local contenders = {
  { "by hand, on disk", by_hand(disk) },
  { "pgmig.testing, on disk", with_testing(disk:url()) },
  { "pgmig.testing", with_testing() },
}

--- What a spec of some length waits for its database, and for its end.
local function measure(calls, seconds)
  local before, after = calls[1], calls[2]
  local start = socket.gettime()
  local db = before()
  local waited = socket.gettime() - start
  db:exec "INSERT INTO roles (name) VALUES ('guest')"
  if seconds > 0 then socket.sleep(seconds) end
  start = socket.gettime()
  after(db)
  return waited + socket.gettime() - start
end

local function at(sorted, share) return sorted[math.ceil(#sorted * share)] * 1000 end

local function row(title, seconds, waits)
  table.sort(waits)
  print(("| %s | %.0f ms | %.1f ms | %.1f ms |"):format(title, seconds * 1000, at(waits, 0.5),
    at(waits, 0.95)))
end

print(("%s; %.0f %% busy"):format(machine.describe(), machine.busy_share() * 100))
print "\n| | a spec of | median | 95 % |\n|---|---:|---:|---:|"
for _, seconds in ipairs(SPECS) do
  local waits = {}
  for i = 0, ROUNDS do
    for j, contender in ipairs(contenders) do
      local waited = measure(contender[2], seconds)
      waits[j] = waits[j] or {}
      if i > 0 then table.insert(waits[j], waited) end -- the first makes the template
    end
  end
  for j, contender in ipairs(contenders) do row(contender[1], seconds, waits[j]) end
end
disk:stop()
