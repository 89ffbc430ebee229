-- open: check that this user may do all that is needed, and that what lies under our names is ours and of
-- a version we know.
-- Input: {schema, types, needed}: `types` as {key, type, ...}, `needed` are commands as their words.
-- Answers {complaint, detail...}, {'NEW'} where there is nothing yet, or {'OK'}. It writes nothing, since
-- who only looks is answered by a server that takes no writes, too.
local schema, types, needed = input[1], input[2], input[3]
if redis.acl_check_cmd then -- since Redis 7
  for _, words in ipairs(needed) do
    if not redis.acl_check_cmd(unpack(words)) then
      return { 'DENIED', table.concat(words, ' ') }
    end
  end
end
for i = 1, #types, 2 do
  local found = redis.call('TYPE', P .. types[i]).ok
  if found ~= 'none' and found ~= types[i + 1] then
    return { 'FOREIGN', P .. types[i], found }
  end
end
local stored = redis.call('HGET', K.meta, 'schema')
if stored and tonumber(stored) ~= schema then
  return { 'SCHEMA', stored }
end
return { stored and 'OK' or 'NEW' }
