--- How rows are written to another tool's table.
-- A format's `export`, or its `shared` (pgmig.takeover.shared), is a table of SQL texts:
--
-- * `create`: makes the table as the tool does; or a function that returns it, of the migrations
--   that will be written, and of a function that makes a quoted identifier of the table's name and
--   an ending
-- * `claim`: writes the row of a migration; where the tool keeps only its newest one, the only row
-- * `release`: deletes it; there: leaves the table as it is where nothing is applied
-- * `correct`: lets the row have the checksum of the file as it is now; without it a row that has
--   another one is refused
--
-- In them `%t` stands for the table, `%s` for its schema, and of a migration `%k` for what the tool
-- calls it, `%n` for its name, `%a` for when it was applied, `%d` for what the tool computes of its
-- file (`tracking.checksum`), and `%{word}` for what `values` has under that word; all but `%t`,
-- `%s` and `%a` are literals. And
--
-- * `key_of(m)`: `%k`; without it the version, as it is written in the file's name
-- * `values(m, path)`: texts by word; `path` is the file's, from its migrations folder
-- * `in_order`: the tool runs nothing that comes before what it has applied
-- * `repeatable`: repeatable migrations have rows, too
local errors = require "pgmig.errors"
local rows = require "pgmig.takeover.rows"

local M = {}
local layout = {}
layout.__index = layout

--- The layout of a format.
-- @param db the connection that will write
-- @param format of pgmig.formats
-- @param place of `pgmig.takeover.tracking.place`
-- @param relative fn(path) returns a file's path from its migrations folder
function M.new(db, format, place, relative)
  return setmetatable({
    sql = format.export or format.shared, format = format, db = db, place = place,
    relative = relative,
  }, layout)
end

--- Refuse a format whose table cannot be written.
-- @raise kind "usage"
function M.check(format)
  if format.tracking and (format.export or format.shared) then return end
  errors.raise("usage", ("the rows of %s cannot be written: %s"):format(format.name,
    format.unexported or "the format does not define how"))
end

--- What the tool's table calls a migration.
function layout:key(m) return self.sql.key_of and self.sql.key_of(m) or m.text end

local verbs = {
  t = function(self) return self.place.name end,
  s = function(self) return self.place.schema end,
  k = function(self, m) return self:literal(self:key(m)) end,
  n = function(self, m) return self:literal(m.name) end,
  d = function(self, m) return self:literal(rows.checksum(self.format, m)) end,
  a = function(self, m)
    if not m.applied_at then return "pg_catalog.now()" end
    return self:literal(m.applied_at) .. "::pg_catalog.timestamptz"
  end,
}

--- A text as an SQL literal; nil: NULL.
function layout:literal(text) return text and self.db:quote_literal(text) or "NULL" end

--- A template with texts in the place of its verbs.
-- @param values by verb: a text, or fn(): one; of `{`: fn(word)
function M.expand(template, values)
  return (template:gsub("%%([%a%%{])([%w_]*}?)", function(verb, rest)
    if verb == "%" then return verb .. rest end
    local value = values[verb]
    if verb == "{" then return value(rest:sub(1, -2)) end
    return (type(value) == "function" and value() or assert(value, "verb %" .. verb)) .. rest
  end))
end

--- One of the SQL texts, with what stands in it.
-- @param name of the text
-- @param m the migration; nil: only the table stands in it
function layout:fill(name, m)
  local values, words = {}, nil
  for verb, of in pairs(verbs) do values[verb] = function() return of(self, m) end end
  values["{"] = function(word)
    words = words or self.sql.values(m, self.relative(m.path))
    return self:literal(words[word])
  end
  return M.expand(self.sql[name], values)
end

--- What makes the table.
-- @param list the migrations that will be written
function layout:creation(list)
  local create = self.sql.create
  if type(create) ~= "function" then return self:fill "create" end
  local text = create(list, function(ending)
    return self.db:quote_ident(self.place.bare .. ending)
  end)
  return (text:gsub("%%t", function() return self.place.name end))
end

return M
