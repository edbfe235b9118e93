-- The Containerfile, whose instructions are carried out in a folder, since there may be no engine
-- to build an image with; and the executable by itself.
local dkjson = require "dkjson"
local packages = require "spec.packages.support"
local support = require "spec.support"

local why_not = packages.why_not()

if why_not then
  describe("the container", function() it("runs", function() pending(why_not) end) end)
  return
end

local must = packages.must

--- Unpack an archive of the release; returns the folder.
local function unpacked(what)
  local folder = support.tempdir()
  must(("tar xzf %s/pgmig-*-%s.tar.gz -C %s --strip-components=1"):format(packages.release, what,
    folder))
  return folder
end

--- A JSON list of words, as the exec form of an instruction has it.
local function words(list)
  local found = {}
  for word in list:match "^%[(.*)%]$":gmatch '"([^"]*)"' do found[#found + 1] = word end
  return found
end

-- What each instruction does to an image: { root = folder, user, workdir, entrypoint, cmd }.
local instructions = {
  FROM = function(_, what) assert.equal("scratch", what) end,
  COPY = function(image, what)
    local from, to = what:match "^(%S+) (%S+)$"
    must(("mkdir -p %s%s && cp -a %s/%s %s%s"):format(image.root, to:match "^(.*)/", image.context,
      from, image.root, to))
  end,
  WORKDIR = function(image, what)
    image.workdir = what
    must(("mkdir -p %s%s"):format(image.root, what))
  end,
  USER = function(image, what) image.user = what end,
  ENTRYPOINT = function(image, what) image.entrypoint = words(what) end,
  CMD = function(image, what) image.cmd = words(what) end,
}

--- Carry out the instructions in a context.
local function build(context)
  local image = { root = support.tempdir(), context = context }
  for line in support.read(context .. "/Containerfile"):gmatch "[^\n]+" do
    local name, what = line:match "^(%u+) (.*)$"
    if not line:find "^#" then assert(instructions[name], line)(image, what) end
  end
  must("chmod 755 " .. image.root)
  return image
end

--- Run the image, with other words than its CMD; returns exit status and both outputs.
local function run(image, given, environment)
  local command = {}
  for _, list in ipairs { image.entrypoint, given or image.cmd } do
    for _, word in ipairs(list) do command[#command + 1] = word end
  end
  local user, group = image.user:match "^(%d+):(%d+)$"
  return support.run(("%senv -i %s unshare --root=%s --wd=%s --setuid=%s --setgid=%s %s"):format(
    support.timeout(60), environment or "", image.root, image.workdir, user, group,
    table.concat(command, " ")))
end

describe("the container", function()
  teardown(packages.stop)

  it("migrates as a user without rights, with nothing around it", function()
    local image = build(unpacked "container")
    local url = packages.database "container"
    support.run(("mkdir %s/work/migrations"):format(image.root)) -- as a volume would be mounted
    support.write(image.root, "work/migrations/001_a.sql", "CREATE TABLE a ();")
    local environment = "DATABASE_URL=" .. support.quote(url)
    local code, out, err = run(image, nil, environment)
    assert.same({ 0, "" }, { code, (err:gsub("^pgmig: database [^\n]*\n", "")) })
    assert.matches("0 applied, 1 pending", out)
    code, out = run(image, { "up" }, environment)
    assert.equal(0, code)
    assert.matches("applied +001_a", out)
    assert.equal("1", support.psql(url, "SELECT count(*) FROM pg_class WHERE relname = 'a'"))
    assert.equal("./usr/bin/pgmig\n",
      must(("cd %s && find . -type f -perm /111"):format(image.root)))
  end)

  it("has the licence of each component, which the list names with its version", function()
    local bom = dkjson.decode(support.read(packages.bom()))
    local folder = unpacked "container" .. "/licenses/"
    assert.is_true(#bom.components >= 7)
    for _, component in ipairs(bom.components) do
      local name, version = component.purl:match "^pkg:deb/debian/([^@]+)@([^?]+)"
      assert.is_true(#support.read(folder .. name) > 0, name)
      version = version:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)
      assert.equal(version, must("dpkg-query -W -f '${Version}' " .. name))
    end
    assert.is_true(#support.read(folder .. "pgmig") > 0)
  end)
end)

describe("the executable", function()
  teardown(packages.stop)

  it("migrates on a machine that has nothing else", function()
    local debian = packages.chroot()
    debian:copy(unpacked("linux-*") .. "/pgmig", "/usr/local/bin")
    debian:assert_program_works("pgmig", "executable")
    debian:remove()
  end)

  it("has a list of components that is valid", function()
    if support.run "[ -d build/validator ]" ~= 0 then
      return pending "needs npm, and build/validator of script/bootstrap --packages"
    end
    local function problem(path)
      return must(("NODE_PATH=build/validator/node_modules node spec/packages/validate.js %s")
        :format(path))
    end
    assert.equal("null\n", problem(packages.bom()))
    local wrong = support.read(packages.bom()):gsub('"LGPL%-2%.1%-or%-later"', '"LGPL"')
    assert.matches("licenses", problem(support.write(support.tempdir(), "wrong.json", wrong)))
  end)
end)
