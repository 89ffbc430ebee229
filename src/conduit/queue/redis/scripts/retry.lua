-- retry: open a new generation of failed or cancelled jobs. See `Queue.retry`.
-- Input: {ids}. Answers {acted, status, acted, status, ...}.
local ids = input[1]
load(ids)
local answers = {}
for i = 1, #ids do
  local id = ids[i]
  local st = states[id]
  local acted, status = 'unknown', ''
  if blobs[id] then
    status = st.s
    if st.s ~= S.FAILED and st.s ~= S.CANCELLED then
      acted = 'refused'
    elseif st.k and (holder_of(st.k) or id) ~= id then
      acted = 'key_taken'
    else
      local again = changed(st, { s = S.QUEUED, g = (st.g or 1) + 1, R = now })
      again.f, again.r, again.c, again.x, again.u = nil, nil, nil, nil, nil
      again.b, again.z, again.y, again.e, again.p, again.m = nil, nil, nil, nil, nil, nil
      if st.k then
        take_key(st.k, id)
      end
      save(id, again)
      write('ZREM', K.finished, id)
      write('ZREM', K.expiring, id)
      requeue(id, ORDINARY)
      event(E.REQUEUED, id, again, { R = now })
      acted, status = 'done', again.s
    end
  end
  answers[2 * i - 1], answers[2 * i] = acted, status
end
commit()
note_repeat()
return answers
