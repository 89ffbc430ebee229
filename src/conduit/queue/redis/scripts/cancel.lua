-- cancel: cancel what waits, ask the worker of what runs. See `Queue.cancel`.
-- Input: {ids, reason}. Answers {acted, status, acted, status, ...}.
local ids, reason = input[1], input[2]
load(ids)

local function stop_waiting(id, st)
  local _, _, _, lane = header(blobs[id])
  if st.status == S.SCHEDULED then
    write('ZREM', K.scheduled, id)
  elseif st.status == S.QUEUED then
    leave_lane(id, st)
  end
  count(st.status .. ':', queue_of(lane), -1)
end

local answers, asked = {}, {}
for i = 1, #ids do
  local id = ids[i]
  local st = states[id]
  local acted, status = 'unknown', ''
  if blobs[id] then
    if finished(st) then
      acted, status = 'refused', st.status
    elseif st.status == S.RUNNING then
      acted, status = 'requested', st.status
      if not st.cancel_requested then
        st = changed(st, { cancel_requested = true, reason = reason })
        save(id, st)
        write('SADD', K.cancels .. st.worker_id, id)
        asked[st.worker_id] = true
        event(E.CANCEL_REQUESTED, id, st, { [NEWS.reason] = reason })
      end
    else
      stop_waiting(id, st)
      st = changed(st, { status = S.CANCELLED, reason = reason, finished_at = now })
      st.queue = nil
      save(id, st)
      note_end(id)
      acted, status = 'done', st.status
      event(E.CANCELLED, id, st, { [NEWS.reason] = reason })
      if st.awaited then
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
