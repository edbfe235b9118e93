--- The text that the server makes of a record, `(a,,"b c")`, and of an array, `{1,2}`.
local M = {}

local function unquoted(text) return (text:gsub('""', '"'):gsub("\\(.)", "%1")) end

--- The end of a quoted field that begins at a place.
local function quote_end(text, at)
  repeat
    at = text:find('["\\]', at + 1)
    local is_pair = text:sub(at, at) == "\\" or text:sub(at + 1, at + 1) == '"'
    if is_pair then at = at + 1 end
  until not is_pair
  return at
end

--- The fields of a record, `n` of them; nil for NULL.
-- @param text the record
-- @return a list with n
function M.fields(text)
  local list, count, at = {}, 0, 2
  repeat
    count = count + 1
    local stop
    if text:sub(at, at) == '"' then
      stop = quote_end(text, at) + 1
      list[count] = unquoted(text:sub(at + 1, stop - 2))
    else
      stop = text:find("[,)]", at)
      if stop > at then list[count] = text:sub(at, stop - 1) end
    end
    at = stop + 1
  until at > #text
  list.n = count
  return list
end

--- The elements of an array of numbers or plain words.
function M.array(text)
  local list = {}
  for element in text:gmatch '[^,{}]+' do list[#list + 1] = element:match '^"(.*)"$' or element end
  return list
end

--- A row by column.
-- @param columns { key, values }: names
-- @param key the record of its key, row of its values
function M.decode(columns, key, row)
  local result = {}
  for part, names in pairs { [key] = columns.key, [row] = columns.values } do
    local fields = M.fields(part)
    for i, name in ipairs(names) do result[name] = fields[i] end
  end
  return result
end

return M
