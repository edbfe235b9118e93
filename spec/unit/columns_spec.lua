-- Columns of a terminal, and times as people read them.
local columns = require "pgmig.cli.columns"
local times = require "pgmig.cli.times"

describe("columns", function()
  it("are counted as a terminal counts them", function()
    for text, width in pairs {
      [""] = 0, ["abc"] = 3, ["straße"] = 6, ["日本語"] = 6, ["한국어"] = 6, ["ｆｕｌｌ"] = 8,
      ["e\204\129tat"] = 4, ["😀"] = 2, ["…"] = 1, ["Ω"] = 1, ["สวัสดี"] = 4,
    } do
      assert.equal(width, columns.width(text), text)
    end
  end)

  it("are never exceeded by a text that is cut, and no character is torn", function()
    for _, text in ipairs { "abcdefghijklmnop", "日本語の長い名前です", "aé日b😀cß語", "e\204\129\204\129" } do
      for width = 0, 20 do
        local middle = columns.cut_middle(text, width)
        assert.is_true(columns.width(middle) <= width, middle)
        assert.is_nil(middle:find "^[\128-\191]")
        local head, used = columns.head(text, width)
        assert.same({ columns.width(head), text }, { used, head .. text:sub(#head + 1) })
        if width >= columns.width(text) then assert.equal(text, middle) end
      end
    end
  end)
end)

describe("times", function()
  it("lose T and fraction; in the local zone they are the same moment", function()
    assert.equal("2024-05-01 12:00:00+00:00", times.shown "2024-05-01T12:00:00.123456+00:00")
    local function at(iso)
      local text = times.shown(iso, true)
      return text
    end
    assert.equal(at "2024-02-29T23:30:00+00:00", at "2024-03-01T05:00:00.5+05:30")
    assert.equal(at "1969-12-31T23:59:59+00:00", at "1969-12-31T20:29:59-03:30")
    assert.equal(os.date("%Y-%m-%d %H:%M:%S", 1709249400), at("2024-02-29T23:30:00+00"):sub(1, 19))
    assert.equal("infinity", at "infinity")
  end)
end)
