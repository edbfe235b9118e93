--- Evolve: `V1_3_1__name.sql`, and `R__name.sql` again and again, as Flyway names them. It sends a
-- file whole, in a transaction; `evolve-tx-off` in the first line turns that off.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local naming = require "pgmig.naming"

local function parse(path)
  local file = path:match "[^/]+$"
  if path:find "^%." or path:find "/%." then return false end -- hidden
  local repeated = file:match "^[rR]__(.+)%.[sS][qQ][lL]$"
  if repeated then return { name = repeated, repeatable = true, label = "R__" .. repeated } end
  local version, name = file:match "^[vV](%d[%d._]-)__(.+)%.[sS][qQ][lL]$"
  if not version then return nil end
  return {
    version = version:gsub("_", "."), name = name, label = version .. "_" .. name,
  }
end

--- Whether a file is the one that was applied: without its byte order mark and with every CRLF as
-- LF, or byte for byte, as versions before 1.8 had it.
local function same(text, row)
  local lf = text:gsub("^\239\187\191", ""):gsub("\r\n", "\n")
  local checksum = (row.checksum or ""):lower()
  return checksum == "" or checksum == core.digest(lf, "md5")
    or checksum == core.digest(text, "md5")
end

return {
  name = "evolve",
  about = "V1_3_1__name.sql and R__name.sql",
  naming = {
    pattern = "V1_3_1__name.sql, R__name.sql",
    deep = true,
    parse = parse,
    digits = naming.parts,
    next = naming.next_number,
    format = function(version, name) return ("V%s__%s.sql"):format(version, name) end,
  },
  template = "-- Write your migration SQL here\n",
  settings = function(path, read)
    local first = ((read(path, 4096) or ""):match "^[^\r\n]*"):lower()
    if first:find("evolve-repeat-always", 1, true) then
      errors.raise("parse", "evolve-repeat-always is not supported by pgmig", {
        file = path, line = 1, hint = "pgmig runs a repeatable migration when its file changes",
      })
    end
    return first:find("evolve-tx-off", 1, true) and { transaction = "off" } or nil
  end,
  vocabulary = {
    empty = true,
    transaction = "own",
    untransacted = "-- evolve-tx-off, in the file's first line",
  },
  signs = { first = { "^[^\r\n]*evolve%-tx%-off", "^[^\r\n]*evolve%-repeat%-always" },
    always = true, like = "flyway" },
  -- types: 0 a migration, 3 where it was told to start, 4 a repeatable one; the start itself is
  -- applied when anything is
  tracking = {
    table = "changelog",
    columns = { "id", "type", "version", "description", "name", "checksum", "success" },
    query = [[
      WITH log AS (SELECT * FROM %s)
      SELECT version, name AS path, installed_on::pg_catalog.timestamptz AS applied_at,
        NOT success AS dirty, type OPERATOR(pg_catalog.=) 3 AS baseline,
        type OPERATOR(pg_catalog.=) 4 AS repeatable, checksum
      FROM (SELECT DISTINCT ON (coalesce(version, name), type) * FROM log
        ORDER BY coalesce(version, name), type, id DESC) AS newest
      WHERE type OPERATOR(pg_catalog.=) ANY ('{0,4}'::pg_catalog.int2[])
        OR type OPERATOR(pg_catalog.=) 3 AND EXISTS (SELECT FROM log AS t
          WHERE t.type OPERATOR(pg_catalog.=) 0)
      ORDER BY id]],
    same = same,
  },
  unexported = "let Evolve record what is applied: its option SkipNextMigrations does that, and "
    .. "runs nothing",
  unshared = "its rows are numbered by Evolve, and those of repeatable migrations are its own",
}
