--- A statement's text as words: pgmig's own lexer, for the rules that have to look at it.
local core = require "pgmig.core"

local M = {}
local words = {}
words.__index = words

--- What a word stands for: a name as the server reads it.
local function name_of(token)
  if token.kind == "word" then return token.text:lower() end
  if token.kind ~= "name" then return nil end
  return (token.text:match '^[^"]*"(.*)"$' or token.text):gsub('""', '"')
end

--- Read a text.
-- @param sql one statement or several
-- @return a list of tokens { kind, text, at, word = in capitals, name = as the server reads it,
--   depth = how many parentheses are open }
function M.read(sql)
  local list, depth = core.tokens(sql), 0
  for _, token in ipairs(list) do
    if token.text == ")" then depth = depth - 1 end
    token.depth = depth
    if token.text == "(" then depth = depth + 1 end
    token.word = token.kind == "word" and token.text:upper() or nil
    token.name = name_of(token)
  end
  return setmetatable(list, words)
end

--- Where words follow each other, outside all parentheses.
-- @param phrase the words in capitals, with blanks between them
-- @param from where to begin; nil: at the first token
-- @return the number of the first token, and of the one behind the last; nil
function words:find(phrase, from)
  local wanted = {}
  for word in phrase:gmatch "%S+" do wanted[#wanted + 1] = word end
  for i = from or 1, #self - #wanted + 1 do
    local at = 0
    while at < #wanted and self[i + at].word == wanted[at + 1] and self[i].depth <= 0 do
      at = at + 1
    end
    if at == #wanted then return i, i + at end
  end
end

--- Whether words stand in it, outside all parentheses.
function words:has(phrase) return self:find(phrase) ~= nil end

--- Whether it begins with these words.
function words:begins(phrase) return self:find(phrase) == 1 end

--- The name at a token, with what stands before it and a dot: its last part and the others.
-- @return the last part, the parts before it joined with dots or nil, the token behind it; nil
function words:name(at)
  local token = self[at]
  if not (token and token.name) then return nil end
  local last, before = token.name, nil
  at = at + 1
  while self[at] and self[at].text == "." and self[at + 1] and self[at + 1].name do
    before = before and before .. "." .. last or last
    last, at = self[at + 1].name, at + 2
  end
  return last, before, at
end

--- The statements of a text, each by itself.
-- @return a list of the same kind
function words:statements()
  local list, current = {}, setmetatable({}, words)
  for _, token in ipairs(self) do
    if token.text == ";" and token.depth <= 0 then
      if current[1] then list[#list + 1] = current end
      current = setmetatable({}, words)
    else
      current[#current + 1] = token
    end
  end
  if current[1] then list[#list + 1] = current end
  return list
end

--- What is written between the quotes of a dollar-quoted string.
local function body(token)
  local tag = token.kind == "string" and token.text:match "^%$[^$]*%$"
  return tag and token.text:sub(#tag + 1, -#tag - 1) or nil
end

-- What PL/pgSQL writes before a statement, and the word that ends it; true: it is one itself.
local openings = {
  BEGIN = true, ELSE = true, LOOP = true, THEN = true, EXCEPTION = true,
  IF = "THEN", ELSIF = "THEN", WHEN = "THEN", FOR = "LOOP", FOREACH = "LOOP", WHILE = "LOOP",
}

--- A statement of a block without what stands before it.
local function without_openings(statement)
  local at = 1
  while statement[at] and openings[statement[at].word] do
    local ending = openings[statement[at].word]
    if ending == true then
      at = at + 1
    else
      local _, behind = statement:find(ending, at)
      at = behind or #statement + 1
    end
  end
  local rest = setmetatable({}, words)
  for i = at, #statement do rest[#rest + 1] = statement[i] end
  return rest
end

--- The statements of a text and those of the blocks in it, each by itself.
-- @param sql a text
-- @return a list as of `statements`; those of blocks without the BEGIN, THEN, ELSE or LOOP before
function M.inner(sql)
  local list = {}
  for _, statement in ipairs(M.read(sql):statements()) do
    list[#list + 1] = statement
    for _, token in ipairs(statement) do
      local text = body(token)
      for _, inner in ipairs(text and M.inner(text) or {}) do
        list[#list + 1] = without_openings(inner)
      end
    end
  end
  return list
end

return M
