-- unregister: a worker has stopped. See `Queue.unregister`.  Input: {id}.
check_fixed()
local record = redis.call('HGET', K.workers, input[1])
if record then
  redis.call('HDEL', K.workers, input[1])
  redis.call('HDEL', K.load, input[1])
  redis.call('ZREM', K.seen, input[1])
  redis.call('SREM', K.lost, input[1])
  redis.call('ZADD', K.names, now, cmsgpack.unpack(record)[1])
  put_down_crons({ [input[1]] = now })
  report('worker.stopped', input[1])
  commit()
end
return 1
