-- claim: lease queued jobs to a worker. See `Queue.claim`.
--
-- Input: {worker_id, queues, functions, limit, lease_ms, random, client}. Answers
-- {due, more, id, blob, state, extra, id, ...}: `due` is when the next scheduled job comes
-- due, or -1; `more` says that there may be something to claim at once.

local worker_id, queues, functions = input[1], input[2], input[3]
local limit, lease_ms, random, client = input[4], input[5], input[6], input[7]
local ROUNDS = 20 -- a round is in vain where it meets only members of jobs that left their lane

redis.call('SREM', K.idle, client)
local promoted, due = promote(500)
if promoted > 0 then
  commit()
  pending, pending_of, counted, entries, rows, woken = {}, {}, {}, {}, {}, {}
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

-- The first members of a lane in order, as {score, member, from the list}; by the list's order
-- alone where nothing came back.
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

-- In order of precedence; at equal precedence functions take turns, the first of each before the
-- second of any.
local function in_turn(lanes)
  local ranked = {}
  for place = 1, #lanes do
    local level, turn = nil, 0
    for _, candidate in ipairs(lanes[place]) do
      local own = math.floor(candidate[1] / LEVEL)
      turn = own == level and turn + 1 or 0
      level = own
      ranked[#ranked + 1] = { own, turn, place, candidate }
    end
  end
  table.sort(ranked, function(one, other)
    if one[1] ~= other[1] then
      return one[1] < other[1]
    elseif one[2] ~= other[2] then
      return one[2] < other[2]
    end
    return one[3] < other[3]
  end)
  return ranked
end

-- Take the first members of a queue's lanes; nil when the lanes are empty.
local function take(queue, room)
  local lanes, names = {}, {}
  for _, name in ipairs(functions) do
    local lane = lane_of(queue, name)
    local found = candidates(lane, room)
    if found then
      lanes[#lanes + 1], names[#names + 1] = found, lane
    end
  end
  if #lanes == 0 then
    return nil
  end
  local taken = {}
  local function note(lane, candidate)
    taken[#taken + 1] = { lane, candidate[2] }
    local counts = candidate[3] and taken_fresh or taken_back
    counts[lane] = (counts[lane] or 0) + 1
  end
  if #lanes == 1 then
    for _, candidate in ipairs(lanes[1]) do
      note(names[1], candidate)
    end
  else
    local ranked = in_turn(lanes)
    for i = 1, math.min(room, #ranked) do
      note(names[ranked[i][3]], ranked[i][4])
    end
  end
  return taken
end

local texts = {} -- the states of jobs that were alike before are alike after

local function lease(id, lane, st)
  local before = st
  local after = texts[lane] and texts[lane][before]
  if not after then
    local fence = (before.n or 0) + 1
    st = changed(before, {
      s = S.RUNNING, a = (before.f or 0) + (before.r or 0) + 1, n = fence,
      t = string.format('%d:%s', fence, random), w = worker_id, b = now, L = lane,
    })
    st.l = lease_ms ~= LEASE_MS and lease_ms or nil
    st.p, st.m, st.y = nil, nil, nil
    after = { st, cmsgpack.pack(st) }
    texts[lane] = texts[lane] or {}
    texts[lane][before] = after
  end
  save(id, after[1], after[2])
  return after
end

local answer = { due or -1, 0 }
local claimed = 0

-- Whether a member of a lane counts. Its number tells a job from an earlier one of the same id.
local function waits(id, number)
  local st = states[id]
  return blobs[id] and st.s == S.QUEUED and string.sub(blobs[id], 1, 6) == number
end

-- Claim what is still queued of the members taken.
local function claim(queue, taken)
  local ids = {}
  for i = 1, #taken do
    ids[i] = string.sub(taken[i][2], 7)
  end
  load(ids)
  for i = 1, #taken do
    local id, lane = ids[i], taken[i][1]
    local st, counts = states[id], waits(id, string.sub(taken[i][2], 1, 6))
    if counts and st.x and st.x <= now then
      expire(id, st, lane)
      write('ZREM', K.expiring, id)
    elseif counts then
      local after = lease(id, lane, st)
      write_pair('ZADD', K.leases, now + lease_ms, id)
      event(E.STARTED, id, after[1], { w = worker_id })
      local size = #answer
      answer[size + 1], answer[size + 2], answer[size + 3] = id, blobs[id], after[2]
      answer[size + 4] = extra_of(id, after[1])
      claimed = claimed + 1
      count('q:', queue, -1)
      count('r:', queue, 1)
    end
  end
end

-- Drop the members that a queue's lists begin with and that no longer count, many at a time: what a
-- large cancel leaves behind.
local function strip(queue)
  for _, name in ipairs(functions) do
    local lane = lane_of(queue, name)
    local first = taken_fresh[lane] or 0
    local members = redis.call('LRANGE', K.fresh .. lane, first, first + CHUNK - 1)
    local ids = {}
    for i, value in ipairs(members) do
      ids[i] = string.sub(value, 7)
    end
    load(ids)
    local many = 0
    while members[many + 1] and not waits(ids[many + 1], string.sub(members[many + 1], 1, 6)) do
      many = many + 1
    end
    taken_fresh[lane] = first + many
  end
end

local rounds = 0
for _, queue in ipairs(queues) do
  if claimed < limit and redis.call('SISMEMBER', K.paused, queue) == 0 then
    while claimed < limit and rounds < ROUNDS do
      local taken = take(queue, limit - claimed)
      if not taken then
        break
      end
      rounds = rounds + 1
      local before = claimed
      claim(queue, taken)
      if claimed == before then
        strip(queue)
      end
    end
  end
end

if claimed < limit then
  if rounds == ROUNDS or promoted == 500 then
    answer[2] = 1
  else
    redis.call('SADD', K.idle, client)
  end
end
remove_taken()
commit()
return answer
