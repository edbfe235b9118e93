-- Files compared with the checksums that were recorded of them: thousands are, by several threads,
-- and each has to get its own answer.
local core = require "pgmig.core"
local support = require "spec.support"

local PIECE = 65536 -- bytes that are read at once

describe("files that are compared with checksums", function()
  local dir

  setup(function() dir = support.tempdir() end)

  --- File number `i`: its path, a checksum, and what the answer has to be.
  local function make(i)
    local path = ("%s/%04d.sql"):format(dir, i)
    if i % 7 == 1 then return path, ("0"):rep(64), "unreadable" end -- there is none
    if i % 7 == 2 then
      assert(os.execute(("mkfifo '%s'"):format(path)))
      return path, ("0"):rep(64), "unreadable"
    end
    local length = ({ 0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE })[i % 6 + 1]
    local text = ("x"):rep(length) .. (i % 5 == 0 and "\r\n" or "") .. tostring(i)
    support.write(dir, ("%04d.sql"):format(i), text)
    if i % 7 == 3 then return path, core.checksum(text .. "edited"), "differs" end
    return path, core.checksum(text), "same"
  end

  it("get an answer each, however many there are", function()
    local paths, checksums, expected = {}, {}, {}
    for i = 1, 600 do paths[i], checksums[i], expected[i] = make(i) end
    for _ = 1, 20 do assert.same(expected, core.compare_files(paths, checksums)) end
    for i = 1, 20 do
      assert.same({ expected[i] }, core.compare_files({ paths[i] }, { checksums[i] }))
    end
    assert.same({}, core.compare_files({}, {}))
  end)

  it("are read whole, also where their size says nothing", function()
    local path = "/proc/self/limits" -- of 0 bytes, as it says
    local file = assert(io.open(path))
    local text = file:read "*a"
    file:close()
    assert.same({ "same" }, core.compare_files({ path }, { core.checksum(text) }))
  end)
end)
