-- pause_cron: pause or resume a schedule. See `Queue.pause_cron`.  Input: {name, paused}.
local stored = redis.call('HGET', K.crons, input[1])
if not stored then
  return 0
end
local cron = cmsgpack.unpack(stored)
cron[4] = input[2]
redis.call('HSET', K.crons, input[1], cmsgpack.pack(cron))
return 1
