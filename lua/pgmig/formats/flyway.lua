--- Flyway: `V1.2__name.sql`, `U1.2__name.sql` to undo it, `R__name.sql` again and again,
-- `B3__name.sql` for new databases. An empty prefix is understood, too. What cannot run in a
-- transaction makes a file run without one.
local naming = require "pgmig.naming"

local directions = { V = "up", U = "down", [""] = "up" }

local function parse_repeatable(path)
  local name = path:match "^R__(.+)%.sql$"
  return name and { name = name, repeatable = true, label = "R__" .. name }
end

--- A file that undoes another one: to refinery it would be one more with that number.
local function undone_in(paths)
  local versions = {}
  for _, path in ipairs(paths) do
    local version = path:match "^V(%d[%d._]-)__" or path:match "/V(%d[%d._]-)__[^/]*$"
    if version then versions[version] = path end
  end
  for _, path in ipairs(paths) do
    local version = path:match "^U(%d[%d._]-)__" or path:match "/U(%d[%d._]-)__[^/]*$"
    if versions[version or ""] then return ("%s undoes %s"):format(path, versions[version]) end
  end
end

local CREATE = [[
  CREATE TABLE IF NOT EXISTS %%t (installed_rank INT NOT NULL, version VARCHAR(50),
    description VARCHAR(200) NOT NULL, type VARCHAR(20) NOT NULL, script VARCHAR(1000) NOT NULL,
    checksum INTEGER, installed_by VARCHAR(100) NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT pg_catalog.now(), execution_time INTEGER NOT NULL,
    success BOOLEAN NOT NULL, CONSTRAINT %s PRIMARY KEY (installed_rank));
  CREATE INDEX IF NOT EXISTS %s ON %%t (success)]]

return {
  name = "flyway",
  about = "V1.2__name.sql, U1.2__name.sql, R__name.sql and B3__name.sql",
  naming = {
    pattern = "V1.2__name.sql, U1.2__name.sql, R__name.sql",
    deep = true,
    parse = function(path)
      local file = path:match "[^/]+$"
      local repeatable = parse_repeatable(file)
      if repeatable then return repeatable end
      local prefix, version, name = file:match "^([VUB]?)(%d[%d._]-)__(.*)%.sql$"
      if not prefix then prefix, version, name = file:match "^([VUB])(%d[%d._]*)()%.sql$" end
      if not prefix then return nil end
      local described = type(name) == "string" and name ~= ""
      return {
        version = version:gsub("_", "."), name = described and name or version,
        direction = directions[prefix], label = described and version .. "_" .. name or version,
        baseline = prefix == "B",
      }
    end,
    digits = naming.parts,
    next = naming.next_number,
    format = function(version, name, direction)
      return ("%s%s__%s.sql"):format(direction == "down" and "U" or "V", version, name)
    end,
    baseline = naming.default.baseline,
    lone_down = true,
    names_differ = true,
    foreign = "^[^/]*[VR][%d._]*__.*%.java$",
  },
  template = { up = "-- Write your migration SQL here\n" },
  settings = function(path, read)
    local text = read(path .. ".conf")
    if not text then return nil end
    local function denies(key)
      return ("\n" .. text):match("\n%s*" .. key .. "%s*=%s*(%a+)") == "false"
    end
    local said = {}
    if denies "executeInTransaction" then said.transaction = "off" end
    if denies "placeholderReplacement" then said.placeholders = false end
    return said
  end,
  vocabulary = {
    empty = true,
    transaction = "auto",
    placeholder = "${",
    placeholder_end = "}",
  },
  signs = {
    names = {
      "^R__.+%.sql$", "^B%d[%d._]*__.+%.sql$", "^V%d+[._]%d[%d._]*__.+%.sql$",
      "^[VUR][%d._]*__.*%.sql%.conf$", "^[VR][%d._]*__.*%.java$",
      "^before%u%l+.*%.sql$", "^after%u%l+.*%.sql$",
    },
    folder = undone_in,
  },
  tracking = {
    table = "flyway_schema_history",
    columns = { "installed_rank", "version", "description", "type", "script", "success" },
    query = [[
      SELECT version, script AS path, installed_on::pg_catalog.timestamptz AS applied_at,
        NOT success AS dirty, type OPERATOR(pg_catalog.~~) '%%BASELINE' AS baseline,
        version IS NULL AS repeatable,
        checksum::pg_catalog.text AS checksum
      FROM (SELECT DISTINCT ON (coalesce(version, script)) * FROM %s
        WHERE type OPERATOR(pg_catalog.<>) 'SCHEMA'
        ORDER BY coalesce(version, script), installed_rank DESC) AS newest
      WHERE type OPERATOR(pg_catalog.<>) 'DELETE' AND type OPERATOR(pg_catalog.!~~) 'UNDO%%'
      ORDER BY installed_rank]],
    checksum = "crc32",
  },
  unshared = "its rows are numbered by Flyway, and those of repeatable migrations are its own",
  export = {
    create = function(_, named)
      return CREATE:format(named "_pk", named "_s_idx")
    end,
    repeatable = true,
    values = function(_, path)
      return {
        description = (path:match "__(.*)%.sql$" or ""):gsub("_", " "), script = path,
        type = path:find "^B[^/]*$" and "SQL_BASELINE" or "SQL",
      }
    end,
    claim = [[
      INSERT INTO %t (installed_rank, version, description, type, script, checksum, installed_by,
        installed_on, execution_time, success)
      SELECT COALESCE(pg_catalog.max(t.installed_rank), 0) OPERATOR(pg_catalog.+) 1,
        %k::pg_catalog.varchar, %{description}::pg_catalog.varchar, %{type}::pg_catalog.varchar,
        %{script}::pg_catalog.varchar, %d::pg_catalog.int4, current_user, %a, 0, true
      FROM %t AS t]],
    correct = "UPDATE %t SET checksum = %d WHERE version OPERATOR(pg_catalog.=) %k",
    release = "DELETE FROM %t WHERE version OPERATOR(pg_catalog.=) %k",
  },
}
