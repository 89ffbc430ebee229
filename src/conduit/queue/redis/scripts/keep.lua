-- Keeping new jobs: shared by submit, start and tick.
--
-- A job comes as layout.py says under JobRow.

local function same(blob, job)
  local _, _, _, lane, args, at = struct.unpack(BLOB.WHOLE, blob)
  local terms, others = string.sub(blob, at), job[JOB.terms]
  local alike = terms == others or cjson.encode(after_in(terms)) == cjson.encode(after_in(others))
  return alike and lane == lane_of(job[JOB.queue], job[JOB.function]) and args == job[JOB.args]
end

local NONE = {}

-- Those that a new job waits for, and the first of them that has ended without completing; or nil
-- and the id of one that isn't stored.
local function unfinished_of(job)
  if not job[JOB.after] then
    return NONE, nil
  end
  local unfinished, ended = {}, nil
  for _, awaited in ipairs(job[JOB.after]) do
    local st = state_of(awaited)
    if not st then
      return nil, awaited
    end
    if st.status ~= S.COMPLETED then
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

local function unique_until_of(job)
  return job[JOB.unique_ms] and now + job[JOB.unique_ms] or nil
end

-- The state that a new job needs stored; nil for the plainest. It waits for `waits_for` others.
local function first_state(job, lane, run_at, waits_for)
  local delayed = run_at > now
  local due = run_at ~= now and run_at or nil
  local expires_at = job[JOB.expires_ms] and now + job[JOB.expires_ms] or nil
  local unique_until = unique_until_of(job)
  local parts = job[JOB.metadata] and PART.METADATA or 0
  local awaits = waits_for > 0 and waits_for or nil
  local key = job[JOB.key] or nil
  if not (due or expires_at or unique_until or key or awaits) and parts == 0 then
    return nil
  end
  local st = changed(FRESH, {
    status = awaits and S.BLOCKED or delayed and S.SCHEDULED or S.QUEUED, queue = job[JOB.queue],
    run_at = due, expires_at = expires_at, unique_until = unique_until, parts = parts, key = key,
    waits_for = awaits,
  })
  st.seq = FRESH.seq
  return st
end

local function blob_of(job, n)
  local lane, args = lane_of(job[JOB.queue], job[JOB.function]), job[JOB.args]
  return struct.pack(BLOB.HEAD, n, now, job[JOB.priority] + 100, #lane, lane)
    .. struct.pack('>I4', #args) .. args .. job[JOB.terms]
end

local unfinished, ended = {}, {} -- by the id of a new job: what `unfinished_of` says of it

-- Store a job that isn't there yet, under number n; its state.
local function keep(job, n)
  local id, args, priority, metadata = job[JOB.id], job[JOB.args], job[JOB.priority], job[JOB.metadata]
  local lane = lane_of(job[JOB.queue], job[JOB.function])
  local run_at = job[JOB.run_at] or now + job[JOB.delay_ms]
  local st = first_state(job, lane, run_at, #(unfinished[id] or NONE))
  blobs[id], states[id] = blob_of(job, n), st or FRESH
  write_pair('HSET', K.jobs, id, blobs[id])
  if st then
    save(id, st)
  end
  if metadata then
    local list = collect('HSET', K.metadata .. id)
    for i = 1, #metadata do
      list[i] = metadata[i]
    end
  end
  if job[JOB.key] then
    take_key(job[JOB.key], id)
  end
  if st and st.expires_at then
    write_pair('ZADD', K.expiring, st.expires_at, id)
  end
  event(E.SUBMITTED, id, states[id], {
    [NEWS.lane] = lane, [NEWS.args] = args, [NEWS.terms] = job[JOB.terms],
    [NEWS.priority] = priority ~= 0 and priority or nil, [NEWS.run_at] = st and st.run_at,
    [NEWS.expires_at] = st and st.expires_at, [NEWS.metadata] = metadata and metadata_json(metadata),
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
  local id, queue, priority = job[JOB.id], job[JOB.queue], job[JOB.priority]
  if st.status == S.CANCELLED then
    return -- over at once, because of one that it was to wait for
  end
  count(st.status .. ':', queue, 1)
  if st.status == S.BLOCKED then
    return
  elseif st.status == S.SCHEDULED then
    write_pair('ZADD', K.scheduled, st.run_at, id)
  elseif priority == 0 then
    write('RPUSH', K.fresh .. lane, member(n, st.run_at or now, id))
  else
    write_pair('ZADD', K.back .. lane, rank(ORDINARY, priority, n), member(n, st.run_at or now, id))
  end
  if st.status == S.SCHEDULED then
    due_later[queue] = true
  else
    make_ready(lane, ORDINARY + 100 - priority)
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
  local id, key = job[JOB.id], job[JOB.key]
  local awaits, other = unfinished_of(job)
  if not awaits then
    return other
  end
  unfinished[id], ended[id] = awaits, other
  blobs[id] = blob_of(job, 0)
  states[id] = other and { status = S.CANCELLED, unique_until = unique_until_of(job) } or FRESH
  if key then
    key_holders[key] = id
  end
  return nil
end

-- Keep a batch. Answers one value per job: the id under which it runs; or nil and what to answer:
-- {'CONFLICT', id} of a job that is stored already with other contents, or {'MISSING', id, awaited} of
-- one that was to wait for one that isn't stored. Then nothing may be committed.
local function keep_all(jobs)
  local ids = {}
  for i = 1, #jobs do
    ids[i] = jobs[i][JOB.id]
  end
  load(ids)
  local answers, new = {}, {}
  for i = 1, #jobs do
    local job = jobs[i]
    local id, key = job[JOB.id], job[JOB.key]
    if blobs[id] then
      if not same(blobs[id], job) then
        return nil, { 'CONFLICT', id }
      end
      answers[i] = id
    else
      answers[i] = key and holder_of(key) or id
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
