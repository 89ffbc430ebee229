-- Lanes: the queued jobs of one function in one queue.
--
-- New jobs of priority 0 are a list, which takes the least memory and is in the order of their
-- numbers by itself. All others are a sorted set beside it. A member is the number in six bytes, in six
-- more since when the job waits, then the id. What is found there counts only if the job's state says
-- that it is queued: members of cancelled jobs are left in the list.

local ID_AT = 13 -- in a member

local function member(n, since, id)
  return struct.pack('>I6I6', n, since) .. id
end

local function rank(front, priority, n)
  return (front + 100 - priority) * LEVEL + n
end

local function level_of(score)
  return math.floor(score / LEVEL)
end

local ready = {} -- lanes that got jobs, each with its best level
local due_later = {} -- queues that have got scheduled jobs

local function make_ready(lane, level)
  ready[lane] = math.min(ready[lane] or level, level)
end

-- Put a job that comes back (promoted, released, retried, rescued) into its lane.
local function requeue(id, front, since)
  local n, _, priority, lane = header(blobs[id])
  local score = rank(front, priority, n)
  write_pair('ZADD', K.back .. lane, score, member(n, since, id))
  write('SADD', K.lanes, lane)
  count('q:', queue_of(lane), 1)
  make_ready(lane, level_of(score))
end

-- Take a job that is queued out of its lane. In the list it stays, and is passed over.
local function leave_lane(id, st)
  local n, at, _, lane = header(blobs[id])
  write('ZREM', K.back .. lane, member(n, st.run_at or at, id))
end

-- The level of a lane's first job; nil where it has none.
local function head_level(lane)
  local back = redis.pcall('ZRANGE', K.back .. lane, 0, 0, 'WITHSCORES')[2]
  local fresh = redis.call('EXISTS', K.fresh .. lane) == 1 and ORDINARY + 100
  local first = back and level_of(back)
  return first and fresh and math.min(first, fresh) or first or fresh or nil
end

-- A job that waits again may expire again; a sweep strikes out those that run at that time.
local function expire_again(id, st)
  if st.expires_at then
    write_pair('ZADD', K.expiring, st.expires_at, id)
  end
end

local function offer_lanes()
  for lane, level in pairs(ready) do
    offer(queue_of(lane), function_of(lane), level)
  end
  for queue in pairs(due_later) do -- and they are kept, as in `offer`
    for _, subscription in ipairs(redis.pcall('SMEMBERS', K.served_by .. queue)) do
      roused[subscription] = true
    end
  end
  ready, due_later = {}, {}
  rouse_workers()
end

afterwards[#afterwards + 1] = offer_lanes
