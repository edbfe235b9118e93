--- HTML, built from elements: every text and attribute in it is escaped, because nothing else can
-- be put in.
local texts = require "pgmig.texts"

local M = {}

local markup = {} -- metatable of what is HTML already

local entities = {
  ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;",
}

local function escape(text) return (texts.visible(tostring(text)):gsub("[&<>\"']", entities)) end

local function new(text) return setmetatable({ text = text }, markup) end

function markup.__tostring(self) return self.text end

--- Add children: texts, elements, lists of them; false and nil are left out.
local function add(parts, child)
  if child == nil or child == false then return end
  if getmetatable(child) == markup then
    parts[#parts + 1] = child.text
  elseif type(child) == "table" then
    for _, one in ipairs(child) do add(parts, one) end
  else
    parts[#parts + 1] = escape(child)
  end
end

local function attributes_of(attributes)
  local names, parts = {}, {}
  for name in pairs(attributes) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local value = attributes[name]
    parts[#parts + 1] = value == true and " " .. name
      or (' %s="%s"'):format(name, escape(value))
  end
  return table.concat(parts)
end

--- Make an element.
-- @param name of it
-- @param attributes a table, {} for none; true: an attribute without a value
-- @param ... its children: texts, elements, lists of them, nil
function M.element(name, attributes, ...)
  local parts = { ("<%s%s>"):format(name, attributes_of(attributes)) }
  for i = 1, select("#", ...) do add(parts, (select(i, ...))) end
  parts[#parts + 1] = ("</%s>"):format(name)
  return new(table.concat(parts))
end

--- Make an element that has no end, such as meta.
function M.void(name, attributes) return new(("<%s%s>"):format(name, attributes_of(attributes))) end

--- The text of a style or script: it is the program's own.
function M.trusted(text) return new(text) end

return M
