--- What `init` writes: the config file, and files for the CI of GitHub and of GitLab.
local version = require "pgmig.version"

local M = {}

-- ---- the config file -----------------------------------------------------------

local config = [[
-- Settings of pgmig. Flags, variables and .env count before these: `pgmig config` shows what is in
-- force. Put the database into DATABASE_URL, and its password into no file of the repository.
return {
  dir = %s,

%s
  -- How long a statement waits for a lock before it lets others go first and is tried again.
  -- lock_timeout = "5s",

  -- What a run does about files that are not as they were applied: "error", "warn" or "allow".
  -- policy = { out_of_order = "error" },

  -- Values of ${name} in the files.
  -- placeholders = { schema = os.getenv "APP_SCHEMA" or "app" },

  -- Where check, trace and verify try migrations: a server where databases may be created.
  -- scratch = "postgresql://postgres@localhost/postgres",

  -- What is called during a run; an error stops it.
  -- hooks = {
  --   before_each = function(ctx) print("next: " .. tostring(ctx.migration)) end,
  -- },
}
]]

local no_format = [[
  -- The format of the files: pgmig's own, or that of another tool, such as "dbmate".
  -- format = "pgmig",
]]

local function quoted(text) return ("%q"):format(text) end

--- A folder, or a list of them, in Lua.
local function dir_text(dirs)
  if #dirs == 1 then return quoted(dirs[1]) end
  local list = {}
  for i, dir in ipairs(dirs) do list[i] = quoted(dir) end
  return "{ " .. table.concat(list, ", ") .. " }"
end

--- The text of the config file.
-- @param dirs the folders
-- @param format the name of their format; nil: pgmig's own, or not known
function M.config(dirs, format)
  local said = format and ("  format = %s,\n"):format(quoted(format)) or no_format
  return (config:format(dir_text(dirs), said:gsub("%%", "%%%%")))
end

-- ---- CI ------------------------------------------------------------------------
-- Both do the same: with what the main branch has applied, the rest is checked, tried up and down
-- on a clone, and applied.

local install = [[
name="pgmig-$PGMIG_VERSION-linux-$(uname -m)"
curl -fsSL -O "$PGMIG_RELEASE_URL/$name.tar.gz" -O "$PGMIG_RELEASE_URL/SHA256SUMS"
sha256sum --check --ignore-missing SHA256SUMS
tar -xzf "$name.tar.gz"
]]

local apply_base = [[
git worktree add --detach "$BASE_DIR" "$BASE"
if [ -f "$BASE_DIR/pgmig.conf.lua" ]; then (cd "$BASE_DIR" && pgmig up); fi
]]

local github = [[
# Migrations: what the main branch has is applied to an empty database; what a pull request adds is
# checked, tried up and down on a clone, and applied.
name: migrations
on:
  pull_request:
  push:
    branches: [main, master]
permissions:
  contents: read
jobs:
  migrations:
    runs-on: ubuntu-latest
    services:
      postgres:
        image: postgres:17  # production's version
        env:
          POSTGRES_DB: app
          POSTGRES_PASSWORD: postgres
        ports:
          - 5432:5432
        options: --health-cmd pg_isready --health-interval 2s --health-retries 30
    env:
      DATABASE_URL: postgresql://postgres:postgres@localhost:5432/app
      PGMIG_SCRATCH: postgresql://postgres:postgres@localhost:5432/postgres
      PGMIG_VERSION: "@VERSION@"
      # A variable of the repository: where the files of pgmig's releases are.
      PGMIG_RELEASE_URL: ${{ vars.PGMIG_RELEASE_URL }}
    steps:
      - uses: actions/checkout@v4
        with:
          fetch-depth: 0
      - name: Install pgmig
        working-directory: ${{ runner.temp }}
        run: |
          @INSTALL@
          echo "$PWD/$name" >>"$GITHUB_PATH"
      - name: Apply what the main branch has
        if: github.event_name == 'pull_request'
        env:
          BASE: origin/${{ github.base_ref }}
          BASE_DIR: ${{ runner.temp }}/base
        run: |
          @BASE@
      - name: Check what is new
        run: pgmig check --report github
      - name: Try the way back
        run: pgmig verify --pending
      - name: Apply what is new
        run: pgmig up
]]

local gitlab = [[
# Migrations: what the main branch has is applied to an empty database; what a merge request adds is
# checked, tried up and down on a clone, and applied.
migrations:
  image: debian:12-slim
  services:
    - name: postgres:17  # production's version
      alias: postgres
  rules:
    - if: $CI_PIPELINE_SOURCE == "merge_request_event"
    - if: $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH
  variables:
    GIT_DEPTH: "0"
    POSTGRES_DB: app
    POSTGRES_PASSWORD: postgres
    DATABASE_URL: postgresql://postgres:postgres@postgres:5432/app
    PGMIG_SCRATCH: postgresql://postgres:postgres@postgres:5432/postgres
    PGMIG_VERSION: "@VERSION@"
    # Settings, CI/CD, Variables: PGMIG_RELEASE_URL, where the files of pgmig's releases are.
  before_script:
    - apt-get update
    - apt-get install -y --no-install-recommends ca-certificates curl git
    - cd /opt
    - |
      @INSTALL@
      export PATH="$PWD/$name:$PATH"
    - cd "$CI_PROJECT_DIR"
    - git config --global --add safe.directory "$CI_PROJECT_DIR"
    - pgmig wait
  script:
    - |
      BASE="${CI_MERGE_REQUEST_DIFF_BASE_SHA:-}" BASE_DIR=/opt/base
      if [ -n "$BASE" ]; then
        @BASE@
      fi
    - pgmig check
    - pgmig verify --pending
    - pgmig up
]]

--- A template with its marks replaced; a text of several lines is set in as its mark is.
local function filled(template, values)
  return (("\n" .. template):gsub("\n( *)@(%u+)@\n", function(indent, name)
    local text = values[name]
    if not text then return nil end
    return "\n" .. indent .. text:gsub("\n$", ""):gsub("\n", "\n" .. indent) .. "\n"
  end):gsub("@VERSION@", version):sub(2))
end

M.ci = {
  github = { path = ".github/workflows/pgmig.yml", template = github },
  gitlab = { path = ".gitlab-ci.yml", template = gitlab },
}

--- A file for a CI.
-- @param name "github" or "gitlab"
-- @return its path, and its text
function M.ci_file(name)
  local one = M.ci[name]
  return one.path, filled(one.template, { INSTALL = install, BASE = apply_base })
end

return M
