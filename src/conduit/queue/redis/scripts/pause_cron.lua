-- pause_cron: pause or resume a schedule. See `Queue.pause_cron`.  Input: {name, paused}.
local stored = redis.call('HGET', K.crons, input[1])
if not stored then
  return 0
end
local record = cron_from(stored)
if (record.paused or false) ~= input[2] then
  record.paused = input[2]
  if not input[2] then
    record.mark = math.max(record.mark, now) -- no tick up to here is made up for
  end
  put_cron(input[1], record)
  report(input[2] and 'cron.paused' or 'cron.resumed', input[1])
end
commit()
return 1
