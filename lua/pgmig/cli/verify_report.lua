--- What `verify` found, for people and for programs.
local M = {}

local words = {
  reversible = "reversible", irreversible = "irreversible, as declared",
  none = "cannot be rolled back", reordered = "columns come back in another order",
  broken = "BROKEN", leftover = "LEAVES SOMETHING BEHIND", nothing = "DOES NOTHING",
  failed = "CANNOT BE APPLIED", unreached = "not reached",
  repeatable = "repeatable: has no way back",
}

local ORDER = {
  "reversible", "irreversible", "none", "repeatable", "reordered", "nothing", "leftover", "broken",
  "failed", "unreached",
}
local counted = {
  reversible = "reversible", irreversible = "irreversible", none = "without a way back",
  repeatable = "repeatable", reordered = "with another order of columns", nothing = "do nothing",
  leftover = "leave something behind", broken = "broken", failed = "failed",
  unreached = "not reached",
}

--- What failed, and on which way.
local function heading(result)
  if result.error and result.again then return "applied again after its DOWN, it fails:" end
  if result.again then return "applied again after its DOWN, it does something else:" end
  if result.error then
    return result.result == "failed" and "its UP fails:" or "its DOWN fails:"
  end
  return "after its DOWN:"
end

local function add_error(lines, err)
  for line in tostring(err or ""):gmatch "[^\n]+" do lines[#lines + 1] = "      " .. line end
end

--- The lines about one migration.
local function lines_of(result)
  local lines = { ("%s  %s"):format(result.label, words[result.result]) }
  if result.reason then lines[1] = lines[1] .. ": " .. result.reason end
  if result.verify_error then lines[2] = "   its verify script fails:" end
  add_error(lines, result.verify_error)
  if result.error or result.lines then lines[#lines + 1] = "   " .. heading(result) end
  for _, line in ipairs(result.lines or {}) do lines[#lines + 1] = "      " .. line end
  add_error(lines, result.error)
  return lines
end

local function summary(verified)
  local count, parts = {}, {}
  for _, result in ipairs(verified.results) do
    count[result.result] = (count[result.result] or 0) + 1
  end
  for _, word in ipairs(ORDER) do
    if count[word] then parts[#parts + 1] = ("%d %s"):format(count[word], counted[word]) end
  end
  if not parts[1] then return "nothing to verify" end
  return ("%d verified: %s"):format(#verified.results, table.concat(parts, ", "))
end

local function about_chain(chain)
  if chain.complete then return "all of them were rolled back and applied again" end
  if not chain.because_of then
    return "all of them were rolled back and applied again, but the schema is not what it was"
  end
  return ("not all of them could be rolled back in one go, because of %s"):format(chain.because_of)
end

--- Write it for people.
-- @param output pgmig.cli.output
-- @param verified of `migrator:verify`
function M.write(output, verified)
  output:clear()
  for _, sentence in ipairs(verified.notes) do output:note("pgmig: " .. sentence) end
  for _, result in ipairs(verified.results) do output:lines(lines_of(result)) end
  output:line("pgmig: " .. summary(verified))
  if verified.results[1] then output:line("pgmig: " .. about_chain(verified.chain)) end
end

local function as(kind, value) return setmetatable(value, { __jsontype = kind }) end

local function plain_difference(item)
  return as("object", {
    object = as("object", { kind = item.object.kind, name = item.object.name }),
    part = item.part, field = item.field, old = item.old, new = item.new, change = item.change,
    columns = item.columns and as("array", item.columns),
  })
end

local function plain(result)
  local differences = {}
  for i, item in ipairs(result.differences or {}) do differences[i] = plain_difference(item) end
  return as("object", {
    version = result.version, label = result.label, result = result.result,
    reason = result.reason, again = result.again, error = result.error and tostring(result.error),
    verify_error = result.verify_error and tostring(result.verify_error),
    differences = as("array", differences),
  })
end

--- The object for programs.
function M.object(verified)
  local results = {}
  for i, result in ipairs(verified.results) do results[i] = plain(result) end
  return {
    ok = verified.ok, results = as("array", results), chain = as("object", verified.chain),
    notes = as("array", verified.notes), server_version = verified.server_version,
  }
end

return M
