-- unregister: a worker has stopped. See `Queue.unregister`.  Input: {id}.
if redis.call('HDEL', K.workers, input[1]) == 1 then
  redis.call('HDEL', K.load, input[1])
  redis.call('ZREM', K.seen, input[1])
  report('worker.stopped', input[1])
  commit()
end
return 1
