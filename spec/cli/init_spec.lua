-- init: what a project needs, and a CI file whose commands work.
local cli = require "spec.cli.helper"
local support = require "spec.support"

describe("pgmig init", function()
  local dir
  before_each(function() dir = support.tempdir() end)

  local function run(words, env)
    return cli.run_command("cd " .. cli.quote(dir) .. " && " .. cli.command(words, env))
  end

  local function write(name, text)
    os.execute("mkdir -p " .. cli.quote(dir .. "/" .. (name:match "^(.*)/" or "")))
    support.write(dir, name, text)
  end

  local function setting(key)
    local _, out = run "config"
    return out:match("\n" .. key .. " +(%S+)")
  end

  it("writes folder and config file once, and replaces nothing", function()
    local code, out, err = run "init"
    assert.same({ 0, "" }, { code, err })
    assert.matches("^created  pgmig.conf.lua\ncreated  migrations/.gitkeep\nnext:\n", out)
    assert.equal("migrations", setting "dir")
    write("pgmig.conf.lua", "return { dir = 'migrations' }")
    code, out = run "init"
    assert.equal(0, code)
    assert.matches("^there already  pgmig.conf.lua\nnext:\n", out)
    assert.equal("return { dir = 'migrations' }", support.read(dir .. "/pgmig.conf.lua"))
    assert.same({ 0, "migrations/001_users.sql\n", "" }, { run "create users" })
  end)

  it("names the folder and the format of another tool", function()
    write("db/migrations/20240101000000_a.sql", "-- migrate:up\nSELECT 1;\n-- migrate:down\n")
    local code, out = run "init"
    assert.equal(0, code)
    assert.matches("the migrations are those of dbmate.*pgmig adopt %-%-dry%-run\n$", out)
    assert.same({ "db/migrations", "dbmate" }, { setting "dir", setting "format" })
    write("pgmig.conf.lua", "return { dir = 'db/migrations' }")
    assert.matches("of dbmate\nfrom now on: %-%-format dbmate, or `format = \"dbmate\"` in ",
      select(2, run "init"))
    dir = support.tempdir()
    write("sqitch.plan", "%syntax-version=1.0.0\n%project=x\n\na 2024-01-01T00:00:00Z x <x@y>\n")
    write("deploy/a.sql", "SELECT 1;")
    assert.equal(0, (run "init"))
    assert.same({ ".", "sqitch" }, { setting "dir", setting "format" })
  end)

  it("says so where it cannot tell the format, and takes the one that is named", function()
    write("migrations/001_a.sql", "SELECT 1;")
    local _, out, err = run "init"
    assert.matches("the folder matches several formats: .*; say in pgmig.conf.lua which", err)
    assert.is_nil(out:find "adopt")
    assert.equal("pgmig", setting "format")
    os.remove(dir .. "/pgmig.conf.lua")
    local _, json = run "--json --format goose --dir sql --dir more/sql init"
    local object = cli.objects(json)[1]
    assert.same({ "goose", 3 }, { object.format, #object.files })
    assert.same({ "sql,", "goose" }, { setting "dir", setting "format" })
  end)

  -- ---- CI --------------------------------------------------------------------

  --- The shell commands of a CI file, in their order: what stands behind `run:`, or in the lists
  -- `before_script` and `script`.
  local function commands_of(text)
    local list, block, indent, in_list = {}, nil, nil, false
    for line in text:gmatch "([^\n]*)\n" do
      local margin = #line:match "^ *"
      if block and (line == "" or margin > indent) then
        list[#list] = list[#list] .. line:sub(block + 1) .. "\n"
      else
        block = nil
        if line:find "^  %a[%w_]*:" then in_list = line:find "script:$" ~= nil end
        local said = line:match "^ +run: (.+)$" or in_list and line:match "^    %- (.+)$"
        if said == "|" then
          local column = text:match("\n" .. line:gsub("%p", "%%%0") .. "\n( +)", 1)
          block, indent = #column, margin
          list[#list + 1] = ""
        elseif said then
          list[#list + 1] = said .. "\n"
        end
      end
    end
    return list
  end

  --- A release whose executable is this program.
  local function release()
    local folder = support.tempdir()
    local _, machine = support.run "uname -m"
    local name = ("pgmig-%s-linux-%s"):format(require "pgmig.version", machine:match "%S+")
    os.execute(("mkdir %s/%s"):format(folder, name))
    support.write(folder .. "/" .. name, "pgmig",
      "#!/bin/sh\nexec " .. cli.program .. " \"$@\"\n")
    assert.equal(0, (support.run(("cd %s && chmod +x %s/pgmig && tar -czf %s.tar.gz %s && "
      .. "sha256sum *.tar.gz >SHA256SUMS"):format(folder, name, name, name))))
    return "file://" .. folder
  end

  --- A repository with one migration on its main branch, and another one that is new.
  local function commit(words)
    write("migrations/001_a.sql", "-- UP\nCREATE TABLE a (id int);\n-- DOWN\nDROP TABLE a;\n")
    assert.equal(0, (run(words)))
    assert.equal(0, (support.run(("cd %s && git init -q -b main . && git add -A && git -c "
      .. "user.name=x -c user.email=x@example.org commit -qm one"):format(cli.quote(dir)))))
    write("migrations/002_b.sql", "-- UP\nALTER TABLE a ADD b int;\n-- DOWN\n"
      .. "ALTER TABLE a DROP COLUMN b;\n")
  end

  for _, ci in ipairs {
    { name = "github", path = ".github/workflows/pgmig.yml", marks = {
      "^# Migrations:", "\non:\n  pull_request:\n", "\njobs:\n  migrations:\n    runs%-on: ",
      "\n    services:\n      postgres:\n        image: postgres:%d+", "uses: actions/checkout@v4",
    } },
    { name = "gitlab", path = ".gitlab-ci.yml", marks = {
      "^# Migrations:", "\nmigrations:\n  image: ", "\n  services:\n    %- name: postgres:%d+",
      "\n  before_script:\n    %- ", "\n  script:\n    %- ",
    } },
  } do
    it("writes a file for " .. ci.name .. ", whose commands check and apply what is new", function()
      commit("init --ci " .. ci.name)
      local text = support.read(dir .. "/" .. ci.path)
      for _, mark in ipairs(ci.marks) do assert.matches(mark, text) end
      assert.is_nil(text:find "\t")
      assert.is_nil(text:find "@%u")
      local temp = support.tempdir()
      local script = "set -eu\n"
      for _, command in ipairs(commands_of(text)) do
        if not command:find "^apt%-get" then script = script .. command:gsub("/opt", temp) end
        script = script .. "cd \"$CI_PROJECT_DIR\"\nPATH=\"$(cat $GITHUB_PATH):$PATH\"\n"
      end
      if ci.name == "gitlab" then -- one shell for all of them
        script = script:gsub("cd \"$CI_PROJECT_DIR\"\nPATH[^\n]*\n", "")
      end
      local url = support.database()
      local code, out, err = support.run(("cd %s && cat >%s/script <<'END'\n%s\nEND\n"
        .. "env HOME=%s DATABASE_URL=%s PGMIG_SCRATCH=%s PGMIG_VERSION=%s PGMIG_RELEASE_URL=%s "
        .. "CI_PROJECT_DIR=%s GITHUB_PATH=%s/path BASE=main BASE_DIR=%s/base "
        .. "CI_MERGE_REQUEST_DIFF_BASE_SHA=main bash %s/script"):format(
        ci.name == "github" and temp or dir, temp, script, temp, cli.quote(url),
        cli.quote(support.server():url()), require "pgmig.version", release(), cli.quote(dir), temp,
        temp, temp))
      assert.equal(0, code, out .. err)
      assert.matches("applied +001_a.*002_b  reversible.*applied +002_b", out)
    end)
  end
end)
