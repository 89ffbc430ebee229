-- resume: allow claims from a queue again, and tell the workers.  Input: {queue}.
redis.call('SREM', K.paused, input[1])
woken[input[1]] = true
commit()
return 1
