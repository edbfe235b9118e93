--- Ways to run pgmig, with one answer: what a run said.
-- A report is { ok, kind, message, up = versions said to be applied or recorded, down = versions
-- said to be rolled back, killed, text }.
local dkjson = require "dkjson"
local pgmig = require "pgmig"
local support = require "spec.support"

local M = {}

local function ids(list)
  local result = {}
  for i, m in ipairs(list or {}) do result[i] = m.version end
  return result
end

local options = { retries = 0, lock_wait = 20, reconnect = 20 }

--- Call a method of a migrator of this process.
-- @param world the database and folder
-- @param method a name
-- @param ... its arguments
function M.module(world, method, ...)
  local db = pgmig.connect(world.url)
  local migrator = pgmig.migrator(db, world.dir, options)
  local report = { up = {}, down = {} }
  local ok, result = pcall(migrator[method], migrator, ...)
  report.ok = ok
  if not ok and not pgmig.is_error(result) then error(result, 0) end
  if not ok then
    report.kind, report.message = result.kind, result.message
    report.up, report.down = ids(result.applied), ids(result.rolled_back)
  elseif method == "redo" then
    report.up, report.down = ids(result.applied), ids(result.rolled_back)
  elseif method == "rollback" then
    report.down = ids(result)
  elseif method == "migrate" or method == "fake" or method == "baseline" then
    report.up = ids(result)
  end
  report.text = tostring(result)
  db:close()
  return report
end

local said = { applied = "up", recorded = "up", rolled_back = "down" }

local function note(report, line)
  local event = dkjson.decode(line)
  if not event then return end
  local list = report[said[event.event]]
  if list then list[#list + 1] = event.version end
  if event.event == "error" then report.kind, report.message = event.kind, event.message end
end

local function command_of(world, words, seconds)
  local command = ("%s bin/pgmig --json -d %s --dir %s --retries 0 %s"):format(
    rawget(_G, "jit") and "luajit" or "lua5.4", support.quote(world.url),
    support.quote(world.dir), words)
  return seconds and ("timeout -s KILL %.3f %s"):format(seconds, command) or command
end

local function read(code, out, err)
  local report = { ok = code == 0, killed = code == 137, up = {}, down = {}, text = out .. err }
  for line in out:gmatch "[^\n]+" do note(report, line) end
  report.message = report.message or err
  return report
end

--- Run the command line program.
-- @param world the database and folder
-- @param words its arguments, as shell words
-- @param seconds when it is killed; nil: never
function M.program(world, words, seconds)
  return read(support.run(command_of(world, words, seconds)))
end

--- Run several at once.
-- @param count how many
-- @param seconds when the first one is killed; nil: never
-- @return their reports
function M.programs(world, words, count, seconds)
  local dir, shell, reports = support.tempdir(), {}, {}
  for i = 1, count do
    shell[i] = ("(%s >%s/out%d 2>%s/err%d; echo $? >%s/code%d)&"):format(
      command_of(world, words, i == 1 and seconds or nil), dir, i, dir, i, dir, i)
  end
  support.run(table.concat(shell, " ") .. " wait")
  for i = 1, count do
    reports[i] = read(tonumber(support.read(dir .. "/code" .. i)), support.read(dir .. "/out" .. i),
      support.read(dir .. "/err" .. i))
  end
  return reports
end

--- What looking says, through the connection of the model.
-- @return the status
-- @return what `doctor` finds
function M.look(world)
  local migrator = pgmig.migrator(world.db, world.dir, options)
  return migrator:status(), migrator:doctor()
end

return M
