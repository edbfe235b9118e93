--- What `trace` saw: for people, on a terminal or in Markdown, and for programs.
local sentences = require "pgmig.proof.sentences"
local texts = require "pgmig.texts"

local M = {}

local WIDTH = 70 -- characters of a statement that are shown

--- A statement in one line.
local function in_line(sql)
  local line = texts.line((sql:gsub("%s+", " ")))
  if #line <= WIDTH then return line end
  return line:sub(1, WIDTH):gsub("[\194-\244][\128-\191]*$", "") .. "..."
end

--- The sentences about each statement: { effect, waits, work, nobody }.
local function told(traced)
  local list, is_table = {}, sentences.tables(traced.effects)
  for i, effect in ipairs(traced.effects) do
    list[i] = {
      effect = effect, waits = sentences.waits(effect), work = sentences.work(effect, is_table),
      nobody = sentences.nobody(effect, is_table),
    }
  end
  return list
end

local function count(n, noun) return ("%d %s%s"):format(n, noun, n == 1 and "" or "s") end

--- What was traced, and where.
local function summary(traced)
  if not traced.effects[1] then return "nothing is pending" end
  return ("%s traced on PostgreSQL %d, on a clone; the database was not changed"):format(
    count(#traced.effects, "statement"), math.floor(traced.server_version / 10000))
end

-- ---- terminal --------------------------------------------------------------------

local function head_of(effect)
  local how = effect.transaction and "one transaction" or "no transaction"
  local limit = effect.settings.lock_timeout
  limit = limit == "0" and "no lock_timeout" or "lock_timeout " .. (limit or "?")
  return ("%s (%s, %s)"):format(effect.file, how, limit)
end

local function lines_of(output, item)
  local effect = item.effect
  local lines = { ("  %d: %s"):format(effect.line, in_line(effect.sql)) }
  local function add(text, color)
    lines[#lines + 1] = "     " .. (color and output:paint(1, color, text) or text)
  end
  for _, sentence in ipairs(item.waits) do
    local blocks = sentence:find "^reads" or sentence:find "^writes"
    add(sentence, blocks and "yellow")
  end
  for _, sentence in ipairs(item.work) do add(sentence) end
  if effect.error then
    add("fails", "red")
  elseif not item.waits[1] then
    add(item.nobody, "green")
  end
  return lines
end

--- Write it for people.
-- @param output pgmig.cli.output
-- @param traced of `migrator:trace`
function M.write(output, traced)
  local label
  for _, sentence in ipairs(traced.notes) do output:note("pgmig: " .. sentence) end
  for _, item in ipairs(told(traced)) do
    if item.effect.migration ~= label then
      label = item.effect.migration
      output:line(output:paint(1, "bold", head_of(item.effect)))
    end
    output:lines(lines_of(output, item))
  end
  output:line(summary(traced))
end

-- ---- Markdown ----------------------------------------------------------------------

--- A text in a cell: nothing in it is markup.
local function cell(text)
  return (texts.line(text):gsub("[\\`*_{}%[%]<>|#]", "\\%0"))
end

local function cells(list)
  for i, sentence in ipairs(list) do list[i] = cell(sentence) end
  return table.concat(list, "<br>")
end

local function row(item)
  local effect = item.effect
  if effect.error then item.work[#item.work + 1] = "fails: " .. effect.error.message end
  if not item.waits[1] then item.waits[1] = item.nobody end
  return ("| %d | %s | %s | %s |"):format(effect.line, cell(in_line(effect.sql)),
    cells(item.waits), cells(item.work))
end

--- The same as Markdown, for a merge request.
-- @return the text
function M.markdown(traced)
  local lines, label = { "## pgmig trace", "", cell(summary(traced)) }, nil
  for _, sentence in ipairs(traced.notes) do
    lines[#lines + 1] = ""
    lines[#lines + 1] = "> " .. cell(sentence)
  end
  for _, item in ipairs(told(traced)) do
    if item.effect.migration ~= label then
      label = item.effect.migration
      for _, line in ipairs { "", "### " .. cell(head_of(item.effect)), "",
        "| line | statement | who waits | what it does |", "|---|---|---|---|" } do
        lines[#lines + 1] = line
      end
    end
    lines[#lines + 1] = row(item)
  end
  return table.concat(lines, "\n") .. "\n"
end

-- ---- programs ----------------------------------------------------------------------

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
    if type(value) == "table" and key ~= "error" then
      value = as(by_name[key] and "object" or "array", value)
    end
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
