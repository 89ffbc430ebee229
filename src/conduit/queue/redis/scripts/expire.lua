-- Cancelling a job that waited too long: shared by sweep and by claim, which meets it in its lane.

local function expire(id, st, lane)
  count(st.status .. ':', queue_of(lane), -1)
  local over = changed(st, { status = S.CANCELLED, reason = 'expired', finished_at = now })
  over.queue = nil
  save(id, over)
  note_end(id)
  event(E.CANCELLED, id, over, { [NEWS.reason] = 'expired' })
end
