-- pause_cron: pause or resume a schedule. See `Queue.pause_cron`.  Input: {name, paused}.
local stored = redis.call('HGET', K.crons, input[1])
if not stored then
  return 0
end
local cron = cmsgpack.unpack(stored)
if cron[4] ~= input[2] then
  cron[4] = input[2]
  write_pair('HSET', K.crons, input[1], cmsgpack.pack(cron))
  report(input[2] == 1 and 'cron.paused' or 'cron.resumed', input[1])
end
commit()
return 1
