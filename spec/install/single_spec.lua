-- One executable, the static form: it works where there is nothing else.
local pgmig = require "pgmig"
local programs = require "spec.faults.programs"
local scratch = require "pgmig.scratch"
local support = require "spec.support"

local q = support.quote

local LIMIT = 7000000 -- bytes

--- Run a command that has to succeed; returns what it prints.
local function must(command)
  local code, out, err = support.run(command)
  if code ~= 0 then error(("%s\nexit status %s\n%s%s"):format(command, code, out, err), 2) end
  return out
end

--- A server that is reached with a certificate, a password and the two bound to each other only.
local function start_server()
  local dir, port = programs.folder(), support.free_port()
  must(("cd %s && %sopenssl req -new -x509 -days 2 -nodes -subj /CN=db -addext %s "
    .. "-out server.crt -keyout server.key"):format(dir, programs.as_user,
    "subjectAltName=IP:127.0.0.1"))
  local server = scratch.start { settings = {
    listen_addresses = "127.0.0.1", port = port, ssl = "on", password_encryption = "scram-sha-256",
    ssl_cert_file = dir .. "/server.crt", ssl_key_file = dir .. "/server.key",
    hba_file = support.write(dir, "hba", "local all postgres trust\n"
      .. "hostssl all app 127.0.0.1/32 scram-sha-256\nhostgssenc all all all gss\n"
      .. "hostssl all krb 127.0.0.1/32 gss\n"),
  } }
  local admin = pgmig.connect(server:url())
  admin:exec "CREATE ROLE app LOGIN PASSWORD 'secret'; CREATE ROLE krb LOGIN"
  admin:exec "CREATE DATABASE shop OWNER app"
  admin:close()
  server.certificate = dir .. "/server.crt"
  return server
end

--- A folder as the root of all others, with what a deploy brings along.
local function make_root(program, certificate)
  local root = support.tempdir()
  must(("cd %s && mkdir migrations && cp %s pgmig && cp %s root.crt"):format(q(root), q(program),
    q(certificate)))
  support.write(root, "migrations/001_a.sql", "-- UP\nCREATE TABLE a ();\n-- DOWN\nDROP TABLE a;\n")
  support.write(root, "migrations/002_b.lua",
    "return { up = function(db) db:exec 'CREATE TABLE b ()' end }\n")
  support.write(root, "pgmig.conf.lua", "return { hooks = { after_each = function(ctx)\n"
    .. "  io.stderr:write('hook ', ctx.migration.name, '\\n')\nend } }\n")
  return root
end

describe("the static executable", function()
  local server, program, root, url

  setup(function()
    local folder = support.tempdir()
    must("script/build --single " .. q(folder))
    program = folder .. "/single/pgmig"
    server = start_server()
    root = make_root(program, server.certificate)
    url = ("postgresql://app:secret@127.0.0.1:%d/shop?sslmode=verify-full&sslrootcert=/root.crt"
      .. "&channel_binding=require"):format(server.port)
  end)

  teardown(function() server:stop() end)

  --- Run it where there is no other file; only root can.
  local function inside(words, env)
    return support.run(("/usr/sbin/chroot %s /pgmig %s"):format(q(root), words)
      :gsub("^", "env -i " .. (env or "DATABASE_URL=" .. q(url)) .. " "))
  end

  it("is small, and needs no library", function()
    assert.is_true(#support.read(program) <= LIMIT)
    assert.equal("", must("readelf -dW " .. q(program) .. " | grep NEEDED || true"))
  end)

  it("applies migrations where there is nothing else, with TLS and SCRAM", function()
    local code, out, err = inside "up"
    assert.equal(0, code, err)
    assert.matches("applied +001_a.*applied +002_b", out)
    assert.matches("hook a\nhook b\n", err)
    assert.matches("2 applied, 0 pending", select(2, inside "status"))
  end)

  it("says what it cannot do", function()
    local code, _, err = support.run(q(program) .. " lua -e 'require \"socket\"'")
    assert.equal(1, code)
    assert.matches("module 'socket.core' is in C %(/.*/core.so%), and the static executable", err)
    code, _, err = support.run(q(program) .. " lua -e 'require \"nowhere\"'")
    assert.equal(1, code)
    assert.matches("module 'nowhere' not found:.*the static executable .*loads no C modules", err)
    for words, message in pairs {
      ["user=krb dbname=shop sslmode=require"] = "this executable has no GSSAPI",
      ["user=app dbname=shop gssencmode=require"] = "this executable has no GSSAPI",
    } do
      code, _, err = inside("status", "DATABASE_URL=" .. q(("host=127.0.0.1 port=%d %s"):format(
        server.port, words)))
      assert.equal(6, code)
      assert.matches(message, err, 1, true)
    end
    support.write(root, "service", "[shop]\nldap://127.0.0.1/dc=x?description?one?(cn=y)\n")
    _, _, err = inside("status", "PGSERVICEFILE=/service DATABASE_URL=service=shop")
    assert.matches("this executable has no LDAP", err, 1, true)
    _, _, err = inside("status", "")
    assert.matches("could not look up local user ID.*HINT: give the user's name", err)
  end)

  it("runs a script", function()
    support.write(root, "deploy.lua", "local pgmig = require 'pgmig'\n"
      .. "print(pgmig.migrator(pgmig.connect(), arg[1]):status().applied_count)\n")
    assert.same({ 0, "2\n", "" }, { inside "lua /deploy.lua /migrations" })
  end)

  it("is the same file, wherever it is built", function()
    local copy, build = support.tempdir(), support.tempdir()
    must(("git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t %s")
      :format(q(copy)))
    must(("cd %s && script/build --single %s && cmp %s/single/pgmig %s"):format(q(copy), q(build),
      q(build), q(program)))
  end)
end)
