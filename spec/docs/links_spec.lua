-- Links between the Markdown files lead to files and headings that exist, also on the site that
-- script/docs builds of them; and the README stays one page.
local site = require "docs.site"
local support = require "spec.support"

local LONGEST_README = 220 -- lines

local function is_file(path)
  local file = io.open(path, "rb")
  local first = file and file:read(1) -- nil of a folder
  if file then file:close() end
  return first ~= nil
end

--- Why a link of a Markdown file is dead, or nil.
local function fault(from, path, anchor)
  local target = site.resolve(from, path)
  if not target then return "leads out of the repository" end
  if not is_file(target) then return "no such file" end
  if not anchor then return nil end
  local _, anchors = site.render(target)
  return not anchors[anchor] and "no such heading" or nil
end

describe("the documents", function()
  it("have no dead links", function()
    local count, dead = 0, {}
    for _, from in ipairs(site.files()) do
      site.each_link(site.render(from), function(path, anchor)
        count = count + 1
        local why = fault(from, path, anchor)
        if why then
          dead[#dead + 1] = ("%s: %s%s: %s"):format(from, path, anchor and "#" .. anchor or "", why)
        end
      end)
    end
    assert.is_true(count > 100)
    assert.same({}, dead)
  end)

  it("name every page of docs/ in the index", function()
    local named = {}
    site.each_link(site.render "docs/README.md", function(path)
      named[site.resolve("docs/README.md", path)] = true
    end)
    for _, path in ipairs(site.files()) do
      if path:find "^docs/" and path ~= "docs/README.md" then assert.is_true(named[path], path) end
    end
  end)

  it("have a README of one page", function()
    local _, lines = support.read("README.md"):gsub("\n", "")
    assert.is_true(lines <= LONGEST_README, lines .. " lines")
  end)

  it("are built into a site whose links lead to its files", function()
    local code, out, err = support.run "script/docs"
    assert.same({ 0, "build/docs/index.html\n", "" }, { code, out, err })
    local _, pages = support.run "find build/docs -name '*.html'"
    local count, dead = 0, {}
    for page in pages:gmatch "[^\n]+" do
      site.each_link(support.read(page), function(path)
        count = count + 1
        local target = site.resolve(page, path)
        if not is_file(target) then dead[#dead + 1] = page .. ": " .. path end
      end)
    end
    assert.is_true(count > 500)
    assert.same({}, dead)
  end)
end)
