local core = require "pgmig.core"
local dial = require "pgmig.db.dial"

local function resolve(name)
  local addresses = { one = { "192.0.2.1", "2001:db8::1" }, two = { "192.0.2.2" } }
  return addresses[name], "no such name"
end

--- The hosts of a connection's parameters, as libpq gets them: as text, or the error's.
local function listed(parameters)
  local keywords, values = {}, {}
  for keyword, value in pairs(parameters) do
    keywords[#keywords + 1], values[#values + 1] = keyword, value
  end
  local given = #keywords
  local ok, list = pcall(dial.hosts, { core.hosts(keywords, values) }, resolve)
  if not ok then return list.message end
  local k, v = dial.with_hosts(keywords, values, list)
  local added = {}
  for i = given + 1, #k do added[#added + 1] = k[i] .. "=" .. v[i] end
  return table.concat(added, " ")
end

describe("the hosts of a connection", function()
  it("are each of their addresses, and keep the name, for TLS", function()
    assert.equal("host=one,one hostaddr=192.0.2.1,2001:db8::1 port=5,5",
      listed { host = "one", port = "5" })
  end)

  it("are lists, URLs, sockets and addresses as libpq takes them", function()
    local all = "postgresql://u:p@two:1,one:2,%2Frun:3,192.0.2.9/d"
    assert.equal("host=two,one,one,/run,192.0.2.9 hostaddr=192.0.2.2,192.0.2.1,2001:db8::1,"
      .. ",192.0.2.9 port=1,2,2,3,", listed { dbname = all })
    assert.equal("host=::0:1 hostaddr=::1 port=1", listed { host = "::0:1", port = "1" })
  end)

  it("are looked up only where there is no address yet", function()
    assert.equal("host=nowhere,two hostaddr=192.0.2.7,192.0.2.2 port=1,1",
      listed { host = "nowhere,two", hostaddr = "192.0.2.7,", port = "1" })
    assert.equal("host=, hostaddr=192.0.2.7,192.0.2.8 port=1,1",
      listed { hostaddr = "192.0.2.7,192.0.2.8", port = "1" })
  end)

  it("are left to libpq for a socket, and where it refuses the lists", function()
    for _, parameters in ipairs {
      { host = "/run" }, { host = "@abstract" }, {},
      { host = "one,two", port = "1,2,3" }, { host = "one", hostaddr = "192.0.2.1,192.0.2.2" },
    } do assert.equal("", listed(parameters)) end
  end)

  it("leave out one that has no address, where there are others", function()
    assert.equal("host=two,/run hostaddr=192.0.2.2, port=2,3",
      listed { host = "three,two,/run", port = "1,2,3" })
    assert.equal("host=/run,/run hostaddr=, port=,", -- not the whole list, for want of values
      listed { host = "three,/run", port = "1," })
    assert.equal("host=two,two hostaddr=192.0.2.2,192.0.2.2 port=2,2",
      listed { host = "three,two", port = "1,2" })
  end)

  it("are named when none has an address", function()
    assert.equal("could not look up host three: no such name; could not look up host four: no such "
      .. "name", listed { host = "three,four" })
  end)
end)
