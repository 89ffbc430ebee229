-- Keeping new jobs: shared by submit, start and tick.
--
-- A job comes as {id, queue, function, args, rest, priority, delay_ms, run_at, expires_ms, key,
-- unique_ms, max_deliveries, metadata, after}: `rest` is the JSON of what scripts needn't know, or of
-- what they seldom look at, `metadata` an array of JSON names and values, or nil, `after` one of ids,
-- each once.

local function same(blob, job)
  local _, _, _, lane, args, at = struct.unpack('>I6I6BI2c0I4c0', blob)
  local rest = string.sub(blob, at)
  local alike = rest == job[5] or cjson.encode(after_in(rest)) == cjson.encode(after_in(job[5]))
  return alike and lane == lane_of(job[2], job[3]) and args == job[4]
end

local NONE = {}

-- Those that a new job waits for, and the first of them that has ended without completing; or nil
-- and the id of one that isn't stored.
local function unfinished_of(job)
  if not job[14] then
    return NONE, nil
  end
  local unfinished, ended = {}, nil
  for _, awaited in ipairs(job[14]) do
    local st = state_of(awaited)
    if not st then
      return nil, awaited
    end
    if st.s ~= S.COMPLETED then
      unfinished[#unfinished + 1] = awaited
      ended = ended or finished(st) and awaited or nil
    end
  end
  return unfinished, ended
end

local function metadata_json(pairs_)
  local parts = {}
  for i = 1, #pairs_, 2 do
    parts[#parts + 1] = pairs_[i] .. ':' .. pairs_[i + 1]
  end
  return '{' .. table.concat(parts, ',') .. '}'
end

-- The state that a new job needs stored; nil for the plainest. It waits for `waits_for` others.
local function first_state(job, lane, run_at, waits_for)
  local delayed = run_at > now
  local due = run_at ~= now and run_at or nil
  local expires_at = job[9] and now + job[9] or nil
  local unique_until = job[11] and now + job[11] or nil
  local deliveries = job[12] ~= MAX_DELIVERIES and job[12] or nil
  local noted = job[13] and 1 or nil
  local awaits = waits_for > 0 and waits_for or nil
  if not (due or expires_at or unique_until or deliveries or noted or job[10] or awaits) then
    return nil
  end
  return {
    s = awaits and S.BLOCKED or delayed and S.SCHEDULED or S.QUEUED, q = 1, Q = job[2], R = due,
    x = expires_at, u = unique_until, D = deliveries, d = noted, k = job[10] or nil, W = awaits,
  }
end

local function blob_of(job, n)
  local lane, args = lane_of(job[2], job[3]), job[4]
  return struct.pack('>I6I6BI2', n, now, job[6] + 100, #lane)
    .. lane .. struct.pack('>I4', #args) .. args .. job[5]
end

local unfinished, ended = {}, {} -- by the id of a new job: what `unfinished_of` says of it

-- Store a job that isn't there yet, under number n; its state.
local function keep(job, n)
  local id, args, rest, priority = job[1], job[4], job[5], job[6]
  local lane = lane_of(job[2], job[3])
  local run_at = job[8] or now + job[7]
  local st = first_state(job, lane, run_at, #(unfinished[id] or NONE))
  blobs[id], states[id] = blob_of(job, n), st or FRESH
  write_pair('HSET', K.jobs, id, blobs[id])
  if st then
    save(id, st)
  end
  if job[13] then
    local list = collect('HSET', K.metadata .. id)
    for i = 1, #job[13] do
      list[i] = job[13][i]
    end
  end
  if job[10] then
    take_key(job[10], id)
  end
  if st and st.x then
    write_pair('ZADD', K.expiring, st.x, id)
  end
  event(E.SUBMITTED, id, states[id], {
    L = lane, A = args, j = rest ~= '' and rest or nil, P = priority ~= 0 and priority or nil,
    R = st and st.R, x = st and st.x, D = st and st.D, M = job[13] and metadata_json(job[13]),
  }, #args)
  for _, awaited in ipairs(unfinished[id] or NONE) do
    wait_for(id, awaited)
  end
  if ended[id] then
    cancel_dependant(id, st, ended[id])
  end
  return states[id], lane
end

-- Put a job that was just kept where it waits.
local function line_up(job, n, st, lane)
  local id, queue = job[1], job[2]
  if st.s == S.CANCELLED then
    return -- over at once, because of one that it was to wait for
  end
  count(st.s .. ':', queue, 1)
  if st.s == S.BLOCKED then
    return
  elseif st.s == S.SCHEDULED then
    write_pair('ZADD', K.scheduled, st.R, id)
  elseif job[6] == 0 then
    write('RPUSH', K.fresh .. lane, member(n, st.R or now, id))
  else
    write_pair('ZADD', K.back .. lane, rank(ORDINARY, job[6], n), member(n, st.R or now, id))
  end
  if st.s == S.SCHEDULED then
    due_later[queue] = true
  else
    make_ready(lane, ORDINARY + 100 - job[6])
  end
end

local lanes_seen = {}

local function know_lane(lane)
  if not lanes_seen[lane] then
    lanes_seen[lane] = true
    write('SADD', K.lanes, lane)
  end
end

-- What stands for a new job until it has its number, which comes in one step for all: it is in the
-- way of its doubles, and others may wait for it. The id of what it waits for and isn't stored, if any.
local function announce(job)
  local id = job[1]
  local awaits, other = unfinished_of(job)
  if not awaits then
    return other
  end
  unfinished[id], ended[id] = awaits, other
  blobs[id] = blob_of(job, 0)
  states[id] = other and { s = S.CANCELLED, u = job[11] and now + job[11] } or FRESH
  if job[10] then
    key_holders[job[10]] = id
  end
  return nil
end

-- Keep a batch. Answers one value per job: the id under which it runs; or nil and what to answer:
-- {'CONFLICT', id} of a job that is stored already with other contents, or {'MISSING', id, awaited} of
-- one that was to wait for one that isn't stored. Then nothing may be committed.
local function keep_all(jobs)
  local ids = {}
  for i = 1, #jobs do
    ids[i] = jobs[i][1]
  end
  load(ids)
  local answers, new = {}, {}
  for i = 1, #jobs do
    local job = jobs[i]
    local id = job[1]
    if blobs[id] then
      if not same(blobs[id], job) then
        return nil, { 'CONFLICT', id }
      end
      answers[i] = id
    else
      answers[i] = job[10] and holder_of(job[10]) or id
      if answers[i] == id then
        local missing = announce(job)
        if missing then
          return nil, { 'MISSING', id, missing }
        end
        new[#new + 1] = job
      end
    end
  end
  if #new > 0 then
    local last = redis.call('INCRBY', K.number, #new)
    for i = 1, #new do
      local n = last - #new + i
      local st, lane = keep(new[i], n)
      know_lane(lane)
      line_up(new[i], n, st, lane)
    end
  end
  return answers
end
