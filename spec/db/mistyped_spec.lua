-- Connection strings that went wrong, thousands of them: a password in them is seen nowhere, in no
-- message, row, server's log or list of sessions, wherever the string came from.
local cli = require "spec.cli.helper"
local pgmig = require "pgmig"
local scratch = require "pgmig.scratch"
local support = require "spec.support"

local SECRET = "s3CRETpw"

-- Of the server's port, %d.
local wrong = {
  "postgres:/joe:%s@127.0.0.1:%d/shop", "postgresql//joe:%s@127.0.0.1:%d/shop",
  "postgres ://joe:%s@127.0.0.1:%d/shop", "postgresql:joe:%s@127.0.0.1:%d",
  "postgresql://joe %s@127.0.0.1:%d/shop", "postgresql://joe;%s@127.0.0.1:%d/shop",
  "postgresql://joe%%3A%s@127.0.0.1:%d/shop", "postgresql://joe:%s%%40127.0.0.1:%d/shop",
  "postgresql://joe:%s%%@127.0.0.1:%d/shop", "postgresql://joe:%s/x@127.0.0.1:%d/shop",
  "postgresql://joe:%s#@127.0.0.1:%dx/shop", "//joe:%s@127.0.0.1:%d/shop",
  "jdbc:postgresql://127.0.0.1/shop?user=joe&password=%s&port=%d",
  "postgresql://postgres@127.0.0.1/shop?pasword=%s&port=%d", "pasword=%s host=127.0.0.1 port=%d",
  "postgresql://127.0.0.1/shop?service=%s&port=%d", "service=%s host=127.0.0.1 port=%d",
  "user=postgres host=127.0.0.1 replication=%s port=%d", "hostaddr=%s user=postgres port=%d",
  "user=postgres host=127.0.0.1 dbname=password=%s port=%d", "port=%s host=127.0.0.1 user=p%d",
  "user=joe/password=%s host=127.0.0.1 port=%d", "user=joe:%s host=127.0.0.1 port=%d",
  "user=postgres host=127.0.0.1 application_name=x;password=%s port=%d",
  "user=postgres host=127.0.0.1 sslmode=verify-full sslrootcert=%s port=%d",
  "user=postgres host=127.0.0.1 sslmode=require sslcert=%s port=%d", "sslmode=%s port=%d",
  "user=postgres host=127.0.0.1 requirepeer=%s passfile=x port=%d", "127.0.0.1:shop:joe:%s:%d",
  "Server=127.0.0.1;Password=%s;Port=%d", "user=joe password = '%s host=127.0.0.1 port=%d",
  '{"password":"%s","port":%d}', "--password=%s port=%d", "psql -W %s -p %d",
  "postgresql://127.0.0.1/shop?user=nobody&sslpassword=%s&port=%d",
  "postgresql://127.0.0.1/shop?user=nobody&passfile=%s&port=%d",
}

local pieces = { "", " ", "%", "@", ":", "/", ";", "'", '"', "=", "&", "?", "\\", "\n", "#", "," }

describe("a connection that is refused", function()
  it("names its user, though another parameter has the same value", function()
    local ok, err = pcall(pgmig.connect, {
      url = support.server():url "postgres", user = "ida", krbsrvname = "ida",
    })
    assert.is_false(ok)
    assert.matches('role "ida" does not exist', err.message, 1, true)
  end)
end)

describe("a mistyped connection string", function()
  local server, port, dir

  setup(function()
    port, dir = support.free_port(), support.tempdir()
    server = scratch.start { settings = {
      listen_addresses = "127.0.0.1", port = port, log_connections = "on", log_statement = "all",
    } }
    support.write(dir, "001_a.sql", "SELECT 1;")
  end)

  teardown(function() server:stop() end)

  local function hidden(text, what)
    local found = text:find(SECRET:sub(1, 4), 1, true) or text:find(SECRET:sub(-4), 1, true)
    assert.is_nil(found, what .. ": " .. text)
  end

  local function log() return support.read(server.log) end

  local function try(text)
    local ok, err = pcall(pgmig.connect, { url = text, connect_timeout = 2 })
    if ok then return err:close() end
    hidden(tostring(err), text)
    for key, value in pairs(err) do hidden(tostring(value), text .. " in " .. key) end
  end

  it("by one character shows nothing of the password", function()
    for _, form in ipairs {
      "postgresql://joe:%s@127.0.0.1:%d/shop?application_name=a",
      "host=127.0.0.1 user=joe password='%s' dbname=shop port=%d",
    } do
      local text = form:format(SECRET, port)
      local first, last = text:find(SECRET, 1, true)
      for at = 1, #text do
        for _, piece in ipairs((at < first or at > last) and pieces or {}) do
          local name = piece == "" and at == first - 1 -- joes3CRETpw is a name like any other
          if not name then try(text:sub(1, at - 1) .. piece .. text:sub(at + 1)) end
          try(text:sub(1, at - 1) .. piece .. text:sub(at))
        end
      end
    end
    for _, form in ipairs(wrong) do try(form:format(SECRET, port)) end
    hidden(log(), "the server's log")
  end)

  it("shows nothing of it from any source, by any command", function()
    for i, form in ipairs(wrong) do
      local text = form:format(SECRET, port)
      local home = support.tempdir()
      local sources = {
        { "", { DATABASE_URL = text } },
        { "--database " .. cli.quote(text) .. " ", {} },
        { "", {}, ".env", "DATABASE_URL='" .. text:gsub("'", "\\'") .. "'\n" },
        { "", {}, "pgmig.conf.lua", ("return { database = %q }"):format(text) },
      }
      local source = sources[i % #sources + 1]
      if source[3] then support.write(home, source[3], source[4]) end
      for _, words in ipairs { "status", "--json up", "config", "-v wait --timeout 1" } do
        local command = cli.command(source[1] .. "--dir " .. dir .. " " .. words, source[2])
        local _, out, err = support.run("cd " .. cli.quote(home) .. " && " .. command)
        hidden(out .. err, words .. " with " .. text)
      end
    end
    hidden(log(), "the server's log")
  end)
end)
