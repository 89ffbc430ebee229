-- workers: who was heard of since a time. See `Queue.workers`.
-- Input: {alive_ms}. Answers {info, seen_at, running, ...}: `info` as register.lua packs it.
local answer = {}
local seen = redis.call('ZRANGEBYSCORE', K.seen, '(' .. (now - input[1]), '+inf', 'WITHSCORES')
for i = 1, #seen, 2 do
  local size = #answer
  answer[size + 1] = redis.call('HGET', K.workers, seen[i])
  answer[size + 2] = tonumber(seen[i + 1])
  answer[size + 3] = tonumber(redis.call('HGET', K.load, seen[i]))
end
return answer
