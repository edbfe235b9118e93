--- What a server logged, read from its CSV log (log_destination = csvlog).
--
-- Texts of several lines are exact in it. The end of a session must be logged too
-- (log_disconnections = on).
local support = require "spec.support"

local M = {}

local FIELDS = { [3] = "database", [14] = "message", [15] = "detail", [19] = "context",
  [20] = "query" }

--- Read one field: its text and the place behind it, or nothing when it is cut off.
local function read_field(text, at)
  if text:sub(at, at) ~= '"' then
    local stop = text:find("[,\n]", at)
    return stop and text:sub(at, stop - 1), stop
  end
  local stop = at
  repeat
    stop = text:find('"', stop + 1, true)
    local doubled = stop and text:sub(stop + 1, stop + 1) == '"'
    if doubled then
      stop = stop + 1
    end
  until not doubled
  if not stop or stop == #text then
    return nil
  end
  return (text:sub(at + 1, stop - 1):gsub('""', '"')), stop + 1
end

--- All complete records of a CSV text.
local function read_records(text)
  local records, record, count, at = {}, {}, 0, 1
  while at <= #text do
    local field, stop = read_field(text, at)
    if not field then
      break
    end
    count = count + 1
    if FIELDS[count] then
      record[FIELDS[count]] = field
    end
    if text:sub(stop, stop) == "\n" then
      records[#records + 1] = record
      record, count = {}, 0
    end
    at = stop + 1
  end
  return records
end

local function read_from(path, from)
  local file = assert(io.open(path, "rb"))
  file:seek("set", from)
  local text = file:read("*a")
  file:close()
  return text
end

--- The size of the log now, for `session`.
function M.size(path)
  local file = assert(io.open(path, "rb"))
  local size = file:seek("end")
  file:close()
  return size
end

--- The records of a database's only session, once it has ended.
-- @param path the log
-- @param from its size before the session
-- @param database the name of the database
-- @return a list of { database, message, detail, context, query }
function M.session(path, from, database)
  return (support.wait(function()
    local mine = {}
    for _, record in ipairs(read_records(read_from(path, from))) do
      if record.database == database then
        mine[#mine + 1] = record
        if record.message:find("^disconnection:") then
          return mine
        end
      end
    end
  end, "the session's end in " .. path))
end

return M
