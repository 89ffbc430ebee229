-- resume: allow claims from a queue again, and tell the workers.  Input: {queue}.
if redis.call('SISMEMBER', K.paused, input[1]) == 1 then
  write('SREM', K.paused, input[1])
  report('queue.resumed', input[1])
end
woken[input[1]] = true
commit()
return 1
