--- Ways to run pgmig, with one answer: what a run said.
-- A report is { ok, kind, message, migration = which one has failed, up = versions said to be
-- applied or recorded, down = versions said to be rolled back, killed, stopped = by a signal that
-- it may answer, doubts = it says that it does not know how something has ended, text }.
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
    report.kind, report.message, report.migration = result.kind, result.message, result.migration
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
  if event.event ~= "error" then return end
  report.kind, report.message, report.migration = event.kind, event.message, event.migration
  report.doubts = event.detail and event.detail:find("is not known", 1, true)
end

local function command_of(world, words, stroke)
  local command = ("%s bin/pgmig --json -d %s --dir %s --retries 0 %s"):format(
    rawget(_G, "jit") and "luajit" or "lua5.4", support.quote(world.url),
    support.quote(world.dir), words)
  if not stroke then return command end
  return ("timeout --preserve-status -s %s %.3f %s"):format(stroke.signal, stroke.seconds, command)
end

local KILLED = 137
local STOPPED = { [130] = true, [143] = true }

local function read(code, out, err)
  local report = {
    ok = code == 0, killed = code == KILLED, stopped = STOPPED[code], up = {}, down = {},
    text = out .. err,
  }
  for line in out:gmatch "[^\n]+" do note(report, line) end
  report.message = report.message or err
  return report
end

--- Run the command line program.
-- @param world the database and folder
-- @param words its arguments, as shell words
-- @param stroke { seconds, signal } when it is to end, and how: KILL, TERM or INT; nil: never
function M.program(world, words, stroke)
  return read(support.run(command_of(world, words, stroke)))
end

--- Run several at once.
-- @param count how many
-- @param stroke for the first one, as of `program`
-- @return their reports
function M.programs(world, words, count, stroke)
  local dir, shell, reports = support.tempdir(), {}, {}
  for i = 1, count do
    shell[i] = ("(%s >%s/out%d 2>%s/err%d; echo $? >%s/code%d)&"):format(
      command_of(world, words, i == 1 and stroke or nil), dir, i, dir, i, dir, i)
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
