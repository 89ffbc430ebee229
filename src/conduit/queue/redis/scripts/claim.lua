-- claim: lease queued jobs to a worker. See `Queue.claim`.
--
-- Input: {worker_id, queues, functions, limit, lease_ms, random, client}. Answers
-- {due, more, id, blob, state, extra, id, ...}: `due` is when the next scheduled job comes
-- due, or -1; `more` says that there may be something to claim at once.

local worker_id, queues = input[1], input[2]
local limit, lease_ms, random, client = input[4], input[5], input[6], input[7]
local ROUNDS = 20 -- in vain, meeting only members of jobs that left their lane
local MAX_BYTES = 4 * 1024 * 1024 -- of jobs in one answer; a larger one may come alone
local FEW, SMALL = 16, 16 * 1024 -- jobs are read so few at a time unless they are small

local paused = {}
for _, name in ipairs(redis.call('SMEMBERS', K.paused_functions)) do
  paused[name] = true
end
local functions = {} -- those wanted that aren't paused
for _, name in ipairs(input[3]) do
  if not paused[name] then
    functions[#functions + 1] = name
  end
end

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

local function goes_before(one, other)
  if one[1] ~= other[1] then
    return one[1] < other[1]
  elseif one[2] ~= other[2] then
    return one[2] < other[2]
  end
  return one[3] < other[3]
end

-- In order of precedence; at equal precedence functions take turns, the first of each before the
-- second of any. Of a lane that was read in part, `part` members, nothing is known beyond the last.
local function in_turn(lanes, part)
  local ranked, known_to = {}, nil
  for place = 1, #lanes do
    local level, turn = nil, 0
    for i, candidate in ipairs(lanes[place]) do
      local own = math.floor(candidate[1] / LEVEL)
      turn = own == level and turn + 1 or 0
      level = own
      local entry = { own, turn, place, candidate }
      ranked[#ranked + 1] = entry
      if i == part and (not known_to or goes_before(entry, known_to)) then
        known_to = entry
      end
    end
  end
  table.sort(ranked, goes_before)
  return ranked, known_to
end

-- The first members of a queue's lanes, as {lane, member, from the list}; nil when they are empty.
local function first_members(queue, room)
  local lanes, names = {}, {}
  local part = math.min(room, math.max(20, 2 * math.ceil(room / #functions)))
  for _, name in ipairs(functions) do
    local lane = lane_of(queue, name)
    local found = candidates(lane, part)
    if found then
      lanes[#lanes + 1], names[#names + 1] = found, lane
    end
  end
  if #lanes == 0 then
    return nil
  end
  local first = {}
  if #lanes == 1 then
    for _, candidate in ipairs(part < room and candidates(names[1], room) or lanes[1]) do
      first[#first + 1] = { names[1], candidate[2], candidate[3] }
    end
    return first
  end
  local ranked, known_to = in_turn(lanes, part)
  for i = 1, math.min(room, #ranked) do
    local lane, candidate = names[ranked[i][3]], ranked[i][4]
    first[i] = { lane, candidate[2], candidate[3] }
    if ranked[i] == known_to then
      break
    end
  end
  return first
end

local texts = {} -- the states of jobs that were alike before are alike after

local function lease(id, lane, st)
  local before = st
  local after = texts[lane] and texts[lane][before]
  if not after then
    local fence = (before.n or 0) + 1
    st = changed(before, {
      s = S.RUNNING, a = (before.f or 0) + (before.r or 0) + 1, n = fence,
      t = string.format('%d:%s', fence, random), w = worker_id, h = now, L = lane,
    })
    st.b = nil
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

local bytes, full = 0, false

local function take(queue, id, lane, st)
  local after = lease(id, lane, st)
  write_pair('ZADD', K.leases, now + lease_ms, id)
  event(E.STARTED, id, after[1], { w = worker_id })
  local extra, size = extra_of(id, after[1]), #answer
  answer[size + 1], answer[size + 2], answer[size + 3], answer[size + 4] =
    id, blobs[id], after[2], extra
  claimed = claimed + 1
  bytes = bytes + #blobs[id] + #extra
  count('q:', queue, -1)
  count('r:', queue, 1)
end

-- Claim what is still queued of some members, and remove them from their lanes; not all of them
-- when the answer becomes too large.
local function claim(queue, members)
  local at = 1
  while at <= #members do
    local small = claimed > 0 and bytes / claimed < SMALL
    local to = math.min(#members, at + (small and CHUNK or FEW) - 1)
    local ids = {}
    for i = at, to do
      ids[#ids + 1] = string.sub(members[i][2], 7)
    end
    load(ids)
    for i = at, to do
      if bytes > MAX_BYTES then
        full = true
        return
      end
      local id, lane = ids[i - at + 1], members[i][1]
      local st, counts = states[id], waits(id, string.sub(members[i][2], 1, 6))
      remove(lane, members[i][3])
      if counts and st.x and st.x <= now then
        expire(id, st, lane)
        write('ZREM', K.expiring, id)
        if st.A then
          cancel_dependants(id)
        end
      elseif counts then
        take(queue, id, lane, st)
      end
    end
    at = to + 1
  end
end

-- Drop what these lanes' lists begin with that no longer counts, many at a time: what a large cancel
-- leaves behind.
local function strip(members)
  local seen = {}
  for _, one in ipairs(members) do
    local lane = one[1]
    if one[3] and not seen[lane] then
      seen[lane] = true
      local first = taken_fresh[lane] or 0
      local found = redis.call('LRANGE', K.fresh .. lane, first, first + CHUNK - 1)
      local ids = {}
      for i, value in ipairs(found) do
        ids[i] = string.sub(value, 7)
      end
      load(ids)
      local many = 0
      while found[many + 1] and not waits(ids[many + 1], string.sub(found[many + 1], 1, 6)) do
        many = many + 1
      end
      taken_fresh[lane] = first + many
    end
  end
end

local vain = 0
for _, queue in ipairs(queues) do
  if not full and claimed < limit and redis.call('SISMEMBER', K.paused, queue) == 0 then
    while not full and claimed < limit and vain < ROUNDS do
      local members = first_members(queue, limit - claimed)
      if not members then
        break
      end
      local before = claimed
      claim(queue, members)
      if claimed == before then
        vain = vain + 1
        strip(members)
      end
    end
  end
end

if full or (claimed < limit and (vain == ROUNDS or promoted == 500)) then
  answer[2] = 1
elseif claimed < limit then
  redis.call('SADD', K.idle, client)
end
commit()
remove_taken()
return answer
