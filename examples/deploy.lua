--- A deploy script: a canary database first, then the rest, with approval between.
--
--     lua5.4 examples/deploy.lua [--yes] MIGRATIONS CANARY-URL URL...
--
-- It writes a JSON log, one object a line, and ends with 1 when a database fails: those behind it
-- stay as they are.
local dkjson = require "dkjson"
local pgmig = require "pgmig"

local function log(fields)
  io.stdout:write(dkjson.encode(fields, { keyorder = { "level", "database", "message" } }), "\n")
  io.stdout:flush()
end

--- What a chat would be told; here it is one more line of the log.
local function notify(text) log { level = "notify", message = text } end

--- A veto: nothing is dropped unless the migration's name says so.
local function forbid_silent_drops(ctx)
  if ctx.direction ~= "up" or ctx.migration.name:find "drop" then return end
  if ctx.statement.kind:find "^DROP TABLE" then
    error(("%s drops a table, but its name does not say so"):format(ctx.migration), 0)
  end
end

--- A migrator for one database, with the hooks of all.
local function open(url, dir, label)
  local migrator = pgmig.migrator(pgmig.connect(url), dir, {
    log = function(level, message)
      if level ~= "debug" then log { level = level, database = label, message = message } end
    end,
    hooks = {
      before_statement = forbid_silent_drops,
      after_all = function(ctx)
        if ctx.error then return notify(("%s: FAILED"):format(label)) end
        notify(("%s: %d applied"):format(label, #ctx.applied))
      end,
    },
  })
  return migrator
end

--- Only what is small enough for a deploy by day; `night_` waits for the night.
local function by_day(plan)
  for i = #plan, 1, -1 do
    if plan[i].name:find "^night_" then table.remove(plan, i) end
  end
  return plan
end

local function approve(automatic)
  if automatic then return true end
  io.stderr:write "Canary succeeded. Continue with the others? [y/N] "
  return (io.read "*l" or ""):find "^[yY]" ~= nil
end

local function deploy(url, dir, label)
  local migrator = open(url, dir, label)
  local plan = by_day(migrator:plan())
  for _, m in ipairs(plan) do
    local what = migrator:describe(m, "up")
    log { level = "info", database = label, message = ("will apply %s, %d statements"):format(
      m.label, #what.statements) }
  end
  migrator:run(plan)
  migrator.db:close()
end

local function main(words)
  local automatic = words[1] == "--yes"
  if automatic then table.remove(words, 1) end
  local dir = table.remove(words, 1)
  if #words == 0 then error("usage: deploy.lua [--yes] MIGRATIONS CANARY-URL URL...", 0) end
  for i, url in ipairs(words) do
    deploy(url, dir, i == 1 and "canary" or "database " .. i)
    if i == 1 and #words > 1 and not approve(automatic) then
      log { level = "info", message = "stopped after the canary" }
      return
    end
  end
end

local ok, err = pcall(main, arg)
if not ok then
  io.stderr:write(tostring(err), "\n")
  os.exit(1)
end
