-- idle: say that a worker waits for jobs, and learn when the next scheduled one comes due.
-- Input: {client, subscriptions}. Answers {1 if something of that wasn't known, else 0; milliseconds, or
-- -1}.
local client, new = input[1], 0
for _, subscription in ipairs(input[2]) do
  if redis.call('ZSCORE', K.subscriptions, subscription) then
    new = math.max(new, redis.call('SADD', K.idle .. subscription, client))
  else
    new = 1
  end
end
local first = redis.call('ZRANGE', K.scheduled, 0, 0, 'WITHSCORES')
return { new, first[2] and tonumber(first[2]) or -1 }
