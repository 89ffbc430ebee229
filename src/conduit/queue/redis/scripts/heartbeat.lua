-- heartbeat: a worker lives. See `Queue.heartbeat`.  Input: {id, running}.
if redis.call('HEXISTS', K.workers, input[1]) == 1 then
  redis.call('HSET', K.load, input[1], input[2])
  redis.call('ZADD', K.seen, now, input[1])
  redis.call('SREM', K.lost, input[1])
end
return 1
