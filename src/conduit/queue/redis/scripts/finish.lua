-- finish: record how attempts ended. See `Queue.finish` and `transitions.settle`.
-- Input: {outcomes}. Answers per outcome: 0 stale, 1 recorded, 2 recorded before.

local outcomes = input[1]
local ids = {}
for i = 1, #outcomes do
  ids[i] = outcomes[i][OUTCOME.id]
end
local found = hmget(K.states, ids)

local function forget_lease(id, st)
  write('ZREM', K.leases, id)
  count('r:', st.queue, -1)
  if st.cancel_requested then
    write('SREM', K.cancels .. st.worker_id, id)
  end
end

local texts = {} -- what alike states became with alike results, begun in the same millisecond

local function complete(id, before, result, b)
  local moment = b or 0
  local alike = texts[before] and texts[before][moment]
  if not alike then
    alike = {}
    texts[before] = texts[before] or {}
    texts[before][moment] = alike
  end
  local after = alike[result]
  if not after then
    local st = changed(before, {
      status = S.COMPLETED, finished_at = now, result = result, started_at = b,
      cancel_requested = false, awaited = false,
    })
    st.reason, st.error, st.term, st.queue = nil, nil, nil, nil
    after = { st, packed(st) }
    alike[result] = after
  end
  save(id, after[1], after[2])
  note_end(id)
  event(E.COMPLETED, id, after[1], {
    [NEWS.result] = result, [NEWS.began_ms_ago] = ago(after[1]),
  }, #result)
  if before.awaited then
    unblock_dependants(id)
  end
end

local function give_up(id, before, outcome, b)
  local asked, error = outcome[OUTCOME.kind] == 'cancel', outcome[OUTCOME.error]
  local cancelled = asked or before.cancel_requested
  local st
  if cancelled then
    local words = asked and outcome[OUTCOME.reason] or nil
    st = changed(before, {
      status = S.CANCELLED, finished_at = now, started_at = b, reason = words or before.reason,
      error = error or before.error,
    })
  else
    st = changed(before, {
      status = S.FAILED, finished_at = now, started_at = b, reason = outcome[OUTCOME.reason] or 'error',
      error = error or before.error, failures = before.failures + 1,
    })
  end
  event(cancelled and E.CANCELLED or E.FAILED, id, st, {
    [NEWS.reason] = st.reason, [NEWS.error] = error, [NEWS.began_ms_ago] = ago(st),
  })
  st.term, st.queue = nil, nil
  save(id, st)
  note_end(id)
  if st.awaited then
    cancel_dependants(id)
  end
end

-- Back to its queue, at once or later.
local function hand_back(id, before, outcome, b)
  local later = outcome[OUTCOME.kind] == 'retry_later'
  local delay = outcome[OUTCOME.delay_ms] or 0
  local waits = later or delay > 0
  local reason, error = outcome[OUTCOME.reason], outcome[OUTCOME.error]
  local st = changed(before, {
    status = waits and S.SCHEDULED or S.QUEUED, run_at = now + delay, started_at = b,
    failures = later and before.failures + 1 or before.failures,
    reason = reason or before.reason, error = error or before.error,
  })
  st.term = nil
  save(id, st)
  expire_again(id, st)
  if waits then
    write_pair('ZADD', K.scheduled, st.run_at, id)
    count('s:', st.queue, 1)
    due_later[st.queue] = true
  else
    blobs[id] = redis.call('HGET', K.jobs, id)
    requeue(id, ORDINARY, st.run_at)
  end
  event(later and E.RETRYING or E.RELEASED, id, st, {
    [NEWS.run_at] = waits and st.run_at or nil, [NEWS.reason] = reason, [NEWS.error] = error,
    [NEWS.began_ms_ago] = ago(st),
  })
end

local answers = {}
for i = 1, #outcomes do
  local outcome = outcomes[i]
  local id, kind = ids[i], outcome[OUTCOME.kind]
  local st = states[id] or (found[i] and state_from(found[i]))
  if not st or st.token ~= outcome[OUTCOME.token] then
    answers[i] = 0
  elseif st.status ~= S.RUNNING then
    answers[i] = 2
  else
    answers[i] = 1
    forget_lease(id, st)
    local b = began(st, outcome[OUTCOME.began_ms_ago])
    if kind == 'complete' then
      complete(id, st, outcome[OUTCOME.result] or 'null', b)
    elseif kind == 'cancel' or st.cancel_requested or kind == 'fail' then
      give_up(id, st, outcome, b)
    else
      hand_back(id, st, outcome, b)
    end
  end
end
save_waiting_less()
commit()
note_repeat()
return answers
