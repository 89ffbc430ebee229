-- idle: say that a worker waits for jobs, and learn when the next scheduled one comes due.
-- Input: {client}. Answers milliseconds, or -1.
redis.call('SADD', K.idle, input[1])
local first = redis.call('ZRANGE', K.scheduled, 0, 0, 'WITHSCORES')
return first[2] and tonumber(first[2]) or -1
