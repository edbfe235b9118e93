--- One spelling for what the server writes in two ways. `status IN ('a', 'b')` on a varchar is
-- shown as `(ARRAY['a'::character varying, ...])::text[]`; read in again, as a dump is, the cast
-- goes to the elements: `ARRAY[('a'::character varying)::text, ...]`. The expression is the same.
local M = {}

local ARRAY = "(ARRAY["
local CAST = '^%)::([%a_"][%w_%.%" ]*%(?%d*,?%d*%)?[%a ]*)%[%]()' -- timestamp(3) without time zone

local closing = { ["("] = ")", ["["] = "]" }

--- The place after a quoted text that begins at one; nil without its end.
local function after_quoted(text, at)
  local quote = text:sub(at, at)
  local _, stop = text:find(quote, at + 1, true)
  return stop and stop + 1
end

--- The elements of an array's constructor.
-- @param at the place after its bracket
-- @return a list; nil where its end is not found
-- @return the place after the closing bracket
local function elements_of(text, at)
  local list, open, from = {}, {}, at
  while true do
    at = text:find("[%(%)%[%],'\"]", at)
    if not at then return nil end
    local c = text:sub(at, at)
    if c == "'" or c == '"' then -- a doubled one is two texts side by side
      at = (after_quoted(text, at) or #text + 1) - 1
    elseif closing[c] then
      open[#open + 1] = closing[c]
    elseif c == "," and not open[1] or c == "]" and not open[1] then
      list[#list + 1] = text:sub(from, at - 1)
      if c == "]" then return list, at + 1 end
      from = text:find("%S", at + 1)
    elseif c == open[#open] then
      open[#open] = nil
    end
    at = at + 1
  end
end

--- Give the cast of the array at a place to its elements.
-- @return the array's text; nil where there is no such cast
-- @return the place after it
local function distribute(text, at)
  local list, stop = elements_of(text, at + #ARRAY)
  if not list then return nil end
  local name, behind = text:match(CAST, stop)
  if not name then return nil end
  for i, element in ipairs(list) do list[i] = ("(%s)::%s"):format(element, name) end
  return "ARRAY[" .. table.concat(list, ", ") .. "]", behind
end

--- A text in which each expression has one spelling.
-- @param text as the server shows it: a definition, or a record with some
-- @return the text
function M.of(text)
  local at = text:find(ARRAY, 1, true)
  while at do
    local spelled, behind = distribute(text, at)
    if spelled then text = text:sub(1, at - 1) .. spelled .. text:sub(behind) end
    at = text:find(ARRAY, at + 1, true)
  end
  return text
end

return M
