-- The configurations of docs/nginx.md run as they are, but for ports, folders and the database; and
-- so does the example.
local pgmig = require "pgmig"
local program = require "spec.nginx.program"
local servers = require "spec.nginx.server"
local support = require "spec.support"

local page = support.read "docs/nginx.md"

describe("nginx, configured as the page says,", function()
  local nginx, folder, port, url

  before_each(function()
    folder, port, url = support.tempdir(), support.free_port(), support.database()
    support.run(("chmod 755 %s; mkdir %s/migrations"):format(folder, folder))
    support.write(folder, "migrations/001_a.sql", "CREATE TABLE a ();")
  end)

  after_each(function()
    if nginx then nginx:stop() end
    nginx = nil
  end)

  local function root()
    local _, out = support.run "pwd"
    return out:match "[^\n]+"
  end

  local function replace(text, what, by)
    local first, last = text:find(what, 1, true)
    assert.is_truthy(first, what)
    repeat
      text = text:sub(1, first - 1) .. by .. text:sub(last + 1)
      first, last = text:find(what, first + #by, true)
    until not first
    return text
  end

  --- What nginx, as Debian builds it, would need rights for.
  local function own_folders()
    local lines = { "http {", "access_log off;" }
    for _, what in ipairs { "client_body", "proxy", "fastcgi", "uwsgi", "scgi" } do
      lines[#lines + 1] = ("%s_temp_path %s;"):format(what, folder)
    end
    return table.concat(lines, "\n")
  end

  --- The configuration that begins with a comment, with what belongs to a machine replaced.
  local function configuration(title, replacements)
    local text = page:match("```nginx\n(# " .. title .. ".-)```")
    assert.is_string(text, title)
    local build = root() .. "/" .. (os.getenv "PGMIG_BUILD" or "build")
    for what, by in pairs {
      ["/usr/local/share/lua/5.1/"] = root() .. "/lua/",
      ["/usr/local/lib/lua/5.1/"] = build .. "/luajit/",
      ["/srv/shop/migrations"] = folder .. "/migrations",
      ["listen 8080;"] = ("listen 127.0.0.1:%d;"):format(port),
      ["http {"] = own_folders(),
    } do text = replace(text, what, by) end
    for what, by in pairs(replacements) do text = replace(text, what, by) end
    return support.write(folder, "nginx.conf", text)
  end

  --- A configuration without what Debian's nginx loads, for one that has it inside.
  local function as_built(text)
    return program.is_debian and text or text:gsub("load_module [^\n]*\n", "")
  end

  --- nginx's workers have to reach the scratch server's socket, which only its user and root may.
  local user = select(2, support.run "id -un"):match "%S+"

  it("migrates in a worker of Debian's", function()
    if not program.is_debian then return pending "Debian's nginx is not the one to test" end
    local path = configuration("Debian", {
      ["user www-data;"] = "daemon off; user " .. user .. ";",
      ["/run/nginx.pid"] = folder .. "/nginx.pid",
      ["/var/log/nginx/error.log"] = folder .. "/error.log",
      ["postgresql://shop@127.0.0.1/shop?passfile=/etc/nginx/shop.pgpass"] = url,
    })
    nginx = servers.start_as_is(path, folder, port, folder .. "/nginx.pid")
    nginx:open()
    assert.equal("1", support.psql(url, "SELECT max(version) FROM schema_migrations"))
    assert.matches('"state":"ready"', select(2, nginx:get "/schema.json"))
    assert.matches("001_a", select(2, nginx:get "/schema"))
  end)

  it("looks at what the deploy step did, in OpenResty's", function()
    support.run(("mkdir %s/logs"):format(folder))
    local path = configuration("OpenResty", {
      ["user nobody;"] = "daemon off; user " .. user .. ";" .. program.load_modules,
    })
    local db = pgmig.connect(url)
    pgmig.migrator(db, folder .. "/migrations"):migrate()
    db:close()
    nginx = servers.start_as_is(path, folder, port, folder .. "/logs/nginx.pid",
      "-p " .. folder, "DATABASE_URL=" .. support.quote(url))
    nginx:open()
    assert.matches('"mode":"check"', select(2, nginx:get "/schema.json"))
  end)

  it("serves the example, as it is but for its port and the end of its long migration", function()
    local example = folder .. "/examples/nginx"
    support.run(("mkdir %s/examples; cp -r examples/nginx %s/examples; ln -s %s/lua %s/build %s")
      :format(folder, folder, root(), root(), folder))
    support.write(example, "conf/nginx.conf", as_built(replace(
      support.read(example .. "/conf/nginx.conf"), "127.0.0.1:8080", "127.0.0.1:" .. port)))
    local long = example .. "/migrations/003_count_visits.sql"
    support.write(example, "migrations/003_count_visits.sql",
      replace(support.read(long), "SELECT pg_sleep(3);", support.held))
    nginx = servers.start_as_is("conf/nginx.conf", folder, port, example .. "/logs/nginx.pid",
      ("-p %s -g 'daemon off; user %s;'"):format(example, user),
      "DATABASE_URL=" .. support.quote(url))
    assert.equal(503, (nginx:get "/"))
    assert.equal(503, (nginx:get "/ready"))
    assert.equal(200, (nginx:get "/alive"))
    support.release(url)
    nginx:open()
    assert.equal(204, (nginx:get "/ready"))
    assert.matches('"state":"ready"', select(2, nginx:get "/schema.json"))
    assert.matches("003_count_visits", select(2, nginx:get "/schema"))
    assert.equal("10", support.psql(url, "SELECT count(*) FROM visits_by_page"))
  end)
end)
