--- How long work on a large table may take: measured on the clone's server, with a table that is
-- made for it. No figure of pgmig's own.
local connection = require "pgmig.db.connection"
local core = require "pgmig.core"
local facts_of = require "pgmig.proof.facts"

local M = {}

local ROWS = 200000

local MAKE = [[
  CREATE TABLE pgmig_measure AS SELECT g AS id,
    (g OPERATOR(pg_catalog.%) 1000)::pg_catalog.int4 AS amount,
    pg_catalog.md5(g::pg_catalog.text) AS note
  FROM pg_catalog.generate_series(1, ]] .. ROWS .. [[) AS g;
  ANALYZE pgmig_measure]]

local SIZE = "SELECT pg_catalog.pg_table_size('pgmig_measure')::pg_catalog.int8 AS n"

-- What takes as long as a finding's work does, by the kind of work.
local work = {
  scanned = "SELECT pg_catalog.count(*) FROM pgmig_measure WHERE note IS NULL",
  rewritten = "ALTER TABLE pgmig_measure ALTER COLUMN amount TYPE pg_catalog.int8",
  indexed = "CREATE INDEX ON pgmig_measure (note)",
}
local order = { "scanned", "indexed", "rewritten" }

local function seconds_of(db, sql)
  local began = core.now()
  db:exec(sql)
  return math.max(core.now() - began, 1e-4)
end

--- Measure. Takes about a second.
-- @param url of a database of the clone's
-- @return bytes of table in a second, by kind of work
function M.measure(url)
  local db = connection.connect(url)
  local ok, result = pcall(function()
    db:exec(MAKE)
    local bytes = db:ask_row("1 n:int", SIZE).n
    local rates = {}
    for _, kind in ipairs(order) do rates[kind] = bytes / seconds_of(db, work[kind]) end
    return rates
  end)
  db:close()
  if ok then return result end
  error(result, 0)
end

local kinds = {
  rewrite = "rewritten", ["index-build-blocks"] = "indexed", ["scan-under-lock"] = "scanned",
}

--- A time for people: "about 4 min".
function M.duration_text(seconds)
  if seconds < 1 then return "less than a second" end
  if seconds < 100 then return ("about %.0f s"):format(seconds) end
  if seconds < 100 * 60 then return ("about %.0f min"):format(seconds / 60) end
  return ("about %.0f h"):format(seconds / 3600)
end

--- The work of a finding and the bytes of its table; nil where its size is not known, or small.
local function extent(finding, facts)
  local kind = kinds[finding.id] or finding.id == "held" and finding.how
  local bytes = facts:bytes(finding.work or finding.relation)
  if work[kind] and bytes and not finding.small then return kind, bytes end
end

--- Say for findings how long others wait in production.
-- @param found a list of findings
-- @param facts of production
-- @param rates fn() returns what `measure` does; called where something is to be said
function M.apply(found, facts, rates)
  local measured
  for _, finding in ipairs(found) do
    local kind, bytes = extent(finding, facts)
    if kind and finding.blocks then
      measured = measured or rates()
      finding.seconds = bytes / measured[kind]
      finding.forecast = ("%s, %s: %s blocked %s (at the speed of this machine)"):format(
        (finding.work or finding.relation):gsub("^public%.", ""), facts_of.size_text(bytes),
        finding.blocks, M.duration_text(finding.seconds))
    end
  end
end

return M
