-- unregister: a worker has stopped. See `Queue.unregister`.  Input: {id}.
check_fixed()
local record = redis.call('HGET', K.workers, input[1])
if record then
  redis.call('HDEL', K.workers, input[1])
  redis.call('HDEL', K.load, input[1])
  redis.call('ZREM', K.seen, input[1])
  redis.call('SREM', K.lost, input[1])
  redis.call('ZADD', K.names, now, cmsgpack.unpack(record)[1])
  read_roll()
  local all = redis.call('HGETALL', K.crons)
  for i = 1, #all, 2 do
    local cron = cron_from(all[i + 1])
    if cron.carriers[input[1]] then
      put_down(all[i], cron, input[1])
    end
  end
  report('worker.stopped', input[1])
  commit()
end
return 1
