--- Times as people read them: of the database's, in UTC, or in the zone of whoever looks.
local M = {}

--- Days from 1970-01-01 to a day of the Gregorian calendar.
local function days(year, month, day)
  if month <= 2 then year, month = year - 1, month + 12 end
  return 365 * year + math.floor(year / 4) - math.floor(year / 100) + math.floor(year / 400)
    + math.floor((153 * (month - 3) + 2) / 5) + day - 719469
end

--- The seconds since 1970 of an ISO 8601 time with an offset; nil where it is none.
local function epoch(iso)
  local year, month, day, hour, minute, second, rest =
    iso:match "^(%d+)-(%d%d)-(%d%d)[T ](%d%d):(%d%d):(%d%d)(.*)$"
  if not year then return nil end
  local sign, hours, minutes = rest:match "([+-])(%d%d):?(%d*)$"
  if not sign and not rest:find "Z$" then return nil end
  local offset = sign and (tonumber(hours) * 60 + (tonumber(minutes) or 0)) * 60 or 0
  return days(tonumber(year), tonumber(month), tonumber(day)) * 86400 + hour * 3600 + minute * 60
    + second - (sign == "-" and -offset or offset)
end

--- `2024-05-01T12:00:00.123456+00:00` without the T and the fraction.
-- @param is_local whether it is wanted in the zone of TZ, or of this machine
function M.shown(iso, is_local)
  local seconds = is_local and epoch(iso)
  if not seconds then return (iso:gsub("T", " "):gsub("%.%d+", "")) end
  local text = os.date("%Y-%m-%d %H:%M:%S%z", math.floor(seconds))
  return (text:gsub("([+-]%d%d)(%d%d)$", "%1:%2"))
end

return M
