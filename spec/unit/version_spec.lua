local core = require "pgmig.core"
local migration = require "pgmig.files.migration"
local pgmig = require "pgmig"

describe("a version", function()
  it("has one form, whatever its zeros", function()
    assert.equal("1", core.version "001")
    assert.equal("0", core.version "000")
    assert.equal("20240115103000", core.version "20240115103000")
  end)

  it("has at most 38 digits", function()
    assert.equal(("9"):rep(38), core.version(("9"):rep(38)))
    assert.equal("1", core.version(("0"):rep(60) .. "1"))
    local ok, err = pcall(core.version, ("9"):rep(39))
    assert.is_false(ok)
    assert.is_true(pgmig.is_error(err, "naming"))
  end)

  it("is digits only", function()
    for _, text in ipairs { "", "1a", "-1", "1.5", " 1" } do
      assert.is_false(pcall(core.version, text))
    end
  end)

  it("is compared as a number", function()
    assert.equal(-1, core.compare("9", "10"))
    assert.equal(0, core.compare("7", "7"))
    assert.equal(1, core.compare("20240115103001", "20240115103000"))
    assert.equal(1, core.compare("100000000000000000000", "99999999999999999999"))
  end)

  it("is a number in Lua below 10^14, the string above", function()
    assert.equal(20240115103000, migration.new { id = "20240115103000" }.version)
    assert.equal("202401151030000", migration.new { id = "202401151030000" }.version)
    assert.equal("7", migration.new { id = "7" }.id)
  end)

  it("is told apart exactly when a script gives a number", function()
    assert.equal("20240115103000", migration.id_of(20240115103000))
    assert.equal("5", migration.id_of(5))
    assert.equal("5", migration.id_of "005")
  end)
end)

describe("a checksum", function()
  it("is SHA-256, as sha256sum prints it", function()
    assert.equal("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
      pgmig.checksum "abc")
    assert.equal("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
      pgmig.checksum "")
  end)

  it("does not depend on line ends or a BOM", function()
    local lf = pgmig.checksum "SELECT 1;\nSELECT 2;\n"
    assert.equal(lf, pgmig.checksum "SELECT 1;\r\nSELECT 2;\r\n")
    assert.equal(lf, pgmig.checksum "\239\187\191SELECT 1;\nSELECT 2;\n")
    assert.not_equal(lf, pgmig.checksum "SELECT 1;\rSELECT 2;\n")
  end)

  it("tells a lone CR from a line end, also at the end", function()
    assert.not_equal(pgmig.checksum "a", pgmig.checksum "a\r")
    assert.not_equal(pgmig.checksum "a\n", pgmig.checksum "a\r\r\n")
    assert.equal(pgmig.checksum "a\r\n", pgmig.checksum "a\n")
  end)
end)
