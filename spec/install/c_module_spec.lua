-- What is said where the Lua files are there, as of opm or of a copy, and the C module cannot be
-- used: on both engines, by each module that programs begin with.
local pgmig = require "pgmig"
local support = require "spec.support"

local q = support.quote

--- What a module says when it is loaded, with C modules only from a folder, after other code.
local function said(interpreter, module, folder, before)
  local code, out, err = support.run(
    ("env -u LUA_PATH -u LUA_CPATH -u LUA_PATH_5_4 -u LUA_CPATH_5_4 %s -e %s"):format(interpreter,
      q(("package.path = 'lua/?.lua;lua/?/init.lua'; package.cpath = '%s/?.so'; %s "
        .. "print(select(2, pcall(require, '%s')))"):format(folder, before or "", module))))
  assert.same({ 0, "" }, { code, err })
  return out
end

describe("without a C module that fits", function()
  local folder

  setup(function()
    folder = support.tempdir()
    assert(os.execute("mkdir " .. folder .. "/pgmig"))
  end)

  for interpreter, name in pairs { ["lua5.4"] = "Lua 5.4", luajit = "LuaJIT" } do
    for _, module in ipairs { "pgmig", "pgmig.nginx", "pgmig.testing" } do
      it(("%s says on %s what to install"):format(module, name), function()
        assert.equal(("the C module pgmig.core is missing for %s: in a checkout, run script/build; "
          .. "elsewhere install the Debian package lua-pgmig or the rock pgmig (docs/install.md), "
          .. "and name its folder in LUA_CPATH\n"):format(name), said(interpreter, module, folder))
      end)
    end
  end

  it("names nginx's own setting in nginx", function()
    assert.matches("name its folder in lua_package_cpath\n$",
      said("luajit", "pgmig.nginx", folder, "ngx = {}"))
  end)

  it("tells the versions of Lua files and C module apart", function()
    local out = said("luajit", "pgmig", folder,
      "package.preload['pgmig.core'] = function() return { release = '0.0.1' } end")
    assert.matches("^the Lua files of pgmig are of version " .. pgmig._VERSION:gsub("%.", "%%.")
      .. ", the C module pgmig.core is of version 0.0.1: install ", out)
  end)

  it("names the library that the C module lacks", function()
    assert.equal(0, (support.run(([[cd %s && echo 'int here;' >a.c &&
      cc -shared -fPIC a.c -Wl,-soname,libgone.so.5 -o libgone.so &&
      cc -shared -fPIC a.c -Wl,--no-as-needed -L. -lgone -o pgmig/core.so]]):format(q(folder)))))
    assert.equal("the C module pgmig.core needs libgone.so.5: install libpq and OpenSSL, on Debian "
      .. "the packages libpq5 and libssl3\n", said("lua5.4", "pgmig", folder))
  end)
end)
