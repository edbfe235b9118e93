--- `-- pgmig: lint-ignore=ID reason`: findings that a file's author has accepted. Above all
-- statements of a file or a section it counts for all of them, between two for the next one.
local M = {}

local LINE = "^%s*%-%-%s*[pP][gG][mM][iI][gG]:%s*lint%-ignore=(%S+)%s*(.-)%s*$"

--- The lines of a file that accept something.
-- @return a list of { ids, reason, line }
function M.read(path)
  local list, number = {}, 0
  local file = io.open(path, "rb")
  if not file then return list end
  for text in file:lines() do
    number = number + 1
    local ids, reason = text:match(LINE)
    if ids then
      local names = {}
      for id in ids:gmatch "[^,]+" do names[#names + 1] = id end
      list[#list + 1] = { ids = names, reason = reason, line = number }
    end
  end
  file:close()
  return list
end

--- For which statements a line counts: from one line of the file to another.
local function reach(line, lines)
  local before, next_line = false, nil
  for _, at in ipairs(lines) do
    if at <= line then before = true end
    if at > line and (not next_line or at < next_line) then next_line = at end
  end
  if not before then return 0, math.huge end
  return next_line or math.huge, next_line or math.huge
end

local function report(found, acceptance, records, severity, message, why)
  found[#found + 1] = {
    id = "lint-ignore", severity = severity, message = message, why = why,
    effect = { migration = records.label, file = records.file }, line = acceptance.line, column = 1,
  }
end

--- Whether a finding is one that a line accepts.
local function takes(id, finding, from, to)
  local line = finding.line or finding.effect.line or 1
  return finding.id == id and line >= from and line <= to
end

--- Accept what the lines of a file accept.
local function settle(found, file, records, rules)
  for _, acceptance in ipairs(M.read(file)) do
    local from, to = reach(acceptance.line, records.lines)
    for _, id in ipairs(acceptance.ids) do
      local used = false
      for _, finding in ipairs(found) do
        if finding.effect.file == file and takes(id, finding, from, to) then
          finding.accepted, used = acceptance.reason, true
        end
      end
      if not rules:knows(id) then
        report(found, acceptance, records, "warning", ("lint-ignore=%s: there is no such finding")
          :format(id), "it accepts nothing; see docs/check.md for the names")
      elseif not used then
        report(found, acceptance, records, "warning", ("lint-ignore=%s: nothing here needs it")
          :format(id), "it would hide the next one that comes; delete it")
      elseif acceptance.reason == "" then
        report(found, acceptance, records, "note", ("lint-ignore=%s has no reason"):format(id),
          "whoever reads it next should know why: -- pgmig: lint-ignore=ID because ...")
      end
    end
  end
end

--- Accept what files accept; what is wrong with their lines is added to the findings.
-- @param found a list of findings
-- @param files { [path] = { label = of the migration, file = path, lines = of its statements } }
-- @param rules pgmig.proof.rules
function M.apply(found, files, rules)
  local paths = {}
  for path in pairs(files) do paths[#paths + 1] = path end
  table.sort(paths)
  for _, path in ipairs(paths) do settle(found, path, files[path], rules) end
end

return M
