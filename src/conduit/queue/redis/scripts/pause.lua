-- pause: stop claims from a queue. See `Queue.pause`.  Input: {queue}.
if redis.call('SISMEMBER', K.paused, input[1]) == 0 then
  write('SADD', K.paused, input[1])
  report('queue.paused', input[1])
end
commit()
return 1
