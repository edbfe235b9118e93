--- Modules that few runs need: each is loaded when one does, since reading them all takes longer
-- than finding that there is nothing to do.
-- @param name without `pgmig.`
-- @return what stands for the module: its functions, by name
return function(name)
  return setmetatable({}, { __index = function(_, key) return require("pgmig." .. name)[key] end })
end
