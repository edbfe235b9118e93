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
  unshared = "its rows tell of attempts that failed, too, which Prisma alone resolves",
}
