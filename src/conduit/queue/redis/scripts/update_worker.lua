-- update_worker: what a worker says of itself has changed. See `Queue.update_worker`.
-- Input: {id, info}: JSON, without its times.
local record = redis.call('HGET', K.workers, input[1])
if record then
  local name, started_at = unpack(cmsgpack.unpack(record))
  redis.call('HSET', K.workers, input[1], cmsgpack.pack({ name, started_at, input[2] }))
end
return 1
