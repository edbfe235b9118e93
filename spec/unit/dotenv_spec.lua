-- `.env`: what docker compose and the dotenv libraries agree on, and what is for other programs.
local dotenv = require "pgmig.cli.dotenv"
local errors = require "pgmig.errors"
local support = require "spec.support"

local dir
setup(function() dir = support.tempdir() end)

local function read(text) return dotenv.read(support.write(dir, ".env", text)) end
local function check(text) read(text):check() end

--- What a file gives to the name V; it stands between others, which must be read all the same.
local function value(line)
  local env = read("BEFORE=1\n" .. line .. "\nAFTER=2\n")
  assert.equal("1", env:get "BEFORE", line)
  assert.equal("2", env:get "AFTER", line)
  return env:get "V"
end

local function refused(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  assert.is_true(errors.is(err, "usage"), tostring(err))
  return tostring(err)
end

describe(".env", function()
  it("gives values with and without quotes", function()
    for line, expected in pairs {
      ["V=a"] = "a", ["V="] = "", ["V = a "] = "a", ["export V=a"] = "a", ["\tV=a b"] = "a b",
      ["V: a"] = "a", ["V=a=b"] = "a=b", ["V=''"] = "", ['V=""'] = "", ["V='a'"] = "a",
      ['V="a"'] = "a", ['V="a\\n\\"b\\"\\\\"'] = 'a\n"b"\\', ["V='a\\nb'"] = "a\\nb",
      ["V='Let\\'s go'"] = "Let's go", ["V='C:\\dir\\'"] = "C:\\dir\\", ["V=it's"] = "it's",
      ['V=a"b"'] = 'a"b"', ["V='\"'"] = '"', ["V=a\\b"] = "a\\b", ["V=\"a\\b\""] = "a\\b",
    } do assert.equal(expected, value(line), line) end
  end)

  it("has comments, with quotes in them, and # in values", function()
    for line, expected in pairs {
      ["V=a # b"] = "a", ["V=a#b"] = "a#b", ["V=#b"] = "", ["V= # b"] = "", ["#V=b\nV=a"] = "a",
      ['V="a # b" # "c"'] = "a # b", ["V='a # b'   # it's 'c'"] = "a # b",
      ['V=a # "b'] = "a", ["V='a'#b"] = "a", ["  # it's \"\nV=a"] = "a",
    } do assert.equal(expected, value(line), line) end
  end)

  it("has values of several lines", function()
    for line, expected in pairs {
      ['V="a\nb"'] = "a\nb", ["V='a\n#b=\n\nc' # d"] = "a\n#b=\n\nc",
      ['KEY="-----BEGIN\nV=no\n-----END"\nV=a'] = "a",
    } do assert.equal(expected, value(line), line) end
  end)

  it("counts the lines of all of them", function()
    assert.matches(".env:6: this line is not NAME=value", refused(check,
      "A='1\n2'\n\n  # x\nB=\"3\"\nno line\n"), 1, true)
  end)

  it("puts variables in values, the real ones first", function()
    local home = os.getenv "HOME"
    for line, expected in pairs {
      ["A=x\nV=${A}/$A/y"] = "x/x/y", ["A=x\nV=\"${A} $A\""] = "x x",
      ["A=x\nV='${A}$A'"] = "${A}$A",
      ["HOME=no\nV=${HOME}"] = home, ["V=${NIX:-d}"] = "d", ["V=${NIX-d}"] = "d",
      ["A=\nV=${A:-d}"] = "d", ["A=\nV=${A-d}"] = "", ["A=x\nV=${A:-d}${A:+e}"] = "xe",
      ["V=${NIX:+e}"] = "", ["A=x\nV=${NIX:-${A}}"] = "x", ["V=${NIX:-}"] = "",
      ["V=\\${A}"] = "${A}", ['V="\\$HOME"'] = "$HOME", ["A=a$b\nV=${A}"] = "a$b",
    } do assert.equal(expected, value(line), line) end
  end)

  it("leaves a dollar sign alone that is no variable's: it is at home in passwords", function()
    for _, text in ipairs { "pa$wor", "a$", "$", "a$$b", "a${b", "a${}b", "$1", "a${b c}" } do
      assert.equal(text, value("V=" .. text))
      assert.equal(text, value('V="' .. text .. '"'))
    end
  end)

  it("ends its lines in either way, and may begin with a byte order mark", function()
    local env = read "\239\187\191A=1\r\nB='2'\r\nC=\"3\r\n4\"\r\n\r\nD=5\r"
    assert.same({ "1", "2", "3\n4", "5" },
      { env:get "A", env:get "B", env:get "C", env:get "D" })
  end)

  it("takes the last of two values", function() assert.equal("b", value "V=a\nV=b") end)

  it("may hold what is for other programs", function()
    for _, line in ipairs {
      "app.name=x", "MY-VAR=1", "PASSED", "PASSED # by docker", "export PASSED", "1st=a",
      "list[0]=x", "a/b=c", "A:B=c", "A: b=c",
      "OTHER=${NIX}", "OTHER=\"a\" b", "OTHER='it's'", "OTHER=" .. ("x"):rep(100000), "_=1",
    } do assert.equal("a", value(line .. "\nV=a"), line) end
  end)

  it("refuses a value that is used and cannot be understood, naming it and its line", function()
    for text, message in pairs {
      ["\nV=a${NIX}"] = "2: the value of V cannot be used: it uses NIX, which is not set",
      ["V=${NIX:?no}"] = "1: the value of V cannot be used: it uses NIX, which is not set",
      ["A=${NIX}\nV=${A}"] = "2: the value of V cannot be used: it uses NIX, which is not set",
      ['V="a" b'] = "1: the value of V cannot be used: there is text after its closing quote",
      ["V=a\0b"] = "1: the value of V cannot be used: it contains a NUL byte",
    } do
      local env = read(text)
      assert.matches(message, refused(env.get, env, "V"), 1, true)
    end
  end)

  it("goes on behind a line that nobody can read", function()
    local env = read "A=1\nno line\nB=2\nC='3\nD=4\n"
    assert.same({ "1", "2" }, { env:get "A", env:get "B" })
    assert.matches(".env:2: this line", refused(env.check, env), 1, true)
    assert.matches("its quote has no end", refused(env.get, env, "C"), 1, true)
  end)

  it("refuses lines that nobody can read, without quoting them", function()
    for text, message in pairs {
      ["A=1\nnot s3cret"] = ".env:2: this line is not NAME=value",
      ["postgresql://joe:s3cret@db/shop?a=b"] = ".env:1: this line is not NAME=value",
      ["=s3cret"] = ".env:1: this line is not NAME=value",
      ["DATABASE URL=s3cret"] = ".env:1: this line is not NAME=value",
      ["A=1\nB=\"s3cret\n\n"] = ".env:2: unterminated quoted value",
      ["B='s3cret"] = ".env:1: unterminated quoted value",
      ["\255\254A\0=\0"] = "this file is UTF-16",
    } do
      local said = refused(check, text)
      assert.matches(message, said, 1, true)
      assert.not_matches("s3cre", said, 1, true)
    end
  end)
end)

describe("any .env", function()
  local RUNS, SECRET = 3000, "-s3cret-"
  local seed = tonumber(os.getenv "PGMIG_SEED") or 1 -- to try another one by hand
  local pieces = {
    SECRET, SECRET, SECRET, "\nV=", "\nV='", '\nA="', "\nA=", "V", ": ", "=", "\n", "'", '"', '"',
    "\\", "$", "${", "}", "${NIX", "${A:-", "${V:+", ":?", "$V", "#", " ", "\t", "export ", "a",
    "\r\n", "\r", "\0", "\239\187\191", "\255\254", "://", "\\n", "é",
  }

  local function made_up()
    local list = {}
    for i = 1, math.random(16) do list[i] = pieces[math.random(#pieces)] end
    return table.concat(list)
  end

  --- What a call returns; a refusal repeats nothing of the file but a name.
  local function ask(text, fn, ...)
    local ok, result = pcall(fn, ...)
    if ok then return result end
    local said = tostring(result)
    assert.is_true(errors.is(result, "usage"), ("%q: %s"):format(text, said))
    assert.is_nil(said:find(SECRET, 1, true), ("%q: %s"):format(text, said))
  end

  it("is read or refused, and no secret in it is said", function()
    math.randomseed(seed)
    local read_whole = 0
    for _ = 1, RUNS do
      local text = made_up()
      local env = ask(text, read, text)
      for _, name in ipairs { "V", "A", "AV", "VA" } do
        local got = ask(text, env.get, env, name)
        assert.is_true(got == nil or type(got) == "string")
      end
      read_whole = read_whole + (pcall(env.check, env) and 1 or 0)
      ask(text, env.check, env)
    end
    assert.is_true(read_whole > RUNS / 20 and read_whole < RUNS, read_whole)
  end)

  it("gives in double quotes whatever stands there with its escapes", function()
    math.randomseed(seed)
    for _ = 1, RUNS do
      local text = made_up():gsub("%z", "")
      local quoted = text:gsub('[\\"$]', "\\%0"):gsub("\r", "\\r")
      assert.equal(text, value('V="' .. quoted .. '"'))
    end
  end)
end)
