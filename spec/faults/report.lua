--- Print the table of the cases in a file of pgmig's fault specs (summary.lua), and put it into
-- another file, between its markers.
--
--     lua5.4 spec/faults/report.lua CASES [FILE]
local BEGIN, END = "<!-- cases -->\n", "<!-- /cases -->\n"

local function read(path)
  local file = assert(io.open(path))
  local text = file:read "*a"
  file:close()
  return text
end

local function rows_of(text)
  local rows, order = {}, {}
  for name, lost, doubled, problems in text:gmatch "([^\t\n]+)\t(%d+)\t(%d+)\t(%d+)\n" do
    if not rows[name] then
      rows[name] = { cases = 0, lost = 0, doubled = 0, failed = 0 }
      order[#order + 1] = name
    end
    local row = rows[name]
    row.cases, row.lost, row.doubled = row.cases + 1, row.lost + lost, row.doubled + doubled
    row.failed = row.failed + (problems == "0" and 0 or 1)
  end
  return rows, order
end

local function table_of(rows, order)
  local lines = { "| fault | cases | lost | done twice | failed |", "|---|--:|--:|--:|--:|" }
  local all = { cases = 0, lost = 0, doubled = 0, failed = 0 }
  local function add(name, row)
    lines[#lines + 1] = ("| %s | %d | %d | %d | %d |"):format(name, row.cases, row.lost,
      row.doubled, row.failed)
  end
  for _, name in ipairs(order) do
    add(name, rows[name])
    for key, value in pairs(rows[name]) do all[key] = all[key] + value end
  end
  add("all", all)
  return table.concat(lines, "\n") .. "\n"
end

local function put(path, text)
  local whole = read(path)
  local _, first = whole:find(BEGIN, 1, true)
  local last = whole:find(END, 1, true)
  assert(first and last, path .. " has no markers")
  local file = assert(io.open(path, "w"))
  file:write(whole:sub(1, first), text, whole:sub(last))
  file:close()
end

local text = table_of(rows_of(read(arg[1])))
io.write(text)
if arg[2] then put(arg[2], text) end
