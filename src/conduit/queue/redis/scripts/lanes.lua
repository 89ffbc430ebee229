-- Lanes: the queued jobs of one function in one queue, and the workers that wait for them.
--
-- New jobs of priority 0 are a list, which takes the least memory and is in the order of their
-- numbers by itself. All others are a sorted set beside it. A member is the number in six bytes,
-- then the id. What is found there counts only if the job's state says that it is queued: members
-- of cancelled jobs are left in the list.

local LEVEL = 2 ^ 42 -- jobs are numbered below this
local RESCUED, ORDINARY = 0, 1000

local function member(n, id)
  return struct.pack('>I6', n) .. id
end

local function rank(front, priority, n)
  return (front + 100 - priority) * LEVEL + n
end

local woken = {} -- queues in which there is something to claim

-- Put a job that comes back (promoted, released, retried, rescued) into its lane.
local function requeue(id, front)
  local n, _, priority, lane = header(blobs[id])
  write_pair('ZADD', K.back .. lane, rank(front, priority, n), member(n, id))
  write('SADD', K.lanes, lane)
  count('q:', queue_of(lane), 1)
  woken[queue_of(lane)] = true
end

-- A job that waits again may expire again; a sweep strikes out those that run at that time.
local function expire_again(id, st)
  if st.x then
    write_pair('ZADD', K.expiring, st.x, id)
  end
end

-- Workers that found nothing to do are in `idle`; nobody is told when all are busy.
local function wake_workers()
  if not next(woken) or redis.call('EXISTS', K.idle) == 0 then
    return
  end
  for queue in pairs(woken) do
    if redis.call('PUBLISH', K.wake, queue) == 0 then
      redis.call('DEL', K.idle)
    end
  end
end

afterwards[#afterwards + 1] = wake_workers
