local hosts = require "pgmig.hosts"

local function resolve(name)
  local addresses = { one = { "192.0.2.1", "2001:db8::1" }, two = { "192.0.2.2" } }
  return addresses[name], "no such name"
end

--- What is added to a connection's parameters: as text, or the error's.
local function added(parameters)
  local keywords, values = {}, {}
  for keyword, value in pairs(parameters) do
    keywords[#keywords + 1], values[#values + 1] = keyword, value
  end
  local given = #keywords
  local ok, err = pcall(hosts.look_up, keywords, values, resolve)
  if not ok then return err.message end
  local list = {}
  for i = given + 1, #keywords do list[#list + 1] = keywords[i] .. "=" .. values[i] end
  table.sort(list)
  return table.concat(list, " ")
end

describe("looking hosts up", function()
  it("adds every address, and keeps the name, for TLS", function()
    assert.equal("host=one,one hostaddr=192.0.2.1,2001:db8::1 port=5,5",
      added { host = "one", port = "5" })
  end)

  it("takes lists, URLs, sockets and addresses as libpq does", function()
    assert.equal("host=two,one,one,/run,192.0.2.9 hostaddr=192.0.2.2,192.0.2.1,2001:db8::1,, "
      .. "port=1,2,2,3,", added { dbname = "postgresql://u:p@two:1,one:2,%2Frun:3,192.0.2.9/d" })
  end)

  it("looks up only what has no address yet", function()
    assert.equal("host=nowhere,two hostaddr=192.0.2.7,192.0.2.2 port=1,1",
      added { host = "nowhere,two", hostaddr = "192.0.2.7,", port = "1" })
  end)

  it("adds nothing where there is nothing to look up, or libpq refuses the lists", function()
    for _, parameters in ipairs {
      { host = "/run" }, { host = "192.0.2.1,::1" }, { host = "@abstract" },
      { host = "one,two", port = "1,2,3" }, { host = "one", hostaddr = "192.0.2.1,192.0.2.2" },
    } do assert.equal("", added(parameters)) end
  end)

  it("leaves out a host that has no address, where there are others", function()
    assert.equal("host=two,/run hostaddr=192.0.2.2, port=2,3",
      added { host = "three,two,/run", port = "1,2,3" })
  end)

  it("names the hosts when none has an address", function()
    assert.equal("cannot look up the host three: no such name; "
      .. "cannot look up the host four: no such name", added { host = "three,four" })
  end)
end)
