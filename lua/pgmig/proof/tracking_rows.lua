--- The rows of the tracking table, and what of the history counts, as SQL: no times and no names of
-- people or machines, which differ from one database to the next.
local errors = require "pgmig.errors"
local layouts = require "pgmig.takeover.layout"
local ledgers = require "pgmig.state.ledger"
local migration = require "pgmig.files.migration"

local M = {}

local function refuse_half_done(read)
  local key = next(read.journal)
  if not key then return end
  errors.raise("plan", ("the migration %s is half finished, and its schema, too"):format(
    key:gsub("^repeatable:", "")), {
    hint = "finish it first: pgmig up, or pgmig down",
  })
end

-- Events behind which a migration does not count as applied.
local takes_back = { down = true, unapplied = true }

--- What the history says last of each migration that changed something.
-- @return a list of events, as of `ledger:history`
local function last_events(migrator)
  local last, list = {}, {}
  for _, event in ipairs(migrator.ledger:history(migrator.db)) do
    local passing = ledgers.is_failure(event.event) or event.event == "resolved"
    if not passing then last[ledgers.key(event)] = event end
  end
  for _, event in pairs(last) do list[#list + 1] = event end
  return list
end

local function by_version(list)
  table.sort(list, function(a, b)
    if a.id and b.id then return migration.before(a, b) end
    if a.id or b.id then return a.id ~= nil end
    return a.name < b.name
  end)
  return list
end

-- ---- the rows ------------------------------------------------------------------

local function tracked(migrator, rows, i)
  return ("INSERT INTO %s (version, name) VALUES (%s, %s);\n"):format(
    migrator.ledger.handle:qualified(), rows.id[i], migrator.db:quote_literal(rows.name[i]))
end

--- The row of another tool's table, as a run would write it (core/ledger/tables.h).
local function claimed(migrator, rows, i, files)
  local db, ledger, m = migrator.db, migrator.ledger, files.by_id[rows.id[i]]
  local entry = { key = rows.key[i] }
  if m then ledger.shared:complete(entry, m) end
  return layouts.expand(ledger.shared.layout.claim, {
    t = ledger.handle:qualified(), k = db:quote_literal(rows.key[i]), a = "pg_catalog.now()",
    d = entry.digest and db:quote_literal(entry.digest) or "NULL",
    n = db:quote_literal(m and m.name or rows.key[i]),
  }) .. ";\n"
end

--- A row of the history.
local function noted(migrator, past, event)
  local db, _, history = migrator.db, migrator.ledger.handle:tables()
  return ("INSERT INTO %s (event, version, name, checksum, started_at) VALUES "
    .. "('%s', %s, %s, %s, pg_catalog.now());\n"):format(history, event, past.id or "NULL",
    db:quote_literal(past.name), past.checksum and db:quote_literal(past.checksum) or "NULL")
end

--- What of the history a new database needs to know. It counts as a baseline: nothing was run.
local function add_history(migrator, lines, past)
  lines[#lines + 1] = noted(migrator, past, "baseline")
  if past.event == "gone" then lines[#lines + 1] = noted(migrator, past, "gone") end
end

-- ---- all of them ---------------------------------------------------------------

--- Read them.
-- @param migrator with a connection
-- @return SQL: a text
-- @raise kind "plan" where a migration is half done
function M.read(migrator)
  local ledger, files = migrator.ledger, nil
  local read = ledger:read(migrator.db, function()
    files = ledger.shared and migrator:files()
    if files then ledger.shared:learn(files) end
  end)
  refuse_half_done(read)
  if not ledger.handle:exists() then return "" end
  local lines, counting, rows = {}, {}, read.rows
  local row_of = ledger.shared and claimed or tracked
  for i = 1, rows.count do lines[i] = row_of(migrator, rows, i, files) end
  for _, past in ipairs(last_events(migrator)) do
    local is_there = not past.id or rows.there[past.id]
    if is_there and not takes_back[past.event] then counting[#counting + 1] = past end
  end
  for _, past in ipairs(by_version(counting)) do add_history(migrator, lines, past) end
  return lines[1] and "\n-- Applied migrations\n" .. table.concat(lines) or ""
end

return M
