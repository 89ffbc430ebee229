-- resume: allow claims from a queue again, and tell the workers.  Input: {queue}.
if redis.call('SISMEMBER', K.paused, input[1]) == 1 then
  write('SREM', K.paused, input[1])
  report('queue.resumed', input[1])
end
local served_by = redis.call('SMEMBERS', K.served_by .. input[1])
commit()
for _, subscription in ipairs(served_by) do
  if redis.call('EXISTS', K.ring .. subscription .. ':' .. input[1]) == 1 then
    join(subscription, input[1])
  end
end
rouse_workers()
return 1
