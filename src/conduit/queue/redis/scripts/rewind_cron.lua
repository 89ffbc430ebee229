-- rewind_cron: set back a mark that a wrong clock has set. See `Queue.rewind_cron`.
-- Input: {name, ahead_ms}. Answers whether this call did it.
local stored = redis.call('HGET', K.crons, input[1])
local record = stored and cron_from(stored)
local mark = record and math.max(record.mark, record.since)
if not record or mark <= now + input[2] then
  return 0
end
record.mark, record.since = math.min(record.mark, now), math.min(record.since, now)
put_cron(input[1], record)
report('cron.rewound', input[1], string.format('{"tick":%.0f}', mark))
commit()
return 1
