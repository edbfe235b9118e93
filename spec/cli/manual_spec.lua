-- Man page, completions and docs/cli.md know every command and option that --help knows.
local cli = require "spec.cli.helper"
local support = require "spec.support"

--- Commands and options of the help texts.
local function known()
  local commands, options = {}, {}
  local _, help = cli.run "--help"
  for names in help:match "\nCommands:\n(.-)\n\n":gmatch "\n?   (%l[%l, ]*%l)   " do
    for name in names:gmatch "%l+" do commands[#commands + 1] = name end
  end
  local texts = { help }
  for _, name in ipairs(commands) do texts[#texts + 1] = select(2, cli.run(name .. " --help")) end
  for _, text in ipairs(texts) do
    for option in text:gmatch "[%s,](%-%-%l[%l-]*)" do options[option] = true end
  end
  return commands, options
end

-- What stands before the name of an option in each shell's completion.
local completions = {
  ["completions/pgmig.bash"] = "--", ["completions/_pgmig"] = "--",
  ["completions/pgmig.fish"] = "-l ",
}

describe("the manual", function()
  local commands, options
  setup(function() commands, options = known() end)

  it("is compared with all that there is", function()
    assert.is_true(#commands >= 32)
    assert.is_true(options["--dry-run"] and options["--exit-code"] and options["--lock-timeout"])
  end)

  it("names every command and option in the man page", function()
    local page = support.read "man/pgmig.1"
    for _, name in ipairs(commands) do assert.matches("Cm " .. name, page, 1, true) end
    for option in pairs(options) do
      assert.matches("[FlO ,]%-?" .. option:sub(2):gsub("%-", "%%-"), page, nil, nil, option)
    end
  end)

  it("names every format in the man page and in the completions", function()
    local paths = { "man/pgmig.1" }
    for path in pairs(completions) do paths[#paths + 1] = path end
    for _, path in ipairs(paths) do
      local text = support.read(path):gsub("[%s\\]+", " ")
      for _, name in ipairs(require("pgmig.formats").names) do
        assert.is_truthy(text:find("[ (']" .. name:gsub("%-", "%%-") .. "[ )']"), path .. name)
      end
    end
  end)

  it("names every command and option in the completions", function()
    for path, dashes in pairs(completions) do
      local text = support.read(path) .. "\n"
      for _, name in ipairs(commands) do assert.matches(name, text, 1, true) end
      for option in pairs(options) do
        local name = (dashes .. option:sub(3)):gsub("%-", "%%-")
        assert.is_truthy(text:find(name .. "%f[^%w-]"), path .. " " .. option)
      end
    end
  end)

  it("names every command and option in docs/cli.md", function()
    local page = support.read "docs/cli.md"
    for _, name in ipairs(commands) do assert.is_truthy(page:find("`" .. name .. "[ `]"), name) end
    for option in pairs(options) do assert.is_truthy(page:find(option, 1, true), option) end
  end)

  it("is laid out without complaints", function()
    local code, _, err = support.run "groff -man -mdoc -ww -Tutf8 man/pgmig.1 >/dev/null"
    assert.same({ 0, "" }, { code, err })
  end)

  --- What bash offers behind some words.
  local function offered_by_bash(line)
    local _, out = support.run(([[source completions/pgmig.bash
      COMP_WORDS=(%s) COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
      _pgmig; printf '%%s ' "${COMPREPLY[@]}"]]):format(line))
    return out
  end

  --- What fish offers, without the descriptions.
  local function offered_by_fish(line)
    local _, out, err = support.run(([[HOME=%s fish --no-config -c 'source completions/pgmig.fish
      complete -C "%s" | string split --fields 1 \t']]):format(support.tempdir(), line))
    assert.equal("", err)
    return out == "" and " " or out:gsub("\n", " ")
  end

  --- A line completed to a single word.
  local function assert_completed(offered, folder)
    assert.equal("status ", offered "pgmig statu")
    assert.equal("--dry-run ", offered "pgmig --json up --dry")
    assert.equal("--all ", offered "pgmig rollback --al")
    assert.equal("resolve ", offered "pgmig res")
    assert.equal("--restart ", offered "pgmig resolve 3 --rest")
    assert.equal("missing=allow ", offered "pgmig --policy missing=a")
    assert.equal(folder .. " ", offered "pgmig --dir migr")
    assert.equal(" ", offered "pgmig up --to 3")
  end

  it("completes in bash", function() assert_completed(offered_by_bash, "migrations") end)

  it("completes in fish", function()
    assert_completed(offered_by_fish, "migrations/")
    assert.equal("--steps ", offered_by_fish "pgmig redo --st")
    assert.equal(" ", offered_by_fish "pgmig redo --exit")
    assert.equal("goose ", offered_by_fish "pgmig adopt --from goo")
    assert.equal("README.md ", offered_by_fish "pgmig check --facts READM")
  end)

  it("is read by zsh", function()
    local code, _, err = support.run "zsh -n completions/_pgmig"
    assert.same({ 0, "" }, { code, err })
  end)
end)
