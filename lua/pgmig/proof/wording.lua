--- The settings of a session that decide how the server writes names and expressions.
local M = {}

local settings = {
  { "search_path", "" }, { "TimeZone", "UTC" }, { "DateStyle", "ISO, YMD" },
  { "IntervalStyle", "postgres" }, { "bytea_output", "hex" }, { "extra_float_digits", "1" },
  { "quote_all_identifiers", "off" }, { "xmlbinary", "base64" }, { "lc_monetary", "C" },
}

-- Of a connection that nobody else uses, also those that decide how long it takes.
local settings_of_own = {
  { "jit", "off" }, { "max_parallel_workers_per_gather", "0" },
}

local function set_query(db, list, is_local)
  local parts = {}
  for _, setting in ipairs(list) do
    parts[#parts + 1] = ("pg_catalog.set_config(%s, %s, %s)"):format(db:quote_literal(setting[1]),
      db:quote_literal(setting[2]), is_local)
  end
  return "SELECT pg_catalog.concat(" .. table.concat(parts, ", ") .. ")"
end

--- What the settings are now.
local function current(db, list)
  local parts = {}
  for i, setting in ipairs(list) do
    parts[i] = ("pg_catalog.current_setting('%s') AS s%d"):format(setting[1], i)
  end
  local row, values = db:query("SELECT " .. table.concat(parts, ", "))[1], {}
  for i, setting in ipairs(list) do values[i] = { setting[1], row["s" .. i] } end
  return values
end

--- Make them, on a connection that nobody else uses.
-- @param db the connection
function M.set(db)
  local list = {}
  for _, setting in ipairs(settings) do list[#list + 1] = setting end
  for _, setting in ipairs(settings_of_own) do list[#list + 1] = setting end
  if db:server_version() >= 120000 then
    list[#list + 1] = { "plan_cache_mode", "force_generic_plan" }
  end
  db:query(set_query(db, list, "false"))
end

--- Call a function with them, inside of a transaction of others, which keeps its own; without one,
-- in one of its own.
-- @param db the connection
-- @param fn the function
-- @return what it returns, one value
function M.within(db, fn)
  if db:transaction_status() == "idle" then
    return db:transaction(function() return M.within(db, fn) end)
  end
  local before = current(db, settings)
  db:query(set_query(db, settings, "true"))
  local ok, result = pcall(fn)
  if not ok then error(result, 0) end -- and the transaction has failed
  db:query(set_query(db, before, "true"))
  return result
end

return M
