-- Rings: whose turn it is, for each kind of claim. Needs nothing but the names of the keys.
--
-- Workers that ask for the same functions from the same queues share a *subscription*. It has a ring of
-- its queues, by weight, and for each queue a ring of its functions that have jobs there: by level, then
-- by turn, the one first whose last turn is longest ago. What stands in a ring is a hint: a claim
-- corrects what it finds to be otherwise. What must never be is a lane with jobs that stands in no ring
-- of a subscription that has it, unless its function is paused: nobody would look there.

local LEVEL = 2 ^ 42 -- jobs and turns are numbered below this
local RESCUED, ORDINARY = 0, 1000

local STRIDE = 720720 -- a job moves a queue of weight 1 back so far; weights up to 16 divide it

local function stride_of(subscription, queue)
  local weight = tonumber(redis.pcall('HGET', K.weights .. subscription, queue)) or 1
  return math.max(1, math.floor(STRIDE / weight))
end

local roused = {} -- subscriptions for which there is something to claim

-- Give a queue its place in a subscription's ring: as if it had just given a job, so that nobody needs
-- to remember those that are idle.
local function join(subscription, queue)
  local ring = K.queue_ring .. subscription
  if not redis.pcall('ZSCORE', ring, queue) then
    local first = redis.call('ZRANGE', ring, 0, 0, 'WITHSCORES')
    local at = first[1] and tonumber(first[2]) - stride_of(subscription, first[1]) or 0
    redis.call('ZADD', ring, at + stride_of(subscription, queue), queue)
  end
  roused[subscription] = true
end

-- A lane has got its first job, or perhaps one of a better level: it stands in the rings from now on.
-- The job is kept by then, so a key that isn't ours refuses nothing here: the claim names it, and once it
-- is gone the sweep offers the lane again.
local function offer(queue, name, level)
  local found = redis.pcall('SINTER', K.served_by .. queue, K.wanted_by .. name)
  if #found == 0 or redis.pcall('SISMEMBER', K.paused_functions, name) == 1 then
    return
  end
  local turn = tonumber(redis.pcall('HINCRBY', K.meta, 'turn', 1)) or 0
  local paused = redis.pcall('SISMEMBER', K.paused, queue) == 1
  for i = 1, #found do
    local ring = K.ring .. found[i] .. ':' .. queue
    local added = redis.pcall('ZADD', ring, 'LT', level * LEVEL + turn, name)
    if type(added) == 'number' and not paused then
      join(found[i], queue)
    end
  end
end

-- Whether a lane stands in all rings that it should; also where that can't be told.
local function is_offered(queue, name)
  local paused = redis.pcall('SISMEMBER', K.paused, queue) == 1
  for _, subscription in ipairs(redis.pcall('SINTER', K.served_by .. queue, K.wanted_by .. name)) do
    local found = redis.pcall('ZSCORE', K.ring .. subscription .. ':' .. queue, name)
    if not found or not (paused or redis.pcall('ZSCORE', K.queue_ring .. subscription, queue)) then
      return redis.pcall('SISMEMBER', K.paused_functions, name) == 1
    end
  end
  return true
end

-- Workers that found nothing to do are in `idle`; nobody is told when all are busy.
local function rouse_workers()
  for subscription in pairs(roused) do
    local idle = K.idle .. subscription
    if redis.call('EXISTS', idle) == 1 and redis.call('PUBLISH', K.wake .. subscription, '') == 0 then
      redis.call('DEL', idle)
    end
  end
  roused = {}
end
