-- idle: say that a worker waits for jobs, and learn when the next scheduled one comes due.
-- Input: {client}. Answers {1 if that wasn't known, else 0; milliseconds, or -1}.
local new = redis.call('SADD', K.idle, input[1])
local first = redis.call('ZRANGE', K.scheduled, 0, 0, 'WITHSCORES')
return { new, first[2] and tonumber(first[2]) or -1 }
