-- Queueing scheduled jobs that are due: shared by claim and sweep.

-- Promote up to `limit` jobs; how many there were, and when the next one is due, if that is known.
local function promote(limit)
  local first = redis.call('ZRANGE', K.scheduled, 0, 0, 'WITHSCORES')
  if not first[1] then
    return 0, nil
  end
  if tonumber(first[2]) > now then
    return 0, tonumber(first[2])
  end
  local due = redis.call('ZRANGEBYSCORE', K.scheduled, '-inf', now, 'LIMIT', 0, limit)
  load(due)
  for i = 1, #due do
    local id = due[i]
    write('ZREM', K.scheduled, id)
    if blobs[id] then -- else its job was lost, as under a policy that evicts
      local st = changed(states[id], { status = S.QUEUED })
      save(id, st)
      requeue(id, ORDINARY, st.run_at)
      count('s:', st.queue, -1)
      event(E.QUEUED, id, st)
    end
  end
  local following = redis.call('ZRANGE', K.scheduled, #due, #due, 'WITHSCORES')
  return #due, following[2] and tonumber(following[2])
end
