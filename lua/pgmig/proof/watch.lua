--- check --watch: the newest file is checked again whenever it is saved, on a copy of a database
-- that has all before it.
local checks = require "pgmig.proof.check"
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local loop = require "pgmig.db.loop"

local M = {}

local PAUSE = 0.1 -- seconds between two looks

--- The versioned files, and what tells whether one was saved.
-- @return the list; nil while a file is being written, or has a wrong name
local function files_of(migrator)
  local ok, set = pcall(migrator.files, migrator)
  if not ok then return nil end
  local list = {}
  for i, m in ipairs(set.list) do
    local read, sum = pcall(core.file_checksum, m.path)
    list[i] = { id = m.id, path = m.path, sum = read and sum or "" }
  end
  return list
end

--- What all files but the newest are.
local function base_of(list)
  local parts = {}
  for i = 1, #list - 1 do parts[i] = list[i].path .. " " .. list[i].sum end
  return table.concat(parts, "\n")
end

--- Check the newest file, in a session that has the files before it.
local function check_newest(session, list)
  local before = list[#list - 1]
  local ok, result = pcall(session.check, session, before and before.id or "none")
  if ok then return result end
  if errors.is(result, "interrupted") then error(result, 0) end
  return checks.refused(result)
end

--- Check the newest file now, and again when it has changed, until a signal comes.
-- @param migrator, options as of `pgmig.proof.check`
-- @param tell fn(result) is called behind each check
-- @param goes_on fn() whether to look again; nil: always
function M.run(migrator, options, tell, goes_on)
  local session, base, sum
  local ok, err = pcall(function()
    repeat
      local list = files_of(migrator)
      local newest = list and list[#list]
      if newest and (newest.path .. newest.sum ~= sum or base_of(list) ~= base) then
        if session and base_of(list) ~= base then
          session:close()
          session = nil
        end
        session = session or checks.session(migrator, options)
        base, sum = base_of(list), newest.path .. newest.sum
        tell(check_newest(session, list))
      end
      loop.pause(PAUSE)
    until goes_on and not goes_on()
  end)
  if session then session:close() end
  if not ok then error(err, 0) end
end

return M
