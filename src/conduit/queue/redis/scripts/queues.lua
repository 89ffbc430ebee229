-- queues: every queue's depth and state. See `Queue.queues`.
--
-- Input: {alive_ms}. Answers {counts, paused, workers, oldest}: `counts` and `oldest` as
-- {name, value, ...}, `workers` that live as register.lua packs them. The oldest of a lane is looked for among its first members.

local LOOK = 100
local oldest = {}
for _, lane in ipairs(redis.call('SMEMBERS', K.lanes)) do
  local queue = queue_of(lane)
  local members = redis.call('LRANGE', K.fresh .. lane, 0, LOOK - 1)
  for _, value in ipairs(redis.call('ZRANGE', K.back .. lane, 0, LOOK - 1)) do
    members[#members + 1] = value
  end
  local ids = {}
  for i, value in ipairs(members) do
    ids[i] = string.sub(value, 7)
  end
  load(ids)
  for i, id in ipairs(ids) do
    local st = blobs[id] and states[id]
    if st and st.s == S.QUEUED and string.sub(blobs[id], 1, 6) == string.sub(members[i], 1, 6) then
      local _, at = header(blobs[id])
      local due = st.R or at
      if not oldest[queue] or due < oldest[queue] then
        oldest[queue] = due
      end
    end
  end
end
local workers = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', K.seen, '(' .. (now - input[1]), '+inf')) do
  workers[#workers + 1] = redis.call('HGET', K.workers, id)
end
local flat = {}
for queue, due in pairs(oldest) do
  flat[#flat + 1] = queue
  flat[#flat + 1] = due
end
return {
  redis.call('HGETALL', K.counts), redis.call('SMEMBERS', K.paused),
  workers, flat,
}
