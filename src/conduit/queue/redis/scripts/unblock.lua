-- Those that wait for a job wait for one less when it has completed. See after.lua for what is
-- stored.

-- Put a job where it waits for a worker, or for its time.
local function unblock(id, st)
  local blob = redis.call('HGET', K.jobs, id)
  local sound, _, at, _, lane = pcall(header, blob)
  if not (sound and pcall(queue_of, lane)) then
    return -- it was lost, as under a policy that evicts, or can't be made sense of
  end
  local queue, due = queue_of(lane), st.run_at or at
  local later = due > now -- delayed, or the clock was set back
  blobs[id] = string.sub(blob, 1, 15 + #lane) -- all that counts here: arguments may be large
  local after = changed(st, {
    status = later and S.SCHEDULED or S.QUEUED, run_at = later and due or now, queue = queue,
  })
  save(id, after)
  count('b:', queue, -1)
  if later then
    write_pair('ZADD', K.scheduled, after.run_at, id)
    count('s:', queue, 1)
    due_later[queue] = true
  else
    requeue(id, ORDINARY, after.run_at)
  end
  event(E.UNBLOCKED, id, after, { [NEWS.run_at] = after.run_at })
end

-- Those that wait for some less, not saved yet: in a batch many that they wait for may end. These
-- states are nobody else's, and are changed in place.
local waiting_less = {}

-- The state of a job with one less to wait for.
local function strike_out(id, st)
  local left = st.waits_for > 1 and st.waits_for - 1 or nil
  if waiting_less[id] ~= st then
    st = changed(st, {})
    st.seq = st.seq - 1
    states[id], waiting_less[id] = st, st
  end
  st.waits_for = left
  return st
end

-- Call this once all that ended in the step has been seen to.
local function save_waiting_less()
  for id in pairs(waiting_less) do
    save(id, states[id])
  end
  waiting_less = {}
end

local function read_states(ids)
  local unknown = {}
  for i = 1, #ids do
    if not states[ids[i]] then
      unknown[#unknown + 1] = ids[i]
    end
  end
  local found = hmget(K.states, unknown)
  for i = 1, #unknown do
    states[unknown[i]] = dependant_from(found[i])
  end
end

-- Call this after the event of the job's own end, where its state says `awaited`.
local function unblock_dependants(id)
  local key = K.dependants .. id
  local waiting = waiting_for(id)
  read_states(waiting)
  for i = 1, #waiting do
    local each = waiting[i]
    local st = states[each]
    if st and st.waits_for then
      st = strike_out(each, st)
      if not st.waits_for and st.status == S.BLOCKED then
        unblock(each, st)
      end
    end
  end
  local all = collect('ZREMRANGEBYRANK', key)
  all[1], all[2] = 0, -1
end
