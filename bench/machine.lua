--- The machine: what it is, and whether others use it.
local core = require "pgmig.core"
local shell = require "bench.shell"

local M = {}

local LOOK = 0.3 -- seconds that a look at the load takes

--- What is above this share of the processors is said to disturb.
M.QUIET = 0.05

--- One line about the hardware and the system.
function M.describe()
  local cpuinfo, meminfo = shell.read "/proc/cpuinfo", shell.read "/proc/meminfo"
  return ("%s, %s cores, %.0f GB, %s, Linux %s, %s on %s"):format(
    cpuinfo:match "model name%s*:%s*([^\n]+)" or "unknown processor", shell.output_of "nproc",
    tonumber(meminfo:match "MemTotal:%s*(%d+)") / 1048576,
    (shell.read "/etc/os-release" or ""):match 'PRETTY_NAME="([^"]+)"' or "unknown system",
    shell.output_of "uname -r",
    shell.output_of "stat --file-system --format=%T \"${TMPDIR:-/tmp}\"" or "unknown file system",
    "the temporary folder")
end

--- The room in the temporary folder, in GB.
function M.free_space()
  local line = shell.output_of "df --output=avail --block-size=1G \"${TMPDIR:-/tmp}\" | tail -n 1"
  return tonumber(line)
end

--- The load average of the last minute.
function M.load_average()
  return tonumber(shell.read("/proc/loadavg"):match "%S+")
end

--- Ticks of all processors: busy ones, and all. See proc(5), /proc/stat.
local function ticks()
  local values, all = {}, 0
  for value in shell.read("/proc/stat"):match("cpu ([^\n]*)"):gmatch "%d+" do
    values[#values + 1] = tonumber(value)
  end
  for i = 1, 8 do all = all + values[i] end -- the later ones are within these
  return all - values[4] - values[5], all -- idle, iowait
end

--- The share of the processors that is busy while we do nothing.
function M.busy_share()
  local busy, all = ticks()
  core.poll({}, {}, LOOK)
  local busy_then, all_then = ticks()
  return (busy_then - busy) / math.max(all_then - all, 1)
end

return M
