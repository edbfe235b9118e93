-- What other tools write down of a file: facts of the tools themselves, and of the standards.
local core = require "pgmig.core"

describe("core.digest", function()
  local function is(expected, text, kind) assert.equal(expected, core.digest(text, kind)) end

  it("hashes as the standards say (FIPS 180-4, RFC 3174, RFC 1321)", function()
    is("a9993e364706816aba3e25717850c26c9cd0d89d", "abc", "sha1")
    is("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "abc", "sha256")
    is("cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134"
      .. "c825a7", "abc", "sha384")
    is("900150983cd24fb0d6963f7d28e17f72", "abc", "md5")
    is("da39a3ee5e6b4b0d3255bfef95601890afd80709", "", "sha1")
  end)

  it("has Flyway's CRC-32, which sees neither a byte order mark nor how lines end", function()
    for _, text in ipairs { "123456789", "\239\187\19112345\r\n6789\n" } do
      is("-873187034", text, "crc32")
    end
  end)

  -- of std::collections::hash_map::DefaultHasher, rustc 1.95: name.hash, version.hash, text.hash
  it("has SipHash-1-3 as Rust's standard library has it", function()
    is("9011118159008407467", "initial\255\1\0\0\0"
      .. "CREATE TABLE persons (id int, name varchar(255), city varchar(255));\255", "siphash13")
    is("12280711486795812089", "a\255\2\0\0\0\255", "siphash13")
    is("6210571221669138547", "add_cars\255\10\0\0\0SELECT 'é';\r\n\255", "siphash13")
  end)

  it("takes no other kind", function()
    assert.has_error(function() core.digest("abc", "md4") end)
  end)

  it("goes on behind each text of a list", function()
    assert.same({ "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=",
      "vvV+x/U6bUC+tkCngKY5yDvCmsipgW8fxsXG3Nk8RyE=" }, core.running_digests { "abc", "def" })
    assert.same({}, core.running_digests {})
    assert.has_error(function() core.running_digests { "a", {} } end)
  end)
end)
