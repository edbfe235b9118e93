--- What is known of a backfill, for people and programs.
local arrays = require "pgmig.backfill.arrays"

local M = {}

--- Rows a second: lately, where this process runs it, else since it began.
local function rate_of(row, running)
  if running and running.rate then return running.rate end
  if row.started_at and not row.finished_at and (row.age or 0) > 0 then
    return row.rows_seen / row.age
  end
end

local function skipped_of(row)
  local skipped = {}
  for i, key in ipairs(row.skipped_keys) do
    skipped[i] = { key = arrays.list(key), error = row.skipped_errors[i] }
  end
  return skipped
end

--- Whether somebody works on it is no state of its own: an owner may vanish.
local function state_of(row)
  if row.state ~= "ready" then return row.state end
  return row.free and "pending" or "running"
end

local copied = {
  "migration", "step", "label", "waiting", "paused_by", "error", "failed_key", "host",
  "created_at", "started_at", "updated_at", "finished_at",
}

--- Describe a backfill.
-- @param row of pgmig.backfill.store
-- @param running the job of pgmig.backfill.engine, where this process runs it; nil
-- @return { migration, step, label, table, key, set, where, code = whether a function does it,
--   state ("pending", "running", "paused", "failed", "cancelled", "done"), rows, seen, estimated,
--   fraction, rate = rows a second, eta = seconds, batch = rows of the next one, batch_seconds = of
--   the last one, waiting, paused_by, error, failed_key, skipped = { { key, error } }, host,
--   created_at, started_at, updated_at, finished_at }
function M.of(row, running)
  local rate, total = rate_of(row, running), math.max(row.rows_estimated or 0, row.rows_seen)
  local fraction = total > 0 and row.rows_seen / total or 0
  local described = {
    table = row.target, key = row.key_columns, set = row.set_sql, where = row.where_sql,
    code = row.set_sql == nil, state = state_of(row), rows = row.rows_done, seen = row.rows_seen,
    estimated = row.rows_estimated, fraction = row.state == "done" and 1 or fraction, rate = rate,
    eta = row.state == "ready" and rate and rate > 0 and (total - row.rows_seen) / rate or nil,
    batch = running and running.pace:size() or row.batch_size,
    batch_seconds = running and running.took, skipped = skipped_of(row),
  }
  for _, key in ipairs(copied) do described[key] = row[key] end
  return described
end

return M
