--- pgmig: versioned migrations for PostgreSQL.
-- @module pgmig
local core = require "pgmig.c_module" -- before all others
local arguments = require "pgmig.arguments"
local connection = require "pgmig.db.connection"
local drivers = require "pgmig.drivers"
local errors = require "pgmig.errors"
local formats = require "pgmig.formats"
local migrator = require "pgmig.migrator"
local naming = require "pgmig.naming"
local needed = require "pgmig.needed"

local backfills = needed "backfill.call"

local M = {
  _VERSION = require "pgmig.version",
  drivers = drivers,
  naming = naming,
  formats = formats,
  database = needed "db.database",
}

--- The room of backfills is above that of connections.
function connection.backfill(...) return backfills.run(...) end

--- Connect to a database; see `pgmig.db.connection`.
M.connect = connection.connect

--- Databases themselves: `create` and `drop`; see `pgmig.db.database`.
-- @table database

--- Make a migrator; see `pgmig.migrator`.
M.migrator = migrator.new

--- Whether a value is a pgmig error, of the given kind if one is given.
M.is_error = errors.is

--- Parse a migration.
-- @param text_or_path a path if it ends in ".sql" and has no line break, otherwise the text itself
-- @param options { format = the file's format (pgmig.formats), default "pgmig",
--   placeholders, templates, environment, render = as of `pgmig.migrator` }
-- @return { marked, directives, warnings = { { line, column, message } }, irreversible = reason,
--   up = section, down = section }; a section has line, transaction, begin, empty, directives and
--   statements = { { sql, kind, line, column, offset, copy_data } }
-- @raise kinds "parse", "io"
function M.parse(text_or_path, options)
  local read = arguments.read("parse", options)
  local format = formats.load(read.format or "pgmig", read.placeholders, read)
  local is_path = text_or_path:find "%.sql$" and not text_or_path:find "\n"
  local script = is_path and format:read(text_or_path) or format:parse(text_or_path, "(text)")
  return script:describe()
end

--- SHA-256 of a migration's text in hexadecimal; line breaks count as LF.
M.checksum = core.checksum

return M
