-- claim: lease queued jobs to a worker. See `Queue.claim`, and rings.lua for whose turn it is.
--
-- Input: {worker_id, subscription, total, limit, lease_ms, random, client}: `total` is the sum of the
-- subscription's weights. Answers nil where it isn't known, else {due, more, id, blob, state, extra,
-- id, ...}: `due` is when the next scheduled job comes due, or -1; `more` says that there may be
-- something to claim at once.

local worker_id, subscription, total = input[1], input[2], input[3]
local limit, lease_ms, random, client = input[4], input[5], input[6], input[7]
local LOOKS = 1000 -- in vain: at lanes that others have emptied, at jobs that were cancelled or expire
local WIDE = 100 -- jobs looked at where those before were such
local TURN = 16 -- jobs of a lane in a turn, or its share of the claim if that is more
local MAX_BYTES = 4 * 1024 * 1024 -- of jobs in one answer; a larger one may come alone
local FEW, SMALL = 16, 16 * 1024 -- jobs are read so few at a time unless they are small
local USED_MS = 60 * 1000 -- so often a subscription is noted as used

local used = redis.call('ZSCORE', K.subscriptions, subscription)
if not used then
  return false
end
if math.abs(now - tonumber(used)) >= USED_MS then
  redis.call('ZADD', K.subscriptions, now, subscription)
end
redis.call('SREM', K.idle .. subscription, client)
local promoted, due = promote(500)
if promoted > 0 then
  commit()
  pending, pending_of, counted, entries, rows = {}, {}, {}, {}, {}
end

-- How many members of each lane are taken: always its first ones. They are removed at the end, when
-- nothing can go wrong any more.
local taken_fresh, taken_back = {}, {}

local function remove_taken()
  for lane, many in pairs(taken_fresh) do
    redis.call('LTRIM', K.fresh .. lane, many, -1)
  end
  for lane, many in pairs(taken_back) do
    redis.call('ZREMRANGEBYRANK', K.back .. lane, 0, many - 1)
  end
end

local function remove(lane, from_list)
  local counts = from_list and taken_fresh or taken_back
  counts[lane] = (counts[lane] or 0) + 1
end

