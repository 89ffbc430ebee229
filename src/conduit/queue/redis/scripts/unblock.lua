-- Those that wait for a job wait for one less when it has completed. See after.lua for what is
-- stored.

-- Put a job where it waits for a worker, or for its time.
local function unblock(id, st)
  local blob = redis.call('HGET', K.jobs, id)
  local sound, _, at, _, lane = pcall(header, blob)
  if not (sound and pcall(queue_of, lane)) then
    return -- it was lost, as under a policy that evicts, or can't be made sense of
  end
  local queue, due = queue_of(lane), st.R or at
  local later = due > now -- delayed, or the clock was set back
  blobs[id] = string.sub(blob, 1, 15 + #lane) -- all that counts here: arguments may be large
  local after = changed(st, {
    s = later and S.SCHEDULED or S.QUEUED, R = later and due or now, Q = queue,
  })
  save(id, after)
  count('b:', queue, -1)
  if later then
    write_pair('ZADD', K.scheduled, after.R, id)
    count('s:', queue, 1)
    due_later[queue] = true
  else
    requeue(id, ORDINARY, after.R)
  end
  event(E.UNBLOCKED, id, after, { R = after.R })
end

-- Those that wait for some less, not saved yet: in a batch many that they wait for may end. These
-- states are nobody else's, and are changed in place.
local waiting_less = {}

-- The state of a job with one less to wait for.
local function strike_out(id, st)
  local left = st.W > 1 and st.W - 1 or nil
  if waiting_less[id] ~= st then
    st = changed(st, {})
    st.q = st.q - 1
    states[id], waiting_less[id] = st, st
  end
  st.W = left
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

-- Call this after the event of the job's own end, where its state has `A`.
local function unblock_dependants(id)
  local key = K.dependants .. id
  local waiting = waiting_for(id)
  read_states(waiting)
  for i = 1, #waiting do
    local each = waiting[i]
    local st = states[each]
    if st and st.W then
      st = strike_out(each, st)
      if not st.W and st.s == S.BLOCKED then
        unblock(each, st)
      end
    end
  end
  local all = collect('ZREMRANGEBYRANK', key)
  all[1], all[2] = 0, -1
end
