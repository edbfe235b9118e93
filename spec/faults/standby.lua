--- A standby of the specs' server.
local faults = require "spec.faults.support"
local pgmig = require "pgmig"
local programs = require "spec.faults.programs"
local support = require "spec.support"

local M = {}

--- Wait until a server has seen what another one has written.
local function catch_up(primary_url, url)
  local primary, db = pgmig.connect(primary_url), pgmig.connect(url)
  local target = primary:query("SELECT pg_current_wal_lsn()::text AS lsn")[1].lsn
  support.wait(function()
    return db:query("SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS ok", target)[1].ok
  end, "the standby")
  primary:close()
  db:close()
end

--- Start it.
-- @return { database = the name of a new database, url = where it is on the standby, catch_up =
--   fn(), stop = fn() }
function M.start()
  local server, dir = support.server(), programs.folder()
  local pg_ctl = ("%s/pg_ctl --silent --wait --pgdata=%s/data"):format(programs.bin, dir)
  local function run(command)
    local code, _, err = support.run("cd / && " .. programs.as_user .. command .. " >/dev/null")
    assert(code == 0, err)
  end
  run(("%s/pg_basebackup -h %s -p %d -U postgres -D %s/data -R -c fast"):format(programs.bin,
    server.host, server.port, dir))
  run(("%s --log=%s/log --options='-k %s' start"):format(pg_ctl, dir, dir))
  local stop = programs.keep(":", pg_ctl .. " stop --mode=immediate")
  local database = faults.database()
  local url = "postgresql://postgres@/%s?host=" .. dir .. "&port=" .. server.port
  return {
    database = database, url = url:format(database), stop = stop,
    catch_up = function() catch_up(server:url(), url:format "postgres") end,
  }
end

return M
