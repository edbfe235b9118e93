--- What `trace` saw, for people and for programs.
local effects = require "pgmig.proof.effects"
local texts = require "pgmig.texts"

local M = {}

local function sorted(set)
  local names = {}
  for name in pairs(set) do names[#names + 1] = name end
  table.sort(names)
  return names
end

--- Whom the lock of a statement blocks until the end of its transaction.
local function lock_line(name, mode)
  local whom = effects.blocked(mode)
  if not whom then return ("   reads and writes of %s go on (%s)"):format(name, mode) end
  return ("   %s of %s wait until COMMIT (%s)"):format(whom, name, mode)
end

--- The lines about one statement.
local function lines_of(effect)
  local lines = { ("%s:%d: %s"):format(texts.line(effect.file), effect.line, effect.kind) }
  for _, name in ipairs(sorted(effect.locks)) do
    lines[#lines + 1] = lock_line(name, effect.locks[name])
  end
  return lines
end

--- Write it for people.
-- @param output pgmig.cli.output
-- @param traced of `migrator:trace`
function M.write(output, traced)
  for _, sentence in ipairs(traced.notes) do output:note("pgmig: " .. sentence) end
  for _, effect in ipairs(traced.effects) do output:lines(lines_of(effect)) end
end

local function as(kind, value) return setmetatable(value, { __jsontype = kind }) end

-- Tables by name; the others of a record are lists.
local by_name = {
  locks = true, held = true, relations = true, reasons = true, scans = true, written = true,
  settings = true,
}

--- A record for programs.
local function plain(effect)
  local fields = {}
  for key, value in pairs(effect) do
    if type(value) == "table" then value = as(by_name[key] and "object" or "array", value) end
    fields[key] = value
  end
  fields.error = effect.error and tostring(effect.error)
  return as("object", fields)
end

--- The object for programs.
function M.object(traced)
  local list = {}
  for i, effect in ipairs(traced.effects) do list[i] = plain(effect) end
  return {
    effects = as("array", list), notes = as("array", traced.notes),
    server_version = traced.server_version,
  }
end

return M
