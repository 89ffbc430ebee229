-- A job that ends without completing takes those with it that wait for it, and those that wait for
-- them, in the same step. See after.lua for what is stored.

-- The state of one that waits, out of its text; nil where there is none, or nothing that makes sense:
-- such a job stays as it is, and must not keep the one that it waits for from its end.
local function dependant_from(text)
  local ok, st = pcall(state_from, text)
  if not (text and ok) or type(st) ~= 'table' or type(st.seq) ~= 'number' then
    return nil
  end
  local sound = type(st.waits_for or 0) == 'number' and type(st.run_at or 0) == 'number'
  if sound and st.status == S.BLOCKED then
    sound = st.waits_for ~= nil and type(st.queue) == 'string'
  end
  return sound and st or nil
end

-- Those that wait for a job.
local function waiting_for(id)
  local key = K.dependants .. id
  check_type(key, 'zset')
  return redis.call('ZRANGE', key, 0, -1)
end

-- Cancel a job that waits for `awaited`.
local function cancel_dependant(id, st, awaited)
  local over = changed(st, {
    status = S.CANCELLED, finished_at = now, ended_by = states[awaited].status .. awaited,
  })
  over.queue = nil
  save(id, over)
  note_end(id)
  event(E.CANCELLED, id, over, { [NEWS.ended_by] = over.ended_by })
end

-- Call this after the event of the job's own end, where its state says `awaited`.
local function cancel_dependants(id)
  local ends, at = { id }, 1
  while ends[at] do
    local waiting = waiting_for(ends[at])
    local found = hmget(K.states, waiting)
    for i = 1, #waiting do
      local each = waiting[i]
      local st = states[each] or dependant_from(found[i])
      if st and st.status == S.BLOCKED then
        count('b:', st.queue, -1)
        cancel_dependant(each, st, ends[at])
        if st.awaited then
          ends[#ends + 1] = each
        end
      end
    end
    at = at + 1
  end
end
