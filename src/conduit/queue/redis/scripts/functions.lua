-- functions: what workers have registered, and when a worker of each name was last heard of.
-- Input: {alive_ms}. Answers {infos, {worker, seen_at, ...}, paused names}; all that live count as seen
-- alike.
local seen = {}
local names = redis.call('ZRANGE', K.names, 0, -1, 'WITHSCORES')
for i = 1, #names, 2 do
  seen[names[i]] = tonumber(names[i + 1])
end
local ids = redis.call('ZRANGE', K.seen, 0, -1, 'WITHSCORES')
for i = 1, #ids, 2 do
  local name = cmsgpack.unpack(redis.call('HGET', K.workers, ids[i]))[1]
  seen[name] = math.max(seen[name] or 0, tonumber(ids[i + 1]))
end
local flat = {}
for name, at in pairs(seen) do
  flat[#flat + 1] = name
  flat[#flat + 1] = math.min(at, now - input[1])
end
return { redis.call('HVALS', K.functions), flat, redis.call('SMEMBERS', K.paused_functions) }
