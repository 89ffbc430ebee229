-- cancel: cancel what waits, ask the worker of what runs. See `Queue.cancel`.
-- Input: {ids, reason}. Answers {acted, status, acted, status, ...}.
local ids, reason = input[1], input[2]
load(ids)

local function stop_waiting(id, st)
  local _, _, _, lane = header(blobs[id])
  if st.s == S.SCHEDULED then
    write('ZREM', K.scheduled, id)
  elseif st.s == S.QUEUED then
    leave_lane(id, st)
  end
  count(st.s .. ':', queue_of(lane), -1)
end

local answers, asked = {}, {}
for i = 1, #ids do
  local id = ids[i]
  local st = states[id]
  local acted, status = 'unknown', ''
  if blobs[id] then
    if finished(st) then
      acted, status = 'refused', st.s
    elseif st.s == S.RUNNING then
      acted, status = 'requested', st.s
      if not st.c then
        st = changed(st, { c = 1, y = reason })
        save(id, st)
        write('SADD', K.cancels .. st.w, id)
        asked[st.w] = true
        event(E.CANCEL_REQUESTED, id, st, { y = reason })
      end
    else
      stop_waiting(id, st)
      st = changed(st, { s = S.CANCELLED, y = reason, z = now })
      st.Q = nil
      save(id, st)
      note_end(id)
      acted, status = 'done', st.s
      event(E.CANCELLED, id, st, { y = reason })
      if st.A then
        cancel_dependants(id)
      end
    end
  end
  answers[2 * i - 1], answers[2 * i] = acted, status
end
commit()
note_repeat()
for worker in pairs(asked) do
  redis.call('PUBLISH', K.cancel_asked .. worker, '')
end
return answers
