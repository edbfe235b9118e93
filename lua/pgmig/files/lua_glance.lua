--- What the text of a Lua migration says, without running it.
local M = {}

--- Where a long bracket ends that opens at a place; nil: none opens there, or it has no end.
local function bracket_end(text, at)
  local level = text:match("^%[(=*)%[", at)
  return level and select(2, text:find("]" .. level .. "]", at, true))
end

local function comment_end(text, at)
  return bracket_end(text, at + 2) or text:find("\n", at, true) or #text
end

--- Where a quoted string ends.
local function string_end(text, at)
  local quote, place = text:sub(at, at), at
  repeat
    place = text:find("[\\" .. quote .. "]", place + 1)
    local escaped = place and text:sub(place, place) == "\\"
    if escaped then place = place + 1 end
  until not escaped
  return place or #text
end

--- The end of what is no code at a place: a comment or string; nil for code.
local function skipped_end(text, at)
  if text:find("^%-%-", at) then return comment_end(text, at) end
  if text:find("^[\"']", at) then return string_end(text, at) end
  return bracket_end(text, at)
end

--- The code with its comments and strings left out; keys in brackets, `["down"]`, as bare names.
local function code_of(text)
  local parts, at = {}, 1
  while at <= #text do
    local place = text:find("[%-\"'%[]", at) or #text + 1
    local key, behind = text:match("^%[%s*[\"']([%a_][%w_]*)[\"']%s*%]()", place)
    local last = place <= #text and (key and behind - 1 or skipped_end(text, place))
    parts[#parts + 1] = text:sub(at, place - 1)
    parts[#parts + 1] = key or (last and " ") or text:sub(place, place)
    at = (last or place) + 1
  end
  return table.concat(parts)
end

--- Look at a text that compiles.
-- @param text of a Lua migration
-- @return { down = true, false, or nil where only running it would tell; transaction = false, or
--   true as far as the text tells; phase = "post", or nil as far as it tells }
function M.look(text)
  local code = " " .. code_of(text) .. " "
  local function has(pattern) return code:find("[^%w_]" .. pattern) ~= nil end
  local down = has "down[^%w_]"
  if not down and not has "up[^%w_]" then down = nil end
  local post = has "phase%s*=[^=]" and text:find "phase%s*[\"']?%s*%]?%s*=%s*[\"']post[\"']"
  return {
    down = down, transaction = not has "transaction%s*=%s*false[^%w_]",
    phase = post and "post" or nil,
  }
end

return M
