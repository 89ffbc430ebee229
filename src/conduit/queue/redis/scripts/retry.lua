-- retry: open a new generation of failed or cancelled jobs. See `Queue.retry`.
-- Input: {ids}. Answers {acted, status, acted, status, ...}.
local ids = input[1]
load(ids)

-- Those that a job still has to wait for; nil where one of them won't complete unless it is retried.
local function unfinished_of(id, st)
  local unfinished, seen = {}, {}
  for _, awaited in ipairs(st.W and after_in(rest_of(blobs[id])) or {}) do
    local first = not seen[awaited]
    seen[awaited] = true
    if first and redis.call('ZSCORE', K.dependants .. awaited, id) then
      local its = state_of(awaited)
      if not its or its.s == S.FAILED or its.s == S.CANCELLED then
        return nil
      elseif its.s == S.COMPLETED then -- another job, under the id of one that was forgotten
        stop_waiting(id, awaited)
      else
        unfinished[#unfinished + 1] = awaited
      end
    end
  end
  return unfinished
end

local function start_over(id, st, unfinished)
  local blocked = #unfinished > 0
  local again = changed(st, {
    s = blocked and S.BLOCKED or S.QUEUED, g = (st.g or 1) + 1, R = now,
    W = blocked and #unfinished or nil,
  })
  again.f, again.r, again.c, again.x, again.u, again.i = nil, nil, nil, nil, nil, nil
  again.h, again.b, again.z, again.y, again.e = nil, nil, nil, nil, nil
  again.p, again.m = nil, nil
  write('ZREM', K.finished, id)
  write('ZREM', K.expiring, id)
  if blocked then
    local _, _, _, lane = header(blobs[id])
    again.Q = queue_of(lane)
    count('b:', queue_of(lane), 1)
    for _, awaited in ipairs(unfinished) do
      wait_for(id, awaited)
    end
  else
    again.W = nil
    requeue(id, ORDINARY, now)
  end
  save(id, again)
  event(E.REQUEUED, id, again, { R = now })
  return again.s
end

local function retry(id, st)
  if st.s ~= S.FAILED and st.s ~= S.CANCELLED then
    return 'refused', st.s
  end
  local unfinished = unfinished_of(id, st)
  if not unfinished then
    return 'dependency', st.s
  end
  if st.k then
    if (holder_of(st.k) or id) ~= id then
      return 'key_taken', st.s
    end
    take_key(st.k, id)
  end
  return 'done', start_over(id, st, unfinished)
end

local answers = {}
for i = 1, #ids do
  local id = ids[i]
  local acted, status = 'unknown', ''
  if blobs[id] then
    acted, status = retry(id, states[id])
  end
  answers[2 * i - 1], answers[2 * i] = acted, status
end
commit()
note_repeat()
return answers
