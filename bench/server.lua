--- The server of a run: a scratch one, but as durable as PostgreSQL is by default.
local pgmig = require "pgmig"
local scratch = require "pgmig.scratch"

local M = {}

M.settings = {
  fsync = "on",
  full_page_writes = "on",
  synchronous_commit = "on",
  autovacuum = "off", -- it would work on what earlier runs have left
}

local count = 0
local server, admin, checkpoints

--- Start it.
-- @param quick do without the checkpoint before each run, which costs more than a small run does
-- @return { host = folder of its socket, port = }
function M.start(quick)
  checkpoints = not quick
  server = scratch.start { settings = M.settings }
  admin = pgmig.connect(server:url())
  return { host = server.host, port = server.port }
end

function M.stop()
  admin:close()
  server:stop()
end

function M.version()
  return admin:query("SHOW server_version")[1].server_version
end

--- A new empty database, with nothing left to be written. Its name was never there before: one
-- that was dropped makes the next run slower. All of them go with the server.
function M.new_database()
  count = count + 1
  local name = "bench_" .. count
  admin:exec("CREATE DATABASE " .. name)
  if checkpoints then admin:exec "CHECKPOINT" end
  return name
end

--- The number that a query gives in a database.
-- @raise what the server says
function M.count(database, sql)
  local db = pgmig.connect(server:url(database))
  local ok, rows = pcall(db.query, db, sql)
  db:close()
  if not ok then error(rows, 0) end
  return rows[1].count
end

--- The process numbers of a database's sessions.
function M.backends(database)
  local pids = {}
  local rows = admin:query("SELECT pid FROM pg_stat_activity WHERE datname = $1", database)
  for i, row in ipairs(rows) do pids[i] = row.pid end
  return pids
end

return M
