-- tick: turn due ticks of schedules into jobs. See `Queue.tick`.
-- Input: {ticks}, each {cron, fingerprint, at, job}; a job as keep.lua says.
-- Answers per tick: 1 where this call made the job. Refuses all as keep.lua says.
local jobs, answers, marks = {}, {}, {}
for i, tick in ipairs(input[1]) do
  local cron = marks[tick[1]]
  if not cron then
    local stored = redis.call('HGET', K.crons, tick[1])
    cron = stored and cmsgpack.unpack(stored) or { '', '', 0, 0, '' }
    marks[tick[1]] = cron
  end
  answers[i] = 0
  if cron[2] == tick[2] and cron[3] < tick[3] then
    cron[3] = tick[3]
    write_pair('HSET', K.crons, tick[1], cmsgpack.pack(cron))
    if cron[4] == 0 then
      answers[i] = 1
      jobs[#jobs + 1] = tick[4]
      report('cron.ticked', tick[1], string.format('{"tick":%.0f}', tick[3]))
    end
  end
end
local kept, refusal = keep_all(jobs)
if not kept then
  return refusal
end
commit()
return answers
