-- Cancelling a job that waited too long: shared by sweep and by claim, which meets it in its lane.

local function expire(id, st, lane)
  count(st.s .. ':', queue_of(lane), -1)
  local over = changed(st, { s = S.CANCELLED, y = 'expired', z = now })
  over.Q = nil
  save(id, over)
  note_end(id)
  event(E.CANCELLED, id, over, { y = 'expired' })
end
