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
    s = later and S.SCHEDULED or S.QUEUED, R = later and due or now, L = lane,
  })
  save(id, after)
  count('b:', queue, -1)
  if later then
    write_pair('ZADD', K.scheduled, after.R, id)
    count('s:', queue, 1)
    woken[queue] = true
  else
    requeue(id, ORDINARY)
  end
  event(E.UNBLOCKED, id, after, { R = after.R })
end

-- Call this after the event of the job's own end, where its state has `A`.
local function unblock_dependants(id)
  local key = K.dependants .. id
  local waiting = redis.call('ZRANGE', key, 0, -1)
  local found = hmget(K.states, waiting)
  for i = 1, #waiting do
    local each = waiting[i]
    local st = states[each] or dependant_from(found[i])
    write('ZREM', key, each)
    if st and st.W then
      local freed = changed(st, { W = st.W - 1 })
      freed.q = st.q
      if freed.W == 0 then
        freed.W = nil
      end
      if freed.W or st.s ~= S.BLOCKED then
        save(each, freed)
      else
        unblock(each, freed)
      end
    end
  end
end
