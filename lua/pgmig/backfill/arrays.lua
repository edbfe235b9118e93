--- Arrays of texts, as PostgreSQL writes and reads them (manual, "Array Input and Output Syntax").
local M = {}

--- A list as an array's text.
function M.text(list)
  local parts = {}
  for i, value in ipairs(list) do parts[i] = '"' .. value:gsub('["\\]', "\\%0") .. '"' end
  return "{" .. table.concat(parts, ",") .. "}"
end

--- The list of an array's text; nil for nil. It has no NULLs: nobody has put any into it.
function M.list(text)
  if not text then return nil end
  local list, at = {}, 2
  while at < #text do
    local quoted = text:sub(at, at) == '"'
    local stop = quoted and at + 1 or text:find("[,}]", at)
    while quoted and text:sub(stop, stop) ~= '"' do
      stop = stop + (text:sub(stop, stop) == "\\" and 2 or 1)
      if stop > #text then return list end -- none that the server has written
    end
    local value = text:sub(quoted and at + 1 or at, stop - 1)
    list[#list + 1] = quoted and value:gsub("\\(.)", "%1") or value
    at = stop + (quoted and 2 or 1)
  end
  return list
end

return M
