-- retry: open a new generation of failed or cancelled jobs. See `Queue.retry`.
-- Input: {ids}. Answers {acted, status, acted, status, ...}.
local ids = input[1]
load(ids)

-- Those that a job still has to wait for; nil where one of them won't complete unless it is retried.
local function unfinished_of(id, st)
  local unfinished, seen = {}, {}
  for _, awaited in ipairs(st.waits_for and after_in(terms_of(blobs[id])) or {}) do
    local first = not seen[awaited]
    seen[awaited] = true
    if first and redis.call('ZSCORE', K.dependants .. awaited, id) then
      local its = state_of(awaited)
      if not its or its.status == S.FAILED or its.status == S.CANCELLED then
        return nil
      elseif its.status == S.COMPLETED then -- another job, under the id of one that was forgotten
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
    status = blocked and S.BLOCKED or S.QUEUED, generation = st.generation + 1, run_at = now,
    waits_for = blocked and #unfinished or nil, failures = 0, rescues = 0, cancel_requested = false,
  })
  again.expires_at, again.unique_until, again.ended_by = nil, nil, nil
  again.claimed_at, again.started_at, again.finished_at = nil, nil, nil
  again.reason, again.error, again.progress, again.progress_message = nil, nil, nil, nil
  write('ZREM', K.finished, id)
  write('ZREM', K.expiring, id)
  if blocked then
    local _, _, _, lane = header(blobs[id])
    again.queue = queue_of(lane)
    count('b:', queue_of(lane), 1)
    for _, awaited in ipairs(unfinished) do
      wait_for(id, awaited)
    end
  else
    again.waits_for = nil
    requeue(id, ORDINARY, now)
  end
  save(id, again)
  event(E.REQUEUED, id, again, { [NEWS.run_at] = now })
  return again.status
end

local function retry(id, st)
  if st.status ~= S.FAILED and st.status ~= S.CANCELLED then
    return 'refused', st.status
  end
  local unfinished = unfinished_of(id, st)
  if not unfinished then
    return 'dependency', st.status
  end
  if st.key then
    if (holder_of(st.key) or id) ~= id then
      return 'key_taken', st.status
    end
    take_key(st.key, id)
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
