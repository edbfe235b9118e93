--- The specs' server, stopped as by a crash and started again.
local faults = require "spec.faults.support"
local programs = require "spec.faults.programs"
local support = require "spec.support"

local M = {}

--- A command of pg_ctl's.
local function pg_ctl(words)
  local data = support.server().host .. "/data"
  return ("%s%s/pg_ctl --silent --wait --pgdata=%s --log=%s/restarts.log %s"):format(
    programs.as_user, programs.bin, data, data, words)
end

--- Run the program, and stop and start the server meanwhile.
-- @param seconds after which
-- @return as faults.run
function M.run(url, words, seconds)
  local log = support.tempdir() .. "/pg_ctl"
  local line = ("(sleep %.4f; %s && %s) >%s 2>&1; echo $? >>%s"):format(seconds,
    pg_ctl "stop --mode=immediate", pg_ctl "start", log, log)
  local pipe = assert(io.popen("cd / && " .. line))
  local code, out, err = faults.run(url, words)
  pipe:close() -- waits for the server
  assert(support.read(log):match "%f[%d]0%s*$", support.read(log))
  return code, out, err
end

return M
