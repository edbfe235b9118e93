--- The Markdown files of the repository as one HTML site: each is a page at its own place, with
-- the anchors that GitHub gives to headings. cmark-gfm renders them.
local M = {}

local INDEX = "docs/README.md" -- its links are the navigation of every page

-- ---- files -----------------------------------------------------------------

local function output_of(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read "*a"
  assert(pipe:close(), command)
  return text
end

local function quote(word) return "'" .. word:gsub("'", "'\\''") .. "'" end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

--- The Markdown files, as sorted paths from the repository's root.
function M.files()
  local list = {}
  local found = output_of [[find . -name '*.md' -not -path './.git/*' -not -path './build*' \
    -not -path '*/node_modules/*']]
  for path in found:gmatch "%./([^\n]+)" do list[#list + 1] = path end
  table.sort(list)
  return list
end

--- The path that a link leads to, from the root.
-- @param from the file that has the link
-- @param path the link, without its anchor; "" is the file itself
-- @return nil where it leads out of the repository
function M.resolve(from, path)
  if path == "" then return from end
  local parts = {}
  for part in ((from:match "^.*/" or "") .. path):gmatch "[^/]+" do
    if part == ".." then
      if not table.remove(parts) then return nil end
    elseif part ~= "." then
      parts[#parts + 1] = part
    end
  end
  return table.concat(parts, "/")
end

-- ---- pages -----------------------------------------------------------------

local entities = { lt = "<", gt = ">", amp = "&", quot = '"' }

local function plain(html)
  return (html:gsub("<[^>]*>", ""):gsub("&(%a+);", entities))
end

--- The anchor of a heading, as GitHub makes it.
local function slug(heading, taken)
  local word = plain(heading):lower():gsub("[^%w_ \128-\255-]", ""):gsub(" ", "-")
  local count = taken[word]
  taken[word] = (count or 0) + 1
  return count and word .. "-" .. count or word
end

--- Render a file.
-- @param path from the root
-- @return its HTML, its anchors as a set, its title
function M.render(path)
  local taken, anchors, title = {}, {}, nil
  local html = output_of("cmark-gfm -e table -e autolink " .. quote(path))
  html = html:gsub("<h(%d)>(.-)</h%d>", function(level, heading)
    local anchor = slug(heading, taken)
    anchors[anchor], title = true, title or plain(heading)
    return ('<h%s id="%s">%s</h%s>'):format(level, anchor, heading, level)
  end)
  return html, anchors, title
end

--- Replace the links of a page that lead to files or anchors.
-- @param html the page
-- @param change fn(path, anchor) returns the new link, or nil to keep it; anchor may be nil
function M.each_link(html, change)
  return (html:gsub('(%f[%w]%a+=")([^"]*)"', function(attribute, link)
    if attribute ~= 'href="' and attribute ~= 'src="' then return nil end
    if link:find "^%a[%w+.-]*:" then return nil end
    local path, anchor = link:gsub("%%(%x%x)", function(hex)
      return string.char(tonumber(hex, 16))
    end):match "^([^#]*)#?(.*)$"
    local changed = change(path, anchor ~= "" and anchor or nil)
    return changed and attribute .. changed .. '"'
  end))
end

-- ---- the site --------------------------------------------------------------

--- The page that a Markdown file becomes.
local function page_of(path)
  return (path:gsub("README%.md$", "index.md"):gsub("%.md$", ".html"))
end

--- What leads from a page to the root.
local function up_from(path) return ("../"):rep(select(2, path:gsub("/", ""))) end

local function link_to_page(path, anchor)
  if not path:find "%.md$" then return nil end
  return page_of(path) .. (anchor and "#" .. anchor or "")
end

--- The index's links, as they are for a page that lies elsewhere.
local function navigation(up)
  local items = {}
  M.each_link(M.render(INDEX), function(path, anchor)
    local target = M.resolve(INDEX, path)
    if anchor or path == "" then return end
    local _, _, title = M.render(target)
    items[#items + 1] = ('<li><a href="%s%s">%s</a></li>'):format(up, page_of(target), title)
  end)
  return table.concat(items, "\n")
end

local PAGE = [[
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>%s</title>
<link rel="stylesheet" href="%sdocs/site.css">
</head>
<body>
<nav>
<ul>
<li><a href="%sdocs/index.html">Documentation</a></li>
<li><a href="%sreference.html">Lua reference</a></li>
</ul>
<ul>
%s
</ul>
</nav>
<main>
%s
</main>
</body>
</html>
]]

local function copy(path, folder)
  output_of(("mkdir -p %s && cp %s %s"):format(quote((folder .. "/" .. path):match "^.*/"),
    quote(path), quote(folder .. "/" .. path)))
end

local function write_page(path, folder, navigate)
  local html, _, title = M.render(path)
  local up = up_from(path)
  html = M.each_link(html, function(to, anchor)
    local target = M.resolve(path, to)
    if not target:find "%.md$" then copy(target, folder) end
    return link_to_page(to, anchor)
  end)
  local page = folder .. "/" .. page_of(path)
  output_of("mkdir -p " .. quote(page:match "^.*/"))
  write(page, PAGE:format(title, up, up, up, navigate(up), html))
end

--- Write all pages, and the files that they link to.
function M.build(folder)
  local known = {} -- navigation by depth
  local function navigate(up)
    known[up] = known[up] or navigation(up)
    return known[up]
  end
  copy("docs/site.css", folder)
  for _, path in ipairs(M.files()) do write_page(path, folder, navigate) end
end

return M
