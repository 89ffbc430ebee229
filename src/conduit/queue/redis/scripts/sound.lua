-- For scripts that write as they go: see first that no key there is one of is somebody else's. T has
-- their types, by their names.
local function check_fixed()
  for name, wanted in pairs(T) do
    check_type(K[name], wanted)
  end
end
