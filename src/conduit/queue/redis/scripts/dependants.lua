-- A job that ends without completing takes those with it that wait for it, and those that wait for
-- them, in the same step. See after.lua for what is stored.

-- Cancel a job that waits for `awaited`.
local function cancel_dependant(id, st, awaited)
  local over = changed(st, { s = S.CANCELLED, z = now, i = states[awaited].s .. awaited })
  over.L = nil
  save(id, over)
  note_end(id)
  event(E.CANCELLED, id, over, { i = over.i })
end

-- Call this after the event of the job's own end, where its state has `A`.
local function cancel_dependants(id)
  local ends, at = { id }, 1
  while ends[at] do
    local waiting = redis.call('ZRANGE', K.dependants .. ends[at], 0, -1)
    local found = hmget(K.states, waiting)
    for i = 1, #waiting do
      local each = waiting[i]
      local st = states[each] or (found[i] and state_from(found[i]))
      if st and st.s == S.BLOCKED then
        count('b:', queue_of(st.L), -1)
        cancel_dependant(each, st, ends[at])
        if st.A then
          ends[#ends + 1] = each
        end
      end
    end
    at = at + 1
  end
end
