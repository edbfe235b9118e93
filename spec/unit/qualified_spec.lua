-- The SQL in the sources leaves no function, operator or type to the search_path. A lexical look at
-- every string that looks like SQL; spec/db/trap_spec.lua looks at what is sent.
local support = require "spec.support"
local unqualified = require "spec.support.unqualified"

--- The strings of a Lua source.
local function lua_strings(text)
  local list = {}
  local function keep(s)
    list[#list + 1] = s
    return "nil"
  end
  text = text:gsub("%-%-[^\n]*", ""):gsub("%[%[(.-)%]%]", keep)
  text:gsub('"%s*%.%.%s*"', ""):gsub('"([^"\n]*)"', keep)
  return list
end

--- The strings of a C source; those side by side are one. A macro between two stands for a name,
-- but EQ and CONCAT for operators.
local function c_strings(text)
  local list = {}
  text = text:gsub("/%*.-%*/", ""):gsub("\\\n", "\n"):gsub('\\"', "'")
  text = text:gsub('"%s+EQ%s+"', " OPERATOR(pg_catalog.=) "):gsub('"%s+CONCAT%s+"',
    " OPERATOR(pg_catalog.||) "):gsub('"%s+[%u_]+%s+"', " x.x "):gsub('"%s*"', "")
  text:gsub('"([^"\n]*)"', function(s) list[#list + 1] = s end)
  return list
end

local signs = {
  "%f[%u]SELECT%f[%U]", "INSERT INTO", "DELETE FROM", "UPDATE %%%l", " WHERE ", " JOIN ",
  "CREATE TABLE IF", "ALTER TABLE %%%l", "pg_catalog%.", "::%a", "%f[%u]AND%f[%U]", "SET [%l_]+ =",
  "RETURNING",
}

local function looks_like_sql(s)
  for _, sign in ipairs(signs) do
    if s:find(sign) then return true end
  end
  return false
end

--- A piece of SQL as a whole text: with names for what is filled in, operators as sql.c writes
-- them, and the ends of its quotes.
local function complete(s)
  s = s:gsub("CASE %%s", "CASE WHEN %%s"):gsub("%%;", ";")
  s = s:gsub("%%([-+*/<>=~!@#^&|]+)", "OPERATOR(pg_catalog.%1)"):gsub("%%%%", "%%")
  s = s:gsub("%%[%d.]*[lz]?[sduifIL]", "x.x"):gsub("%%{%a+}", "x.x"):gsub("%%[tkndhjrlma]", "x.x")
  s = s:gsub("\\[nt]", " ")
  local _, quotes = s:gsub("'", "")
  if quotes % 2 == 1 then s = s:find "^'[%s)]" and "'" .. s or s .. "'" end
  return s:find "^%s*[,(]" and "SET " .. s or s -- the middle of an UPDATE
end

local function sources()
  local pipe = assert(io.popen "ls lua/pgmig/*.lua lua/pgmig/*/*.lua core/*/*.c")
  local list = {}
  for path in pipe:lines() do list[#list + 1] = path end
  pipe:close()
  return list
end

describe("SQL in the sources", function()
  it("names functions, operators and types with their schema", function()
    local count, found = 0, {}
    for _, path in ipairs(sources()) do
      local text = support.read(path)
      for _, s in ipairs(path:find "%.c$" and c_strings(text) or lua_strings(text)) do
        if looks_like_sql(s) then
          count = count + 1
          local names = unqualified.find(complete(s))
          if names[1] then
            found[#found + 1] = ("%s: %s in: %s"):format(path, table.concat(names, "  "), s)
          end
        end
      end
    end
    assert.equal("", table.concat(found, "\n"))
    assert.is_true(count > 150, count)
  end)

  it("is told from what is not qualified", function()
    for sql, names in pairs {
      ["SELECT a = b"] = "=", ["SELECT now()"] = "now(", ["SELECT count(*)"] = "count(",
      ["SELECT a::text, b::bigint"] = "::text", ["WHERE a IN (1)"] = "IN (",
      ["UPDATE %s SET a = b || c WHERE d = 1"] = "||  =",
      ["DELETE FROM %t WHERE a %= %L%;"] = "", ["SELECT a LIKE b"] = "like",
      ["SELECT CASE a WHEN b THEN c END"] = "CASE x WHEN", ["SELECT a IS DISTINCT FROM b"]
        = "IS DISTINCT FROM", ["SELECT a COLLATE \"C\""] = "COLLATE", ["SELECT a - 1"] = "-",
      ["SELECT 'a = b', \"a = b\", pg_catalog.now(), a OPERATOR(pg_catalog.=) -1"] = "",
    } do
      assert.equal(names, table.concat(unqualified.find(complete(sql)), "  "), sql)
    end
  end)
end)
