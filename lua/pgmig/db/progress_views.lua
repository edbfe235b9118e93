--- How far the server is with a long command, as it says itself: PostgreSQL manual, chapter
-- "Monitoring Database Activity", section "Progress Reporting".
local M = {}

-- What each view tells, and the first version of the server that has it. `counts` says which
-- columns count in which phase: done, of how many. For other phases the server knows no total.
local views = {
  { since = 90600, name = "vacuum", command = "'VACUUM'::pg_catalog.text", counts = {
    { "phase OPERATOR(pg_catalog.=) 'scanning heap'", "heap_blks_scanned", "heap_blks_total" },
    { "phase OPERATOR(pg_catalog.=) 'vacuuming heap'", "heap_blks_vacuumed", "heap_blks_total" },
  } },
  { since = 120000, name = "cluster", counts = {
    { "phase OPERATOR(pg_catalog.=) 'seq scanning heap'", "heap_blks_scanned", "heap_blks_total" },
  } },
  { since = 120000, name = "create_index", counts = {
    { "partitions_total OPERATOR(pg_catalog.>) 0", "partitions_done", "partitions_total" },
    { "phase OPERATOR(pg_catalog.~) '^waiting'", "lockers_done", "lockers_total" },
    { "phase OPERATOR(pg_catalog.~) 'loading tuples'", "tuples_done", "tuples_total" },
    { "phase OPERATOR(pg_catalog.!~) 'sorting'", "blocks_done", "blocks_total" },
  } },
  { since = 130000, name = "analyze", command = "'ANALYZE'::pg_catalog.text", counts = {
    { "phase OPERATOR(pg_catalog.~) 'sample rows'", "sample_blks_scanned", "sample_blks_total" },
    { "phase OPERATOR(pg_catalog.~) 'extended'", "ext_stats_computed", "ext_stats_total" },
  } },
  { since = 140000, name = "copy", phase = "pg_catalog.concat(tuples_processed, ' rows')",
    counts = { -- a total of 0: through the connection
      { "bytes_total OPERATOR(pg_catalog.>) 0", "bytes_processed", "bytes_total" },
    } },
}

local function percent(view)
  local cases = {}
  for i, count in ipairs(view.counts) do
    local phase, done, total = count[1], count[2], count[3]
    cases[i] = ("WHEN %s THEN (100.0 OPERATOR(pg_catalog.*) LEAST(%s, %s)) OPERATOR(pg_catalog./) "
      .. "CASE WHEN %s OPERATOR(pg_catalog.>) 0 THEN %s END"):format(phase, done, total, total,
      total)
  end
  return ("pg_catalog.round(CASE %s END, 1)::pg_catalog.float8"):format(table.concat(cases, " "))
end

--- A query for pid, command ("CREATE INDEX CONCURRENTLY", ...), phase and percent of what is under
-- way in any server process. Where the role may not see another's, they are NULL but for the pid.
-- @param version the server's, as a number; 0: a query that finds nothing, for little
-- @return its text
function M.query(version)
  local parts = {
    "SELECT NULL::pg_catalog.int4 AS pid, NULL::pg_catalog.text AS command, "
      .. "NULL::pg_catalog.text AS phase, NULL::pg_catalog.float8 AS percent",
  }
  for _, view in ipairs(views) do
    if version >= view.since then
      parts[#parts + 1] = ("SELECT pid, %s, %s, %s FROM pg_catalog.pg_stat_progress_%s"):format(
        view.command or "command", view.phase or "phase", percent(view), view.name)
    end
  end
  return table.concat(parts, "\n    UNION ALL ")
end

return M
