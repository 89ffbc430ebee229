-- unlock: release a lock if the token holds it. See `Queue.unlock`.  Input: {name, token}.
local stored = redis.call('HGET', K.locks, input[1])
if stored and string.match(stored, '^%d+ (.*)$') == input[2] then
  redis.call('HDEL', K.locks, input[1])
  return 1
end
return 0
