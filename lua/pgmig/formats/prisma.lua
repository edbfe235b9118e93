--- Prisma: a folder for each migration, `20240115103000_name/migration.sql`, in the order of their
-- names; `down.sql` beside it is the way back that Prisma's guides advise to keep. The engine sends
-- a file whole and begins no transaction.
local core = require "pgmig.core"
local errors = require "pgmig.errors"
local naming = require "pgmig.naming"

local WIDTH = 20 -- digits of the longest versions
local CHECKSUM = 64 -- hexadecimal digits

local ours = { postgresql = true, postgres = true }

local directions = { ["migration.sql"] = "up", ["down.sql"] = "down" }

local function parse(path)
  local folder, file = path:match "^([^/]+)/([^/]+)$"
  if not folder then return nil end
  local direction = directions[file]
  if not direction then return false end
  local version, name = folder:match "^(%d+)_?(.*)$"
  if not version then
    errors.raise("naming", "the name of a migration's folder must begin with a number", {
      hint = "rename it, and its row in _prisma_migrations: 0_" .. folder,
    })
  end
  return {
    version = version, name = name ~= "" and name or version, direction = direction,
    label = folder,
  }
end

--- The rule of a folder: one of another database is refused.
local function parser(_, read)
  local lock = read "migration_lock.toml"
  local provider = lock and ("\n" .. lock):match '\n%s*provider%s*=%s*"([^"]*)"'
  if provider and not ours[provider] then
    errors.raise("naming", ("migration_lock.toml says that these migrations are for %s")
      :format(provider), { hint = "name the folder of those for PostgreSQL" })
  end
  return parse
end

--- The checksum as versions of 2021 wrote it, without the zero in front of a byte.
local function unpadded(checksum)
  return (checksum:gsub("%x%x", function(byte) return (byte:gsub("^0", "")) end))
end

--- An id as Prisma makes it, a random UUID (RFC 9562, version 4).
local function new_id()
  local hex = core.digest(core.token(), "sha256")
  return ("%s-%s-4%s-a%s-%s"):format(hex:sub(1, 8), hex:sub(9, 12), hex:sub(13, 15),
    hex:sub(16, 18), hex:sub(19, 30))
end

--- Whether a text is what was applied; how lines end does not count.
local function same(text, row)
  local lf = text:gsub("\r\n", "\n")
  for _, variant in ipairs { text, lf, (text:gsub("\n", "\r\n")) } do
    local checksum = core.digest(variant, "sha256")
    if #row.checksum ~= CHECKSUM then checksum = unpadded(checksum) end
    if checksum == row.checksum then return true end
  end
  return false
end

return {
  name = "prisma",
  about = "a folder for each migration, NNN_name/migration.sql",
  naming = {
    pattern = "NNN_name/migration.sql",
    deep = true,
    parse = parse,
    parser = parser,
    digits = function(version) return naming.sortable_name(version, WIDTH) end,
    format = function(version, name, direction)
      return ("%s_%s/%s"):format(version, name, direction == "down" and "down.sql"
        or "migration.sql")
    end,
    numbers_repeat = true, -- a migration is the whole name of its folder
    lone_down = true,
  },
  timestamps = true,
  template = { up = "-- Write your migration SQL here\n" },
  vocabulary = { empty = true, transaction = "auto", unwrapped = true },
  signs = { paths = { "^migration_lock%.toml$" }, never = { "/down%.sql$" } },
  tracking = {
    table = "_prisma_migrations",
    columns = { "id", "checksum", "finished_at", "migration_name", "rolled_back_at" },
    query = [[
      SELECT migration_name AS label, finished_at AS applied_at, checksum,
        finished_at IS NULL AS dirty
      FROM %s AS t WHERE rolled_back_at IS NULL ORDER BY t.started_at]],
    same = same,
  },
  export = {
    create = [[
      CREATE TABLE IF NOT EXISTS %t (id VARCHAR(36) PRIMARY KEY NOT NULL,
        checksum VARCHAR(64) NOT NULL, finished_at pg_catalog.timestamptz,
        migration_name VARCHAR(255) NOT NULL, logs pg_catalog.text,
        rolled_back_at pg_catalog.timestamptz,
        started_at pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(),
        applied_steps_count INTEGER NOT NULL DEFAULT 0)]],
    key_of = function(m) return m.label end,
    values = function(m)
      return { id = new_id(), checksum = core.file_digest(m.path, "sha256") }
    end,
    claim = [[
      INSERT INTO %t (id, checksum, finished_at, migration_name, started_at, applied_steps_count)
      VALUES (%{id}, %{checksum}, %a, %k, %a, 1)]],
    correct = "UPDATE %t SET checksum = %{checksum} "
      .. "WHERE migration_name OPERATOR(pg_catalog.=) %k AND rolled_back_at IS NULL",
    release = "DELETE FROM %t "
      .. "WHERE migration_name OPERATOR(pg_catalog.=) %k AND rolled_back_at IS NULL",
  },
  unshared = "its rows tell of attempts that failed, too, which Prisma alone resolves",
}
