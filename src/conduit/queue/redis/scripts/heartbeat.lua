-- heartbeat: a worker lives. See `Queue.heartbeat`.  Input: {id, running}. Answers whether it is known.
if redis.call('HEXISTS', K.workers, input[1]) == 0 then
  return 0
end
redis.call('HSET', K.load, input[1], input[2])
redis.call('ZADD', K.seen, now, input[1])
redis.call('SREM', K.lost, input[1])
return 1
