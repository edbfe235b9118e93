--- What `pg_dump -s` says of each way back of a history, and whether `verify` says the same. The
-- README.md beside this file tells how to call it: ways_back.lua FORMAT FOLDER [PRELUDE.sql]
local pgmig = require "pgmig"
local scratch = require "pgmig.scratch"
local source = require "pgmig.files.source"

local TABLE = "ways_back"
local format, folder, prelude = arg[1], arg[2], arg[3]

-- What a result of `verify` is to pg_dump.
local as_dumped = {
  reversible = "equal", reordered = "reordered", nothing = "nothing", irreversible = "none",
  none = "none", repeatable = "none",
}

local server = scratch.start { memory = true, settings = { autovacuum = "off" } }
local admin = pgmig.connect(server:url())

local function read(path)
  local file = assert(io.open(path))
  local text = file:read "*a"
  file:close()
  return text
end

local function dump(name)
  local pipe = io.popen(("pg_dump -s -T '*.%s*' -d '%s' 2>&1"):format(TABLE, server:url(name)))
  local text = pipe:read "*a"
  pipe:close()
  return (text:gsub("\\u?n?restrict [^\n]*\n", ""))
end

local function sorted(text)
  local lines = {}
  for line in text:gmatch "[^\n]+" do lines[#lines + 1] = line:gsub(",$", "") end
  table.sort(lines)
  return table.concat(lines, "\n")
end

local function migrator(db)
  return pgmig.migrator(db, folder, {
    format = format, table = TABLE, drift_check = false, retries = 0,
    policy = { ignored = "allow", out_of_order = "allow" },
  })
end

--- Run one migration in a database; whether that succeeded.
local function run(name, plan, m, direction)
  local db = pgmig.connect(server:url(name))
  local ok = pcall(function()
    migrator(db):run { direction = direction, files = plan.files, m }
  end)
  db:close()
  return ok
end

--- What there is to say without running it; nil.
local function obstacle(m, before, after)
  local ok, state = pcall(function() return source.read(m) and source.down_state(m) end)
  source.forget(m)
  if not ok then return "broken" end
  if m.repeatable or state == "none" or state == "irreversible" then return "none" end
  if state == "empty" then return before == after and "equal" or "nothing" end
end

--- What the dumps say of the way back of a migration that has just gone up.
local function truth_of(plan, m, before, after)
  local said = obstacle(m, before, after)
  if said then return said end
  admin:exec "DROP DATABASE IF EXISTS back"
  admin:exec "CREATE DATABASE back TEMPLATE history"
  if not run("back", plan, m, "down") then return "broken" end
  local now = dump "back"
  if now == before then return "equal" elseif now == after then return "nothing" end
  return sorted(now) == sorted(before) and "reordered" or "broken"
end

local function truth()
  admin:exec "CREATE DATABASE history"
  local db = pgmig.connect(server:url "history")
  if prelude then db:exec(read(prelude)) end
  local plan, found = migrator(db):plan(), {}
  db:close()
  local before = dump "history"
  for _, m in ipairs(plan) do
    assert(run("history", plan, m, "up"), m.label)
    local after = dump "history"
    found[m.label] = truth_of(plan, m, before, after)
    before = after
  end
  return found
end

local found, agree, count = truth(), 0, {}
local verified = migrator(nil):verify {
  scratch = server:url(), schema_from = prelude, pending = prelude ~= nil,
}
for _, result in ipairs(verified.results) do
  local said, dumped = as_dumped[result.result] or "broken", found[result.label]
  count[dumped] = (count[dumped] or 0) + 1
  if said == dumped then
    agree = agree + 1
  else
    print(("%s: pg_dump %s, verify %s"):format(result.label, dumped, result.result))
  end
end
print(("%d migrations, the same of %d"):format(#verified.results, agree))
for word, n in pairs(count) do print("  " .. word, n) end
server:stop()
os.exit(agree == #verified.results and 0 or 3)
