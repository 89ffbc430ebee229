-- queues: every queue's depth and state. See `Queue.queues`.
--
-- Input: {alive_ms, place}: `place` is '0', then what was answered last. Answers {place, oldest, counts,
-- paused, workers}: the next place, '0' at the end; since when the oldest job of some lanes waits, as
-- {queue, time, ...}; and at the first place the rest: `counts` as {name, value, ...}, `workers` that live
-- as register.lua packs them.
--
-- A member of a lane says since when its job waits. Of jobs whose order isn't that of their age, those
-- with a priority or a past, the first of each level are looked at.

local LANES = 500 -- in a slice, about
local FIRST, OF_LEVEL = 100, 8
local oldest = {}

local function since(value)
  local _, at = struct.unpack('>I6I6', value)
  return at
end

-- Whether a job is still queued, or was cancelled in its list. One that has only ever waited has no state.
local function is_queued(text)
  return not text or state_from(text).status == S.QUEUED
end

local function id_of(value)
  return string.sub(value, ID_AT)
end

local function oldest_fresh(key)
  for _, value in ipairs(redis.call('LRANGE', key, 1, FIRST)) do
    if is_queued(redis.call('HGET', K.states, id_of(value))) then
      return since(value)
    end
  end
end

local function oldest_back(key)
  local found
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  while first[1] do
    local level = level_of(tonumber(first[2]))
    local from = string.format('%.0f', level * LEVEL)
    local to = string.format('%.0f', (level + 1) * LEVEL)
    for _, value in ipairs(redis.call('ZRANGEBYSCORE', key, from, '(' .. to, 'LIMIT', 0, OF_LEVEL)) do
      found = math.min(found or since(value), since(value))
    end
    first = redis.call('ZRANGEBYSCORE', key, to, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  end
  return found
end

local function note(queue, at)
  if at and (not oldest[queue] or at < oldest[queue]) then
    oldest[queue] = at
  end
end

local following, lanes = unpack(redis.call('SSCAN', K.lanes, input[2], 'COUNT', LANES))
local firsts, ids, owners = {}, {}, {}
for _, lane in ipairs(lanes) do
  local first = redis.call('LINDEX', K.fresh .. lane, 0)
  if first then
    firsts[#firsts + 1], ids[#ids + 1], owners[#owners + 1] = first, id_of(first), lane
  end
  local at = oldest_back(K.back .. lane)
  if at then
    note(queue_of(lane), at)
  end
end
for i, text in ipairs(hmget(K.states, ids)) do
  local lane = owners[i]
  note(queue_of(lane), is_queued(text) and since(firsts[i]) or oldest_fresh(K.fresh .. lane))
end
local flat = {}
for queue, at in pairs(oldest) do
  flat[#flat + 1] = queue
  flat[#flat + 1] = at
end
if input[2] ~= '0' then
  return { following, flat }
end
local workers = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', K.seen, '(' .. (now - input[1]), '+inf')) do
  workers[#workers + 1] = redis.call('HGET', K.workers, id)
end
return {
  following, flat, redis.call('HGETALL', K.counts), redis.call('SMEMBERS', K.paused), workers,
}
