--- postgrator: `001.do.name.sql` and `001.undo.name.sql`, or without a name. The tool sends a file
-- whole and begins no transaction.
local core = require "pgmig.core"

local directions = { ["do"] = "up", undo = "down" }

--- Whether a file is the one that was applied; the tool can be told how lines end.
local function same(text, row)
  if not row.md5 then return true end
  local lf = text:gsub("\r\n?", "\n")
  for _, variant in ipairs { text, lf, (lf:gsub("\n", "\r\n")), (lf:gsub("\n", "\r")) } do
    if core.digest(variant, "md5") == row.md5 then return true end
  end
  return false
end

return {
  name = "postgrator",
  about = "pairs NNN.do.name.sql and NNN.undo.name.sql",
  naming = {
    pattern = "NNN.do.name.sql and NNN.undo.name.sql",
    parse = function(path)
      local version, action, rest = path:match "^(%d+)%.(%l+)(%..*)$"
      local direction = directions[action or ""]
      if not direction or not rest:find "%.sql$" then return nil end
      local name = rest:match "^%.([^.]+)%..*sql$" or version
      return {
        version = version, name = name, direction = direction,
        label = name ~= version and version .. "." .. name or version,
      }
    end,
    format = function(version, name, direction)
      return ("%s.%s.%s.sql"):format(version, direction == "down" and "undo" or "do", name)
    end,
    lone_down = true,
    names_differ = true,
    foreign = "^%d+%.%l+%..*[cm]?js$",
  },
  template = {
    up = "-- Write your migration SQL here\n",
    down = "-- Write your rollback SQL here\n",
  },
  vocabulary = { empty = true, transaction = "auto", unwrapped = true },
  signs = { names = { "^%d+%.do%..*sql$", "^%d+%.undo%..*sql$" } },
  -- a file of JavaScript has no checksum, which older versions wrote as a word
  tracking = {
    table = "schemaversion",
    columns = { "version", "md5" },
    query = [[
      SELECT t.version::pg_catalog.text AS version,
        CASE WHEN t.md5 OPERATOR(pg_catalog.~) '^[0-9a-f]' THEN t.md5 END AS md5,
        pg_catalog.jsonb_extract_path_text(pg_catalog.to_jsonb(t), 'run_at')
          ::pg_catalog.timestamptz AS applied_at
      FROM %s AS t WHERE t.version OPERATOR(pg_catalog.>) 0 ORDER BY t.version]],
    same = same,
  },
  shared = {
    columns = "md5 text,name text,run_at timestamptz,version int8",
    key = "version",
    digest = "md5",
    create = [[
      CREATE TABLE IF NOT EXISTS %t (version BIGINT PRIMARY KEY, name pg_catalog.text,
        md5 pg_catalog.text, run_at pg_catalog.timestamptz);
      INSERT INTO %t (version) SELECT 0 WHERE NOT EXISTS (SELECT FROM %t)]],
    correct = "UPDATE %t SET name = %n, md5 = %d WHERE version OPERATOR(pg_catalog.=) %k",
    list = [[
      SELECT version::pg_catalog.text AS key, run_at AS applied_at
      FROM %t WHERE version OPERATOR(pg_catalog.>) 0]],
    claim = "INSERT INTO %t (version, name, md5, run_at) VALUES (%k, %n, %d, %a)",
    release = "DELETE FROM %t WHERE version OPERATOR(pg_catalog.=) %k",
    there = "SELECT FROM %t WHERE version OPERATOR(pg_catalog.=) %k",
  },
}
