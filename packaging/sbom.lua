--- What is linked into the executable, as its packages tell: for script/release.
--
-- usage: lua5.4 packaging/sbom.lua packages BUILD                  the Debian packages, one a line
--        lua5.4 packaging/sbom.lua write BUILD VERSION EXECUTABLE  CycloneDX, on standard output
local dkjson = require "dkjson"

-- Licences by source package, for SPDX: what a package itself has of them is prose.
local licenses = {
  ["postgresql-15"] = "PostgreSQL",
  openssl = "Apache-2.0",
  ["lua5.4"] = "MIT",
  luajit2 = "MIT",
  glibc = "LGPL-2.1-or-later",
  ["gcc-12"] = "GPL-3.0-or-later WITH GCC-exception-3.1",
  ["lua-argparse"] = "MIT",
  ["lua-dkjson"] = "MIT",
}

local function output_of(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read "*a"
  assert(pipe:close(), command)
  return text
end

local function read(path)
  local file = assert(io.open(path))
  local text = file:read "*a"
  file:close()
  return text
end

--- The archives that the linker was given, and those that the compiler adds by itself.
local function archives(build)
  local list = {}
  local command = read(build .. "/CMakeFiles/pgmig-single.dir/link.txt")
  for path in command:gmatch "%f[^%s](/%S+%.a)%f[%s\0]" do
    if path:sub(1, #build) ~= build then list[#list + 1] = path end
  end
  for _, name in ipairs { "libc.a", "libgcc.a" } do
    list[#list + 1] = output_of("cc -print-file-name=" .. name):match "%S+"
  end
  return list
end

--- Files whose packages are asked for: archives, and the modules that are compiled in.
local function files(build)
  local list = archives(build)
  for _, name in ipairs { "argparse", "dkjson" } do
    list[#list + 1] = assert(package.searchpath(name, package.path))
  end
  return list
end

--- The package that has a file.
local function owner(path)
  local real = output_of(("readlink -f '%s'"):format(path)):match "[^\n]+"
  return output_of(("dpkg-query --search '%s'"):format(real)):match "^([^:]+)"
end

--- Packages, sorted: { name, version, architecture, source, source_version }.
local function packages(build)
  local seen, list = {}, {}
  for _, path in ipairs(files(build)) do
    local name = owner(path)
    if not seen[name] then
      seen[name] = true
      local fields = output_of(("dpkg-query --show --showformat='${Version} ${Architecture} "
        .. "${source:Package} ${source:Version}' %s"):format(name))
      local version, architecture, source, source_version =
        fields:match "^(%S+) (%S+) (%S+) (%S+)$"
      list[#list + 1] = { name = name, version = version, architecture = architecture,
        source = source, source_version = source_version }
    end
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

local function purl(package)
  return ("pkg:deb/debian/%s@%s?arch=%s&distro=debian-12"):format(package.name,
    (package.version:gsub("[+~:]", function(c) return ("%%%02X"):format(c:byte()) end)),
    package.architecture)
end

local function license(id)
  if id:find " " then return { { expression = id } } end
  return { { license = { id = id } } }
end

local function component(package)
  local id = licenses[package.source]
    or error("no licence is known of the source package " .. package.source)
  return {
    type = "library", ["bom-ref"] = purl(package), name = package.source,
    version = package.source_version, purl = purl(package), licenses = license(id),
  }
end

local function sha256(path) return (output_of(("sha256sum '%s'"):format(path)):match "^%x+") end

--- A number that is the same for the same executable, in the form of a UUID of version 8.
local function serial(hash)
  return ("urn:uuid:%s-%s-8%s-8%s-%s"):format(hash:sub(1, 8), hash:sub(9, 12), hash:sub(14, 16),
    hash:sub(18, 20), hash:sub(21, 32))
end

local function bom(build, version, executable)
  local hash, components, refs = sha256(executable), {}, {}
  for i, package in ipairs(packages(build)) do
    components[i] = component(package)
    refs[i] = components[i]["bom-ref"]
  end
  local itself = "pkg:generic/pgmig@" .. version
  return {
    bomFormat = "CycloneDX", specVersion = "1.5", serialNumber = serial(hash), version = 1,
    metadata = {
      timestamp = os.date("!%Y-%m-%dT%H:%M:%SZ", tonumber(os.getenv "SOURCE_DATE_EPOCH")),
      component = {
        type = "application", ["bom-ref"] = itself, name = "pgmig", version = version,
        purl = itself, licenses = license "MIT",
        hashes = { { alg = "SHA-256", content = hash } },
      },
    },
    components = components,
    dependencies = { { ref = itself, dependsOn = refs } },
  }
end

local order = { "bomFormat", "specVersion", "serialNumber", "version", "metadata", "timestamp",
  "component", "type", "bom-ref", "name", "purl", "licenses", "license", "id", "expression",
  "hashes", "alg", "content", "components", "dependencies", "ref", "dependsOn" }

local commands = {
  packages = function(build)
    for _, package in ipairs(packages(build)) do print(package.name) end
  end,
  write = function(...)
    print(dkjson.encode(bom(...), { indent = true, keyorder = order }))
  end,
}

assert(commands[arg[1]], "packages or write")(arg[2], arg[3], arg[4])
