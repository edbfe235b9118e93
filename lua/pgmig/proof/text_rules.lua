--- Rules over the text of a statement, by pgmig's own lexer, beside what was observed of it.
local advice = require "pgmig.proof.advice"
local effects = require "pgmig.proof.effects"
local words = require "pgmig.proof.words"

local M = {}

local short = advice.short

local NAME_BYTES = 63

--- The statements in it that run: those of a DO block, too, but not a function's.
local function running(effect)
  effect.read = effect.read
    or (effect.kind == "DO" and words.inner(effect.sql) or words.read(effect.sql):statements())
  return effect.read
end

-- ---- writes without an end ---------------------------------------------------------------

local function bare_name(name) return (name:match '([^.]*)$' or name):gsub('"', "") end

--- The table that an UPDATE or DELETE writes to: its last name; where its WHERE is, or nil.
local function write_of(statement)
  local from, behind = statement:find "UPDATE"
  if from ~= 1 then
    from, behind = statement:find "DELETE FROM"
    if from ~= 1 then return end
  end
  if statement[behind] and statement[behind].word == "ONLY" then behind = behind + 1 end
  local name = statement:name(behind)
  local _, condition = statement:find "WHERE"
  return name, condition
end

local function is_constant(token)
  return token ~= nil and (token.kind == "string" or token.kind == "number" or token.text == "$"
    or token.text == ":")
end

--- Whether a token begins what a column is compared with: a constant, some, a range.
local function is_narrow(statement, at)
  local token, behind = statement[at], statement[at + 1]
  if not token then return false end
  if token.text == "=" then return is_constant(behind) or behind ~= nil and behind.word == "ANY" end
  if token.word == "IN" then return is_constant(statement[at + 2]) end
  return token.word == "BETWEEN"
end

--- Whether a condition picks few rows: by LIMIT or ctid, or by the value of a column with an index,
-- which the server may not use for an empty table.
local function narrows(statement, from, has_index)
  local found = false
  for i = from, #statement do
    local token = statement[i]
    if token.word == "OR" and token.depth <= 0 then return false end
    found = found or token.word == "CTID" or token.word == "LIMIT"
      or token.name and is_narrow(statement, i + 1) and has_index(token.name)
  end
  return found
end

-- What may write without saying so at its beginning.
local veiled = { SELECT = true, WITH = true, MERGE = true, DO = true }

--- Whether such a statement takes a table for writing, which it need not name.
local function is_veiled(effect, name)
  return veiled[effect.kind] and (effect.locks or {})[name] == "ROW EXCLUSIVE"
end

local function has_limit(effect)
  for _, statement in ipairs(running(effect)) do
    for _, token in ipairs(statement) do
      if token.word == "LIMIT" then return true end
    end
  end
  return false
end

--- What a statement does to a table that it reads as a whole and writes to: "all", "many", "few";
-- nil: nothing that is known.
local function extent(effect, name, run)
  local bare, found = bare_name(name), nil
  local function has_index(column) return run:has_index_on(name, column) end
  for _, statement in ipairs(running(effect)) do
    local target, condition = write_of(statement)
    if target == bare then
      if not condition then return "all" end
      found = narrows(statement, condition, has_index) and (found or "few") or "many"
    end
  end
  if found or not is_veiled(effect, name) then return found end
  return has_limit(effect) and "few" or "many"
end

--- Tables that were there and whose rows a statement may write one by one, after reading all.
local function written_after_scan(effect)
  local list = {}
  for name in pairs(effect.scans or {}) do
    local mode = effects.stronger((effect.held or {})[name], (effect.locks or {})[name])
    local relation = (effect.relations or {})[name] or {}
    local is_old = relation.existed and relation.kind == "table"
    if is_old and effects.strength(mode) >= effects.strength "ROW EXCLUSIVE" then
      list[#list + 1] = name
    end
  end
  table.sort(list)
  return list
end

function M.mass_write(effect, facts, report, run)
  for _, name in ipairs(written_after_scan(effect)) do
    local how = extent(effect, name, run)
    if how == "all" or how == "many" then
      local key = run:key(name) or "id"
      report { relation = name, work = name,
        severity = facts:is_small(name) and "note" or "warning",
        message = how == "all" and ("all rows of %s are written at once"):format(short(name))
          or ("%s is read from its first to its last row, and its rows are written at once"):format(
            short(name)),
        why = "the rows stay locked until COMMIT, the table gets as large again, and replicas fall "
          .. "behind",
        rewrite = ("-- in pieces, each in a transaction of its own:\n... WHERE %s BETWEEN 1 AND "
          .. "10000;"):format(key),
        not_with = "scan-under-lock" }
    end
  end
end

function M.truncate(effect, _, report)
  if effect.kind ~= "TRUNCATE" then return end
  for name, mode in pairs(effect.locks or {}) do
    local relation = effect.relations[name] or {}
    local is_table = relation.kind == "table" or relation.kind == "partitioned table"
    if is_table and relation.existed and mode == "ACCESS EXCLUSIVE" then
      report { relation = name, severity = relation.named and "warning" or "error",
        message = relation.named and ("all rows of %s are removed"):format(short(name))
          or ("all rows of %s are removed, too, which the statement does not name"):format(
            short(name)),
        why = "nothing brings them back after COMMIT; reads and writes wait until then",
        rewrite = not relation.named and "-- TRUNCATE without CASCADE, and each table by its name"
          or nil }
    end
  end
end

-- ---- names --------------------------------------------------------------------------------------

function M.long_name(effect, _, report)
  if not effect.kind:find "^CREATE" and not effect.kind:find "^ALTER" then return end
  for _, token in ipairs(words.read(effect.sql)) do
    if token.name and #token.name > NAME_BYTES then
      report { severity = "warning", at = token.at,
        message = ("the name %s... has %d bytes: the server cuts it to %d"):format(
          token.name:sub(1, 20), #token.name, NAME_BYTES),
        why = "two names that begin alike become one, and the schema has not the file's name" }
    end
  end
end

--- The rules, in order: { id, function }.
M.list = {
  { "mass-write", M.mass_write },
  { "truncate", M.truncate },
  { "long-name", M.long_name },
}

return M
