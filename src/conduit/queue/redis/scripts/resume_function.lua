-- resume_function: allow claims of a function's jobs again, and tell the workers.  Input: {name}.
local name = input[1]
if redis.call('SISMEMBER', K.paused_functions, name) == 1 then
  write('SREM', K.paused_functions, name)
  report('function.resumed', name)
end
for _, lane in ipairs(redis.call('SMEMBERS', K.lanes)) do
  local queue = queue_of(lane)
  if lane == lane_of(queue, name) then
    woken[queue] = true
  end
end
commit()
return 1
