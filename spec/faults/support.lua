--- What the fault specs share: running the program, and databases for it.
local core = require "pgmig.core"
local pgmig = require "pgmig"
local cli = require "spec.cli.helper"
local support = require "spec.support"

local M = {}

--- Whether the whole suite is wanted, not its short form.
M.whole = os.getenv "PGMIG_FAULTS" == "whole"

--- The tree whose program is tried: this one, or another one with a planted bug.
M.tree = "."

local interpreter = rawget(_G, "jit") and "luajit" or "lua5.4"
local LIMIT = 60 -- seconds for one run of the program

local function absolute(path)
  local _, out = support.run("cd " .. support.quote(path) .. " && pwd")
  return (out:gsub("%s+$", ""))
end

-- ---- the program -----------------------------------------------------------

--- The command that runs the program, with short times. A new connection that is not answered has
-- less than the time there is to get one.
local function command(url, words)
  local program = support.quote(absolute(M.tree) .. "/bin/pgmig")
  return ("env -u PGMIG_DIR DATABASE_URL=%s PGMIG_RESPONSE_TIMEOUT=1 PGMIG_RECONNECT=15 "
    .. "PGCONNECT_TIMEOUT=4 %s %s %s"):format(support.quote(url), interpreter, program, words)
end

--- Run the program.
-- @param url the database
-- @param words its arguments
-- @param pid_file where to write its process id; nil
-- @return exit code, output, errors but for the line about the database
function M.run(url, words, pid_file)
  local line = "exec " .. command(url, words)
  if pid_file then line = ("echo $$ >%s; %s"):format(support.quote(pid_file), line) end
  return cli.run_command(support.timeout(LIMIT) .. "sh -c " .. support.quote(line))
end

--- Run the program, and kill it.
-- @param seconds after which
-- @return as run; the exit code is 137 when it was killed
function M.run_killed(url, words, seconds)
  return support.run(("%s & p=$!; sleep %.4f; kill -9 $p; wait $p"):format(command(url, words),
    seconds))
end

--- Run the program several times at once.
-- @param words a list: the arguments of each
-- @return a list of { code, out, err }
function M.run_at_once(url, words)
  local dir, lines = support.tempdir(), {}
  for i, arguments in ipairs(words) do
    lines[i] = ("(%s %s >%s/%d.out 2>%s/%d.err; echo $? >%s/%d.code) &"):format(
      support.timeout(LIMIT), command(url, arguments), dir, i, dir, i, dir, i)
  end
  support.run(table.concat(lines, "\n") .. "\nwait")
  local results = {}
  for i in ipairs(words) do
    local function read(what) return support.read(("%s/%d.%s"):format(dir, i, what)) end
    results[i] = { code = tonumber(read "code"), out = read "out",
      err = cli.without_place(read "err") }
  end
  return results
end

-- ---- databases -------------------------------------------------------------

--- The name of a new empty database on the specs' server.
function M.database()
  local name = "fault_" .. core.token():gsub("%W", ""):lower()
  local db = pgmig.connect(support.server():url())
  db:exec("CREATE DATABASE " .. name)
  db:close()
  return name
end

--- Drop a database that a case has used.
function M.drop(name)
  local db = pgmig.connect(support.server():url())
  db:exec("DROP DATABASE IF EXISTS " .. name .. " WITH (FORCE)")
  db:close()
end

return M
