-- claim_stale: take over entries that have been pending for long. See `Queue.claim_stale`.
-- Input: {group, consumer, idle_ms, limit}. Answers {position, deliveries, fields, ...}.
--
-- XAUTOCLAIM looks at a part of what is pending per call; only its cursor leads through the rest.
local group, consumer, idle_ms, limit = input[1], input[2], input[3], input[4]
local answer, taken, cursor = {}, 0, '0-0'
repeat
  local found = redis.call(
    'XAUTOCLAIM', K.events, group, consumer, idle_ms, cursor, 'COUNT', limit - taken
  )
  cursor = found[1]
  for _, entry in ipairs(found[2]) do
    if entry and entry[2] then
      local told = redis.call('XPENDING', K.events, group, entry[1], entry[1], 1)
      local size = #answer
      answer[size + 1], answer[size + 2], answer[size + 3] = entry[1], told[1][4], entry[2]
      taken = taken + 1
    end
  end
until cursor == '0-0' or taken >= limit
return answer
