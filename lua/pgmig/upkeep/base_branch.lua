--- What git has on the main branch: files there are others' already.
local errors = require "pgmig.errors"
local shell = require "pgmig.shell"

local M = {}

-- Where it is looked for, when nobody says what it is called.
local usual = { "origin/HEAD", "origin/main", "origin/master", "main", "master" }

--- What git says in a folder; "" where it has nothing to say.
local function git(dir, words)
  return shell.output(("{ git -C %s %s; } 2>/dev/null"):format(shell.path(dir), words))
end

local function commit_of(dir, name)
  return git(dir, "rev-parse --verify --quiet --end-of-options "
    .. shell.quote(name .. "^{commit}"))
end

--- The main branch of a folder's repository.
-- @param dir the folder
-- @param given its name, if somebody has said it
-- @return the name; nil where there is none, or no repository
-- @raise kind "usage" for a name that git does not know
function M.find(dir, given)
  if given and commit_of(dir, given) == "" then
    errors.raise("usage", ("git knows no branch %s in %s"):format(given, dir))
  end
  for _, name in ipairs(given and { given } or usual) do
    if commit_of(dir, name) ~= "" then return name end
  end
end

--- Whether a branch has a file.
-- @param dir its folder
-- @param branch of `M.find`
-- @param name the file's path in the folder
function M.has(dir, branch, name)
  local object = shell.quote(("%s:./%s"):format(branch, name))
  return git(dir, ("cat-file -e %s && echo there"):format(object)) == "there"
end

return M
