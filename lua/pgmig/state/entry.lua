--- What the history says of an event.
local core = require "pgmig.core"
local version = require "pgmig.version"

local M = {}

--- Make an entry.
-- @param m the migration
-- @param run the run's token, `core.token()`
-- @param fields event, checksum, message, seconds = how long ago it began, applied_at; owner and
--   revision of the journal's row that it is about; of a failure also error = { sqlstate, detail,
--   file, line, column }; host and program of another run
-- @return { event, version, name, checksum, host, program, run, message, seconds, applied_at,
--   owner, revision, sqlstate, detail, file, line, column }
function M.new(m, run, fields)
  local err = fields.error or {}
  return {
    event = fields.event, version = m.id, name = m.name, checksum = fields.checksum,
    host = fields.host or core.hostname(), run = run,
    program = fields.program or "pgmig " .. version,
    message = fields.message, seconds = fields.seconds, applied_at = fields.applied_at,
    owner = fields.owner, revision = fields.revision,
    sqlstate = err.sqlstate, detail = err.detail, file = err.file, line = err.line,
    column = err.column,
  }
end

return M
