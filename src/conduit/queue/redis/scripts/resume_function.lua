-- resume_function: allow claims of a function's jobs again, and tell the workers.  Input: {name}.
local name = input[1]
if redis.call('SISMEMBER', K.paused_functions, name) == 1 then
  write('SREM', K.paused_functions, name)
  report('function.resumed', name)
end
local queues = {}
for _, subscription in ipairs(redis.call('SMEMBERS', K.wanted_by .. name)) do
  for _, queue in ipairs(redis.call('HKEYS', K.weights .. subscription)) do
    queues[queue] = true
  end
end
commit()
for queue in pairs(queues) do
  local level = head_level(lane_of(queue, name))
  if level then
    offer(queue, name, level)
  end
end
rouse_workers()
return 1
