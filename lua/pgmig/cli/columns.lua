--- Columns of a terminal: how many a text takes, and texts that are cut to fit.
local M = {}

local CHARACTER = "[%z\1-\127\194-\244][\128-\191]*"

-- First and last of the characters that take two columns (Unicode, East Asian Width: W and F; the
-- blocks of pictures as a whole), and of those that take none, marks on the one before.
local wide = {
  { 0x1100, 0x115F }, { 0x231A, 0x231B }, { 0x23E9, 0x23EC }, { 0x25FD, 0x25FE },
  { 0x2614, 0x2615 }, { 0x2648, 0x2653 }, { 0x26AA, 0x26AB }, { 0x26BD, 0x26BE },
  { 0x26C4, 0x26C5 }, { 0x26F2, 0x26F5 }, { 0x2705, 0x2705 }, { 0x270A, 0x270B },
  { 0x2728, 0x2728 }, { 0x274C, 0x274E }, { 0x2753, 0x2757 }, { 0x2795, 0x2797 },
  { 0x2B1B, 0x2B1C }, { 0x2B50, 0x2B55 }, { 0x2E80, 0x303E }, { 0x3041, 0x33FF },
  { 0x3400, 0x4DBF }, { 0x4E00, 0x9FFF }, { 0xA000, 0xA4CF }, { 0xA960, 0xA97F },
  { 0xAC00, 0xD7A3 }, { 0xF900, 0xFAFF }, { 0xFE10, 0xFE19 }, { 0xFE30, 0xFE6F },
  { 0xFF00, 0xFF60 }, { 0xFFE0, 0xFFE6 }, { 0x16FE0, 0x18DFF }, { 0x1AFF0, 0x1B2FF },
  { 0x1F004, 0x1F004 }, { 0x1F0CF, 0x1F0CF }, { 0x1F18E, 0x1F19A }, { 0x1F200, 0x1F64F },
  { 0x1F680, 0x1F6FF }, { 0x1F7E0, 0x1F7EB }, { 0x1F900, 0x1FAFF }, { 0x20000, 0x3FFFD },
}
local none = {
  { 0x0300, 0x036F }, { 0x0483, 0x0489 }, { 0x0591, 0x05BD }, { 0x0610, 0x061A },
  { 0x064B, 0x065F }, { 0x093C, 0x093C }, { 0x0941, 0x0948 }, { 0x094D, 0x094D },
  { 0x0E31, 0x0E31 }, { 0x0E34, 0x0E3A }, { 0x0E47, 0x0E4E }, { 0x1AB0, 0x1AFF },
  { 0x1DC0, 0x1DFF }, { 0x200B, 0x200F }, { 0x20D0, 0x20FF }, { 0x302A, 0x302D },
  { 0x3099, 0x309A }, { 0xFE00, 0xFE0F }, { 0xFE20, 0xFE2F }, { 0xE0100, 0xE01EF },
}

--- Whether a number is in one of the ranges, which are in order.
local function is_in(ranges, number)
  local low, high = 1, #ranges
  while low <= high do
    local middle = math.floor((low + high) / 2)
    local range = ranges[middle]
    if number < range[1] then
      high = middle - 1
    elseif number > range[2] then
      low = middle + 1
    else
      return true
    end
  end
  return false
end

local firsts = { 0, 0xC0, 0xE0, 0xF0 } -- what the first byte of so many has besides the number

local function number_of(char)
  local number = char:byte() - firsts[#char]
  for i = 2, #char do number = number * 64 + char:byte(i) - 128 end
  return number
end

local function width_of(char)
  if #char == 1 then return 1 end
  local number = number_of(char)
  if is_in(none, number) then return 0 end
  return is_in(wide, number) and 2 or 1
end

--- How many columns a text takes. It is valid UTF-8 without control characters.
function M.width(text)
  if not text:find "[\128-\255]" then return #text end
  local columns = 0
  for char in text:gmatch(CHARACTER) do columns = columns + width_of(char) end
  return columns
end

--- The beginning of a text that has room in so many columns.
-- @return it, and how many it takes
function M.head(text, columns)
  local kept, used = {}, 0
  for char in text:gmatch(CHARACTER) do
    local width = width_of(char)
    if used + width > columns then break end
    kept[#kept + 1], used = char, used + width
  end
  return table.concat(kept), used
end

--- The end of a text, likewise.
local function tail(text, columns)
  local chars, used = {}, 0
  for char in text:gmatch(CHARACTER) do chars[#chars + 1] = char end
  local at = #chars + 1
  while at > 1 and used + width_of(chars[at - 1]) <= columns do
    at = at - 1
    used = used + width_of(chars[at])
  end
  return table.concat(chars, "", at)
end

--- Whether the terminal's characters are UTF-8 (POSIX, section "Internationalization Variables").
function M.is_utf8()
  for _, name in ipairs { "LC_ALL", "LC_CTYPE", "LANG" } do
    local value = os.getenv(name)
    if value and value ~= "" then return value:lower():find "utf%-?8" ~= nil end
  end
  return false
end

local function ellipsis() return M.is_utf8() and "…" or "..." end

--- A text cut in its middle, where it does not fit: names differ at both ends.
function M.cut_middle(text, columns)
  if M.width(text) <= columns then return text end
  local dots = ellipsis()
  local room = columns - M.width(dots)
  if room < 2 then return (M.head(text, columns)) end
  local head, used = M.head(text, math.ceil(room / 2))
  return head .. dots .. tail(text, room - used)
end

--- A text cut at its end, where it does not fit.
function M.cut_end(text, columns)
  if M.width(text) <= columns then return text end
  local dots = ellipsis()
  return (M.head(text, columns - M.width(dots))) .. dots
end

return M
