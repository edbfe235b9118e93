--- What a text of SQL names without a schema: operators, functions and types whose meaning depends
-- on the search_path. A lexical look, which knows the SQL that pgmig itself sends; names of tables
-- are looked at in another way (spec/fixtures/traps.sql).
local M = {}

local function set(words)
  local result = {}
  for word in words:gmatch "%S+" do result[word] = true end
  return result
end

-- Words of the grammar that stand before a parenthesis without being functions of the path, and
-- functions that the grammar itself takes from pg_catalog.
local before_parenthesis = set [[
  all any array as and check coalesce conflict distinct else except exists extract filter from
  greatest in into join key lateral least not numeric on only operator or over overlay position
  references returning row select set substring then trim union unique using values varchar when
  where with]]

-- Types that are keywords of the grammar: it takes them from pg_catalog.
local keyword_types = set [[
  bigint bit boolean char character dec decimal double float int integer interval nchar numeric real
  smallint time timestamp varchar serial bigserial smallserial]]

-- Words that stand for operators of the path.
local operator_words = set "like ilike similar between nullif isnull notnull"

-- ---- tokens ----------------------------------------------------------------

local function skip_string(sql, at)
  local quote = sql:sub(at, at)
  repeat at = assert(sql:find(quote, at + 1, true), "a quote has no end") + 1
  until sql:sub(at, at) ~= quote
  return at
end

local patterns = {
  { "^%-%-[^\n]*", "comment" }, { "^/%*.-%*/", "comment" }, { "^%$%d+", "parameter" },
  { "^[%a_][%w_$]*", "word" }, { "^%d[%d.]*", "number" }, { "^::", "cast" }, { "^:=", "assign" },
  { "^[%+%-%*/<>=~!@#%%^&|`?]+", "operator" }, { "^[(),;.%[%]:]", "mark" },
}

local function next_token(sql, at)
  local c = sql:sub(at, at)
  if c == "'" then return "string", skip_string(sql, at) end
  if c == '"' then return "name", skip_string(sql, at) end
  local tag = sql:match("^%$[%a_]*%$", at)
  if tag then
    local _, stop = sql:find(tag, at + #tag, true)
    return "string", assert(stop, "a dollar quote has no end") + 1
  end
  for _, pattern in ipairs(patterns) do
    local _, stop = sql:find(pattern[1], at)
    if stop then return pattern[2], stop + 1 end
  end
  error("what is this: " .. sql:sub(at, at + 20))
end

local function tokens(sql)
  local list, at = {}, sql:find "%S"
  while at do
    local kind, stop = next_token(sql, at)
    local text = sql:sub(at, stop - 1)
    if kind == "word" then text = text:lower() end
    if kind ~= "comment" then list[#list + 1] = { kind = kind, text = text } end
    at = sql:find("%S", stop)
  end
  return list
end

-- ---- what is wrong ---------------------------------------------------------

local nothing = { text = "" }

local function operator_is_qualified(list, i)
  local before = list[i - 1] or nothing
  local function at(offset) return (list[i + offset] or nothing).text end
  if before.text == "." then return true end -- OPERATOR(pg_catalog.=)
  if list[i].text ~= "*" and list[i].text ~= "-" then return false end
  -- the star of count(*), SELECT * and UNLISTEN *; a number's sign
  if list[i].text == "*" then
    return before.text == "(" or before.text == "unlisten" or at(1) == "from"
  end
  local behind_operator = before.text == ")" and (list[i - 2] or nothing).kind == "operator"
  return behind_operator or before.kind == "operator" or before.text == "(" or before.text == ","
end

local function look_at_word(list, i)
  local word, before = list[i].text, (list[i - 1] or nothing).text
  local after = (list[i + 1] or nothing).text
  if before == "." or after == "." or before == "as" then return nil end
  local clause = word == "like" and before == "(" -- of CREATE TABLE
  if operator_words[word] and not clause then return word end
  if word == "in" and after == "(" then return "IN (" end
  if word == "case" and after ~= "when" then return "CASE x WHEN" end
  if word == "from" and before == "distinct" then return "IS DISTINCT FROM" end
  if word == "using" and after == "(" then return "USING (" end
  if word == "collate" and (list[i + 2] or nothing).text ~= "." then return "COLLATE" end
  if before == "::" then
    if not keyword_types[word] then return "::" .. word end
  elseif after == "(" and not before_parenthesis[word] then
    return word .. "("
  end
end

--- Follow parentheses, and the assignments behind SET, which are no operators.
local function note_place(place, token)
  if token.text == "(" then place.depth = place.depth + 1 end
  if token.text == ")" then place.depth = place.depth - 1 end
  if token.text == "set" then place.assigns = place.depth end
  local ends = token.text == "where" or token.text == "returning" or token.text == ";"
  if ends and place.assigns == place.depth then place.assigns = nil end
end

--- What a text names without a schema.
-- @param sql statements
-- @return a list of what was found, each as it is written
function M.find(sql)
  local list, found, place = tokens(sql), {}, { depth = 0 }
  for i, token in ipairs(list) do
    note_place(place, token)
    local wrong
    if token.kind == "word" then
      wrong = look_at_word(list, i)
    elseif token.kind == "operator" then
      local assigns = token.text == "=" and place.assigns == place.depth or token.text == "=>"
      wrong = not assigns and not operator_is_qualified(list, i) and token.text
    end
    if wrong then found[#found + 1] = wrong end
  end
  return found
end

return M
