-- finish: record how attempts ended. See `Queue.finish` and `transitions.settle`.
-- Input: {outcomes}, each {id, token, kind, result, error, reason, delay_ms, ms since its function
-- began}.
-- Answers per outcome: 0 stale, 1 recorded, 2 recorded before.

local outcomes = input[1]
local ids = {}
for i = 1, #outcomes do
  ids[i] = outcomes[i][1]
end
local found = hmget(K.states, ids)

local function forget_lease(id, st)
  write('ZREM', K.leases, id)
  count('r:', st.Q, -1)
  if st.c then
    write('SREM', K.cancels .. st.w, id)
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
    local st = changed(before, { s = S.COMPLETED, z = now, o = result, b = b })
    st.y, st.e, st.c, st.l, st.Q, st.A = nil, nil, nil, nil, nil, nil
    after = { st, cmsgpack.pack(st) }
    alike[result] = after
  end
  save(id, after[1], after[2])
  note_end(id)
  event(E.COMPLETED, id, after[1], { o = result, b = ago(after[1]) }, #result)
  if before.A then
    unblock_dependants(id)
  end
end

local function give_up(id, before, outcome, b)
  local cancelled = outcome[3] == 'cancel' or before.c
  local st
  if cancelled then
    local words = outcome[3] == 'cancel' and outcome[6] or nil
    st = changed(before, {
      s = S.CANCELLED, z = now, b = b, y = words or before.y, e = outcome[5] or before.e,
    })
    event(E.CANCELLED, id, st, { y = st.y, e = outcome[5], b = ago(st) })
  else
    st = changed(before, {
      s = S.FAILED, z = now, b = b, f = (before.f or 0) + 1, y = outcome[6] or 'error',
      e = outcome[5] or before.e,
    })
    event(E.FAILED, id, st, { y = st.y, e = outcome[5], b = ago(st) })
  end
  st.l, st.Q = nil, nil
  save(id, st)
  note_end(id)
  if st.A then
    cancel_dependants(id)
  end
end

-- Back to its queue, at once or later.
local function hand_back(id, before, outcome, b)
  local later = outcome[3] == 'retry_later'
  local delay = outcome[7] or 0
  local waits = later or delay > 0
  local st = changed(before, {
    s = waits and S.SCHEDULED or S.QUEUED, f = later and (before.f or 0) + 1 or before.f,
    b = b, R = now + delay, y = outcome[6] or before.y, e = outcome[5] or before.e,
  })
  st.l = nil
  save(id, st)
  expire_again(id, st)
  if waits then
    write_pair('ZADD', K.scheduled, st.R, id)
    count('s:', st.Q, 1)
    due_later[st.Q] = true
  else
    blobs[id] = redis.call('HGET', K.jobs, id)
    requeue(id, ORDINARY, st.R)
  end
  event(later and E.RETRYING or E.RELEASED, id, st, {
    R = waits and st.R or nil, y = outcome[6], e = outcome[5], b = ago(st),
  })
end

local answers = {}
for i = 1, #outcomes do
  local outcome = outcomes[i]
  local id, kind = ids[i], outcome[3]
  local st = states[id] or (found[i] and state_from(found[i]))
  if not st or st.t ~= outcome[2] then
    answers[i] = 0
  elseif st.s ~= S.RUNNING then
    answers[i] = 2
  else
    answers[i] = 1
    forget_lease(id, st)
    local b = began(st, outcome[8])
    if kind == 'complete' then
      complete(id, st, outcome[4] or 'null', b)
    elseif kind == 'cancel' or st.c or kind == 'fail' then
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