-- The first members of a lane in order, as {score, member, from the list}.
local function candidates(lane, room)
  local first, front = taken_fresh[lane] or 0, taken_back[lane] or 0
  local fresh = redis.call('LRANGE', K.fresh .. lane, first, first + room - 1)
  local back = redis.call('ZRANGE', K.back .. lane, front, front + room - 1, 'WITHSCORES')
  if #fresh == 0 and #back == 0 then
    return nil
  end
  local merged, f, b = {}, 1, 1
  local ordinary = rank(ORDINARY, 0, 0)
  while #merged < room and (fresh[f] or back[b]) do
    local fresh_score = fresh[f] and ordinary + struct.unpack('>I6', fresh[f])
    local back_score = back[b] and tonumber(back[b + 1])
    if fresh_score and (not back_score or fresh_score < back_score) then
      merged[#merged + 1] = { fresh_score, fresh[f], true }
      f = f + 1
    else
      merged[#merged + 1] = { back_score, back[b], false }
      b = b + 2
    end
  end
  return merged
end

local texts = {} -- the states of jobs that were alike before are alike after

local function lease(id, queue, st)
  local before = st
  local after = texts[queue] and texts[queue][before]
  if not after then
    local fence = before.fence + 1
    st = changed(before, {
      status = S.RUNNING, attempt = before.failures + before.rescues + 1, fence = fence,
      token = string.format('%d:%s', fence, random), worker_id = worker_id, claimed_at = now,
      queue = queue, term = lease_ms,
    })
    st.started_at = nil
    st.progress, st.progress_message, st.reason = nil, nil, nil
    after = { st, packed(st) }
    texts[queue] = texts[queue] or {}
    texts[queue][before] = after
  end
  save(id, after[1], after[2])
  return after
end

local answer = { due or -1, 0 }
local claimed = 0

-- Whether a member of a lane counts. Its number tells a job from an earlier one of the same id.
local function waits(id, number)
  local st = states[id]
  return blobs[id] and st.status == S.QUEUED and string.sub(blobs[id], 1, 6) == number
end

local bytes, full = 0, false

local function take(queue, id, st)
  local after = lease(id, queue, st)
  write_pair('ZADD', K.leases, now + lease_ms, id)
  event(E.STARTED, id, after[1], { [NEWS.worker_id] = worker_id })
  local extra, size = extra_of(id, after[1]), #answer
  answer[size + 1], answer[size + 2], answer[size + 3], answer[size + 4] =
    id, blobs[id], after[2], extra
  claimed = claimed + 1
  bytes = bytes + #blobs[id] + #extra
  count('q:', queue, -1)
  count('r:', queue, 1)
end

-- Claim up to `room` of a lane's first members that are still queued, and remove what was looked at; less
-- when the answer becomes too large. How many were looked at.
local function claim(queue, lane, members, room)
  local at, most = 1, claimed + room
  while at <= #members do
    local small = claimed > 0 and bytes / claimed < SMALL
    local to = math.min(#members, at + (small and CHUNK or FEW) - 1)
    local ids = {}
    for i = at, to do
      ids[#ids + 1] = string.sub(members[i][2], ID_AT)
    end
    load(ids)
    for i = at, to do
      full = bytes > MAX_BYTES
      if full or claimed == most then
        return i - 1
      end
      local id = ids[i - at + 1]
      local st, counts = states[id], waits(id, string.sub(members[i][2], 1, 6))
      remove(lane, members[i][3])
      if counts and st.expires_at and st.expires_at <= now then
        expire(id, st, lane)
        write('ZREM', K.expiring, id)
        if st.awaited then
          cancel_dependants(id)
        end
      elseif counts then
        take(queue, id, st)
      end
    end
    at = to + 1
  end
  return #members
end

-- Drop what a lane's list begins with that no longer counts, many at a time: what a large cancel leaves
-- behind.
local function strip(lane)
  local first = taken_fresh[lane] or 0
  local found = redis.call('LRANGE', K.fresh .. lane, first, first + CHUNK - 1)
  local ids = {}
  for i, value in ipairs(found) do
    ids[i] = string.sub(value, ID_AT)
  end
  load(ids)
  local many = 0
  while found[many + 1] and not waits(ids[many + 1], string.sub(found[many + 1], 1, 6)) do
    many = many + 1
  end
  taken_fresh[lane] = first + many
end

-- --- turns ------------------------------------------------------------------------------------------

local queue_ring = K.queue_ring .. subscription
local emptied = {} -- lanes that have no more jobs, as {ring, name, lane}: they leave their ring at the end
local at_front = {} -- how many of these a ring begins with
local spent_queues = {} -- and queues without any other lane: they are the first of theirs
local weights, held = {}, {}
local in_vain = 0 -- looks since the last job
local barren = {} -- lanes whose first jobs weren't to be had

local function weight_of(queue)
  weights[queue] = weights[queue] or tonumber(redis.call('HGET', K.weights .. subscription, queue)) or 1
  return weights[queue]
end

local function is_paused(key, name)
  held[key] = held[key] or {}
  if held[key][name] == nil then
    held[key][name] = redis.call('SISMEMBER', key, name) == 1
  end
  return held[key][name]
end

local next_turn

-- Let a lane wait until all others of a level had their turn.
local function line_up(ring, name, level)
  next_turn = (next_turn or tonumber(redis.call('HGET', K.meta, 'turn')) or 0) + 1
  redis.call('ZADD', ring, level * LEVEL + next_turn, name)
end

-- The queue, its ring, the function whose turn it is, and the level that it is thought to have.
local function next_lane()
  while in_vain < LOOKS do
    in_vain = in_vain + 1
    local queue = redis.call('ZRANGE', queue_ring, #spent_queues, #spent_queues)[1]
    if not queue then
      return nil
    end
    local ring = K.ring .. subscription .. ':' .. queue
    local skipped = at_front[ring] or 0
    local first = redis.call('ZRANGE', ring, skipped, skipped, 'WITHSCORES')
    if is_paused(K.paused, queue) then
      redis.call('ZREM', queue_ring, queue) -- it comes back when it is resumed, as does a function
    elseif not first[1] then
      spent_queues[#spent_queues + 1] = queue
    elseif is_paused(K.paused_functions, first[1]) then
      redis.call('ZREM', ring, first[1])
    else
      return queue, ring, first[1], level_of(tonumber(first[2]))
    end
  end
end

-- How many jobs a lane may give in its turn.
local function turn_of(queue, ring, level)
  local lanes = redis.call(
    'ZCOUNT', ring, string.format('%.0f', level * LEVEL), string.format('(%.0f', (level + 1) * LEVEL)
  )
  local share = math.ceil(limit * weight_of(queue) / (total * math.max(lanes, 1)))
  return math.min(limit - claimed, math.max(share, math.min(TURN, math.ceil(limit / TURN))))
end

-- The first of some members, up to so many and all of one level.
local function of_one_level(found, most)
  local members = {}
  while #members < most and found[#members + 1]
    and level_of(found[#members + 1][1]) == level_of(found[1][1]) do
    members[#members + 1] = found[#members + 1]
  end
  return members
end

-- Claim of a lane what it gives in its turn.
local function visit(queue, ring, name, level)
  local lane, turn = lane_of(queue, name), turn_of(queue, ring, level)
  local look = barren[lane] and math.max(turn, WIDE) or turn
  local found = candidates(lane, look + 1)
  local own = found and level_of(found[1][1])
  if found and own > level then -- its best jobs are gone
    return line_up(ring, name, own)
  end
  local before = claimed
  local members = found and of_one_level(found, look) or {}
  local looked_at = claim(queue, lane, members, turn)
  local following = found and found[looked_at + 1]
  if claimed > before then
    in_vain = 0
    redis.call('ZINCRBY', queue_ring, (claimed - before) * stride_of(subscription, queue), queue)
  end
  if not following then
    emptied[#emptied + 1] = { ring, name, lane }
    at_front[ring] = (at_front[ring] or 0) + 1
  elseif claimed > before then
    line_up(ring, name, level_of(following[1]))
  elseif not full then
    in_vain = in_vain + looked_at
    barren[lane] = true
    strip(lane)
  end
end

while claimed < limit and not full do
  local queue, ring, name, level = next_lane()
  if not queue then
    break
  end
  visit(queue, ring, name, level)
end

if full or (claimed < limit and (in_vain >= LOOKS or promoted == 500)) then
  answer[2] = 1
elseif claimed < limit then
  redis.call('SADD', K.idle .. subscription, client)
end
if next_turn then
  redis.call('HSET', K.meta, 'turn', next_turn)
end
commit()
remove_taken()
for _, one in ipairs(emptied) do
  if redis.call('EXISTS', K.fresh .. one[3], K.back .. one[3]) == 0 then
    redis.call('ZREM', one[1], one[2])
  end
end
for _, queue in ipairs(spent_queues) do
  if redis.call('EXISTS', K.ring .. subscription .. ':' .. queue) == 0 then
    redis.call('ZREM', queue_ring, queue)
  end
end
return answer
