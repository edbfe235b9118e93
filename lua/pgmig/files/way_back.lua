--- Files whose names say that they are a way back.
-- @module pgmig.files.way_back
local M = {}

local words = {
  down = "[._-]", undo = "[._-]", rollback = "[._-]", revert = "[._-]", downgrade = "[._-]",
  -- what a name may well end with when it is about something else
  reverse = "%.", backward = "%.", backwards = "%.", backout = "%.", unapply = "%.",
}

--- The word of a file's name that makes it a way back: `down` of `001_users.down.sql` or of
-- `001_users_down.sql`, also `undo`, `rollback`, `revert`, `downgrade` and, behind a dot, some
-- more, in any case.
-- @param path the file
-- @return the word in lower case, what joins it to the rest; nil: there is none
function M.word(path)
  local joint, word = path:match "^.*([._-])(%a+)%.[sS][qQ][lL]$" -- greedy: from the end
  word = word and word:lower()
  if words[word] and joint:find(words[word]) then return word, joint end
end

--- What to do with files of which one is the way back of another.
-- @param path the way back
-- @return a hint
function M.remedy(path)
  local word, joint = M.word(path)
  if word == "down" then
    return ("--format %s reads pairs of files (naming rule: pgmig.naming.paired); or put the DOWN "
      .. "statements after a line -- DOWN in the other file")
      :format(joint == "_" and "maragu" or "golang-migrate")
  end
  return "put it after a line -- DOWN in the file that it rolls back, or name the two files "
    .. ".up.sql and .down.sql, which --format golang-migrate reads (naming rule: "
    .. "pgmig.naming.paired)"
end

return M
