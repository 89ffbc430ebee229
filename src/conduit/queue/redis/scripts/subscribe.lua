-- subscribe: make known what some workers claim, and fill its rings with the lanes that have jobs. See
-- rings.lua.
--
-- Input: {subscription, queues, functions, place}: `queues` as {name, weight, ...}; `place` is nil while
-- there is more to make known, then '0', then what was answered last. Answers the next place, '0' at the
-- end; from then on the subscription is known to claims.

local SLICE = 300 -- lanes, about
local subscription, queues, functions, place = input[1], input[2], input[3], input[4]
for i = 1, #queues, 2 do
  redis.call('HSET', K.weights .. subscription, queues[i], queues[i + 1])
  redis.call('SADD', K.served_by .. queues[i], subscription)
end
for i = 1, #functions do
  redis.call('SADD', K.wants .. subscription, functions[i])
  redis.call('SADD', K.wanted_by .. functions[i], subscription)
end
if not place then
  return '0'
end
local following, lanes = unpack(redis.call('SSCAN', K.lanes, place, 'COUNT', SLICE))
for _, lane in ipairs(lanes) do
  local queue, name = queue_of(lane), function_of(lane)
  if redis.call('HEXISTS', K.weights .. subscription, queue) == 1
    and redis.call('SISMEMBER', K.wants .. subscription, name) == 1 then
    local level = head_level(lane)
    if level then
      offer(queue, name, level)
    end
  end
end
if following == '0' then
  redis.call('ZADD', K.subscriptions, now, subscription)
end
rouse_workers()
return following
