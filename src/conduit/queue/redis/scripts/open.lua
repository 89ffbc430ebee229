-- open: check that what lies under our names is ours, and of a version we know.
-- Input: {schema, types}: `types` as {key, type, ...}. Answers {complaint, detail...}, or 'OK'.
local schema, types = input[1], input[2]
for i = 1, #types, 2 do
  local found = redis.call('TYPE', P .. types[i]).ok
  if found ~= 'none' and found ~= types[i + 1] then
    return { 'FOREIGN', P .. types[i], found }
  end
end
local stored = redis.call('HGET', K.meta, 'schema')
if not stored then
  redis.call('HSET', K.meta, 'schema', schema)
elseif tonumber(stored) ~= schema then
  return { 'SCHEMA', stored }
end
return { 'OK' }
