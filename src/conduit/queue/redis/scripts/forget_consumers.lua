-- forget_consumers: take idle consumers out of a group. See `Queue.forget_consumers`.
-- Input: {group, idle_ms, only}; `only` is empty for all. Answers how many.
--
-- To delete a consumer is to lose what is pending with it: one that has anything stays.
local group, idle_ms, only = input[1], input[2], input[3]
local forgotten = 0
if redis.call('EXISTS', K.events) == 0 then
  return forgotten
end
for _, fields in ipairs(redis.call('XINFO', 'GROUPS', K.events)) do
  if fields[2] == group then
    for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', K.events, group)) do
      local name, held, idle = consumer[2], consumer[4], consumer[6]
      if held == 0 and idle >= idle_ms and (only == '' or only == name) then
        redis.call('XGROUP', 'DELCONSUMER', K.events, group, name)
        forgotten = forgotten + 1
      end
    end
  end
end
return forgotten
